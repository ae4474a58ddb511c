//! Devices register themselves, log in with credentials of their own, are updated, and are shut out when these are revoked.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::simulate::{DeviceSpec, Fleet, FleetOptions, Hidden, Login};

use crate::world::{MODEL, TENANT, World, devices, waybill_binary};

const DEVICES: usize = 6;

async fn registration_token(api: &ApiClient, terms: Value) -> (String, String) {
    let issued = api.post("/registration-tokens", &terms).await.unwrap();
    let text = |field: &str| issued[field].as_str().unwrap().to_owned();
    (text("token_id"), text("token"))
}

/// Devices that know a registration token.
fn fleet(world: &World, devices: Vec<DeviceSpec>, registration_token: &str) -> Fleet {
    let mqtt = world.stack.nats.mqtt_listen();
    Fleet::start(FleetOptions {
        mqtt_host: mqtt.ip().to_string(),
        mqtt_port: mqtt.port(),
        tenant: TENANT.to_owned(),
        login: Login::Own { server: world.base(), registration_token: Hidden(registration_token.to_owned()) },
        devices,
        ..FleetOptions::default()
    })
    .unwrap()
}

/// The simulator forgets its credentials when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_can_register_its_devices_again() {
    let world = World::start_closed().await;
    let (mqtt, server) = (world.stack.nats.mqtt_listen().to_string(), world.base());
    for _ in 0..3 {
        let args = [
            "simulate",
            "--register",
            &server,
            "--devices",
            "3",
            "--mqtt",
            &mqtt,
            "--server",
            &server,
            "--for-seconds",
            "3",
        ];
        let output = std::process::Command::new(waybill_binary()).args(args).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["connected"], 3, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Logins with a token that isn't a live credential's.
async fn refused_tokens(world: &World) -> u64 {
    let text = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with("waybill_mqtt_logins_total") && line.contains("wrong_token"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_register_themselves_are_updated_and_a_revoked_one_is_gone() {
    let world = World::start_closed().await;
    let api = world.operator().await;
    let terms = json!({"device_model": MODEL, "id_prefix": "d-", "tags": {"batch": "7"}, "devices_max": DEVICES});
    let (token_id, token) = registration_token(&api, terms).await;
    let fleet = fleet(&world, devices(DEVICES), &token);
    world.online(&api, DEVICES).await;
    let device = api.get("/devices/d-0").await.unwrap();
    assert_eq!((&device["device_model"], &device["tags"]["batch"]), (&json!(MODEL), &json!("7")), "{device}");

    let firmware = world.firmware(&api, "2.0.0").await;
    let wanted =
        json!({"deployment_strategy": "immediate", "target_filters": {"tags": {"batch": "7"}}, "target_all": false});
    let id = world.campaign(&api, &firmware, wanted).await;
    let done = world.campaign_is(&api, &id, &["completed"]).await;
    assert_eq!(done["confirmed"], json!(DEVICES), "{done}");

    // Without the registration token a device whose credential is revoked stays away.
    let revoked =
        api.send(Method::DELETE, &format!("/registration-tokens/{token_id}"), Some(&json!({"reason": "made"}))).await;
    assert!(revoked.unwrap().status.is_success());
    let listed = api.get("/registration-tokens?status=revoked&count=true").await.unwrap();
    let shown = (&listed["total"], &listed["items"][0]["token_id"], &listed["items"][0]["devices_used"]);
    assert_eq!(shown, (&json!(1), &json!(token_id), &json!(DEVICES)), "{listed}");
    assert_eq!(api.get("/registration-tokens?status=active").await.unwrap()["items"], json!([]));
    assert!(!listed.to_string().contains("wbr_") && !listed.to_string().contains("hash"), "{listed}");
    let credentials = api.get("/devices/d-0/credentials").await.unwrap();
    let credential = credentials["items"][0]["credential_id"].as_str().unwrap();
    let path = format!("/devices/d-0/credentials/{credential}");
    let reply = api.send(Method::DELETE, &path, Some(&json!({"reason": "stolen"}))).await.unwrap();
    assert!(reply.status.is_success(), "{}", reply.body);
    let stolen = fleet.device("d-0").unwrap();
    world.until("the stolen device is disconnected", async || !stolen.status().connected).await;
    world.until("its next login is refused", async || refused_tokens(&world).await > 0).await;
    assert!(!stolen.status().connected && fleet.device("d-1").unwrap().status().connected);
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}
