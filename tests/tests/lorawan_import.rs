//! Devices that somebody has created in ChirpStack: imported on request and by themselves, and never deleted over there.

use std::time::{Duration, Instant};

use fake_chirpstack::{
    APPLICATION_ID, CLASS_C_PROFILE_ID, Command, FakeChirpstack, OTHER_APPLICATION_ID, Settings, TENANT_ID, TENANT_KEY,
};
use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::{ApiClient, Reply};

use crate::world::World;

/// A device over there is seen here within this time.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

fn eui(number: u8) -> String {
    format!("0a000000000000{number:02x}")
}

fn somebody_creates(lns: &FakeChirpstack, number: u8, name: &str) {
    let device = Command::PutDevice {
        dev_eui: eui(number),
        application_id: Some(APPLICATION_ID.to_owned()),
        device_profile_id: Some(CLASS_C_PROFILE_ID.to_owned()),
        name: Some(name.to_owned()),
        is_disabled: None,
        tags: Some([("device_model".to_owned(), "LS-1".to_owned())].into()),
        variables: None,
    };
    lns.carry_out(device).unwrap();
}

async fn connect(api: &ApiClient, lns: &FakeChirpstack, auto_import: &[&str]) {
    let body = json!({
        "url": lns.url(), "chirpstack_tenant_id": TENANT_ID, "api_key": TENANT_KEY, "auto_import": auto_import,
    });
    api.send(Method::PUT, "/tenants/default/chirpstack", Some(&body)).await.unwrap().success().unwrap();
}

async fn import(api: &ApiClient, application_id: &str, dry_run: bool) -> Reply {
    let body = json!({"application_id": application_id, "dry_run": dry_run, "reason": "they were there before"});
    api.send(Method::POST, "/devices/import/chirpstack", Some(&body)).await.unwrap()
}

fn statuses(body: &Value) -> Vec<(String, u64)> {
    let items = body["items"].as_array().unwrap().iter();
    items.map(|item| (item["id"].as_str().unwrap().to_owned(), item["status"].as_u64().unwrap())).collect()
}

async fn is_refused(api: &ApiClient, application_id: &str, status: u16, code: &str) {
    let reply = import(api, application_id, false).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.body["type"]),
        (status, &json!(format!("/problems/{code}"))),
        "{}",
        reply.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_were_there_before_are_imported_and_stay_there_when_they_end_here() {
    let lns = FakeChirpstack::start(Settings::default()).await.unwrap();
    let world = World::start().await;
    let api = world.operator().await;
    is_refused(&api, APPLICATION_ID, 409, "chirpstack_not_connected").await;
    connect(&api, &lns, &[]).await;
    is_refused(&api, OTHER_APPLICATION_ID, 422, "invalid").await;

    for (number, name) in [(1, "Boiler"), (2, "Pump"), (3, "Valve")] {
        somebody_creates(&lns, number, name);
    }
    let own = json!({"device_id": "d-1", "lorawan_dev_eui": eui(1), "chirpstack_app_id": APPLICATION_ID});
    api.post("/devices", &own).await.unwrap();
    let dry = import(&api, APPLICATION_ID, true).await.success().unwrap();
    assert_eq!((&dry["devices"], &dry["known"], &dry["more"]), (&json!(3), &json!(1), &json!(false)));
    assert_eq!(statuses(&dry), [(eui(2), 200), (eui(3), 200)]);
    assert_eq!(api.send(Method::GET, &format!("/devices/{}", eui(2)), None).await.unwrap().status.as_u16(), 404);

    let done = import(&api, APPLICATION_ID, false).await.success().unwrap();
    assert_eq!(statuses(&done), [(eui(2), 201), (eui(3), 201)]);
    let again = import(&api, APPLICATION_ID, false).await.success().unwrap();
    assert_eq!((&again["known"], &again["items"]), (&json!(3), &json!([])));
    let synced = |body: &Value| body["sync_state"] == "synced";
    let path = format!("/devices/{}", eui(2));
    let device = world.until_get(&api, &path, "the imported device is synced", synced).await;
    assert_eq!((&device["name"], &device["device_model"]), (&json!("Pump"), &json!("LS-1")));
    let copy = lns.device(&eui(2)).unwrap();
    assert_eq!((copy.name.as_str(), copy.variables["waybill_device_id"].as_str()), ("Pump", eui(2).as_str()));
    assert_eq!((copy.device_profile_id.as_str(), copy.tags["device_model"].as_str()), (CLASS_C_PROFILE_ID, "LS-1"));

    // It ends here and stays there; and the import that runs by itself doesn't take it back.
    api.send(Method::DELETE, &path, Some(&json!({"reason": "sold"}))).await.unwrap().success().unwrap();
    let left = |body: &Value| body["sync_state"] == "not_applicable";
    world.until_get(&api, &path, "the imported device has no copy", left).await;
    assert!(lns.device(&eui(2)).is_some());
    connect(&api, &lns, &[APPLICATION_ID]).await;
    somebody_creates(&lns, 4, "Meter");
    let began = Instant::now();
    let path_of_new = format!("/devices/{}", eui(4));
    world
        .until("the new device is imported", async || {
            api.send(Method::GET, &path_of_new, None).await.is_ok_and(|reply| reply.status.is_success())
        })
        .await;
    println!("a new device was imported by itself after {:?}", began.elapsed());
    assert!(began.elapsed() < SEEN_WITHIN);
    world.until_get(&api, &path_of_new, "the new device is synced", synced).await;
    assert_eq!(api.get(&path).await.unwrap()["lifecycle"], "decommissioned");

    lns.carry_out(Command::RevokeKey { key: TENANT_KEY.to_owned() }).unwrap();
    is_refused(&api, APPLICATION_ID, 409, "chirpstack_key_refused").await;
    lns.carry_out(Command::GoDown).unwrap();
    is_refused(&api, APPLICATION_ID, 503, "chirpstack_unavailable").await;
}
