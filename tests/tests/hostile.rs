//! An attacker tries every operation of the API, by the description that the service gives, and the topics and links of another tenant. The
//! test prints what was tried, and fails if anything was found or changed.

mod secrets;
mod subjects;
mod walk;

use rumqttc::QoS;
use serde_json::json;

use self::secrets::attackers;
use self::walk::{Walk, operations};
use crate::login::log_in;
use crate::world::{MODEL, World};

/// In every text of the tenant that is attacked.
const MARK: &str = "f00dfeed";

/// What the tenant has, by the name of the parameter in paths.
async fn furnish(world: &World) -> Vec<(&'static str, String)> {
    let acme = world.operator_of("acme", &["admin"]).await;
    let device = format!("d-{MARK}");
    acme.post("/devices", &json!({"device_id": device, "name": format!("Name {MARK}"), "device_model": MODEL, "firmware_version": "1.0.0"}))
        .await
        .unwrap();
    let firmware = world.firmware(&acme, "2.0.0").await;
    let campaign = json!({"name": format!("Campaign {MARK}"), "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    let campaign = acme.post("/campaigns", &campaign).await.unwrap()["campaign_id"].as_str().unwrap().to_owned();
    let group = format!("g-{MARK}");
    acme.post("/groups", &json!({"group_id": group, "name": format!("Group {MARK}")})).await.unwrap();
    let update = acme.post(&format!("/devices/{device}/update"), &json!({"firmware_id": firmware})).await.unwrap();
    let credential = acme.post(&format!("/devices/{device}/credentials"), &json!({})).await.unwrap();
    let token = acme.post("/registration-tokens", &json!({"devices_max": 3})).await.unwrap();
    let key = acme.post("/api-keys", &json!({"roles": ["viewer"], "label": format!("Key {MARK}")})).await.unwrap();
    let consumer = acme.post("/feed/consumers", &json!({"name": format!("c-{MARK}")})).await.unwrap();
    let command = json!({"name": "report", "params": {"note": MARK}});
    let command = acme.post(&format!("/devices/{device}/commands"), &command).await.unwrap();
    world.settles().await;
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    vec![
        ("tenant_id", "acme".to_owned()),
        ("device_id", device),
        ("firmware_id", firmware),
        ("campaign_id", campaign),
        ("group_id", group),
        ("update_id", text(&update["update_id"])),
        ("credential_id", text(&credential["credential_id"])),
        ("token_id", text(&token["token_id"])),
        ("key_id", text(&key["key_id"])),
        ("session_id", "0190d3a4-0000-7000-8000-000000000001".to_owned()),
        ("name", text(&consumer["name"])),
        ("member", "user:demo".to_owned()),
        ("ordinal", "1".to_owned()),
        ("n", command["n"].to_string()),
        ("wave", "1".to_owned()),
        ("fingerprint", "0".repeat(64)),
        ("deployment_id", "0190d3a4-0000-7000-8000-000000000002".to_owned()),
        ("document_id", "0190d3a4-0000-7000-8000-000000000003".to_owned()),
        ("token", "x".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_where_they_do_not_belong() {
    // An attacker whom the limit of requests stops would hide a gap.
    let world = World::start_closed_with(&["--address-requests-per-second", "0"]).await;
    let known = furnish(&world).await;
    let operations = operations(&world, &known).await;
    let log = world.log().await;
    let mut tried = 0;
    for attacker in attackers(&world).await {
        let before = log.info().await.unwrap().last_sequence;
        let walk = Walk { world: &world, attacker: &attacker, mark: MARK };
        let found = walk.all(&operations).await;
        assert!(found.is_empty(), "{} found:\n{}", attacker.name(), found.join("\n"));
        let changed = walk::records_of("acme", &log, before).await;
        assert_eq!(changed, 0, "{} changed the tenant", attacker.name());
        tried += operations.len();
        println!("{:<28} {:>4} requests, nothing found, nothing changed", attacker.name(), operations.len());
    }
    println!("{tried} requests in all");
    links_and_topics(&world, &known).await;
    subjects::a_program_of_another_tenant_receives_nothing(&world).await;
}

/// A stolen device of another tenant, at the topics of this one, and links that were changed.
async fn links_and_topics(world: &World, known: &[(&'static str, String)]) {
    let device = &known.iter().find(|(name, _)| *name == "device_id").unwrap().1;
    let rival = world.operator_of("rival", &["admin"]).await;
    rival.post("/devices", &json!({"device_id": device, "device_model": MODEL})).await.unwrap();
    let credential = rival.post(&format!("/devices/{device}/credentials"), &json!({})).await.unwrap();
    let token = credential["token"].as_str().unwrap();
    let listener = world.stack.nats.mqtt_listen();
    for (id, user) in [("acme", "acme"), ("rival", "acme"), ("acme", "rival")] {
        let (id, user) = (format!("{id}/{device}"), format!("{user}/{device}"));
        assert!(log_in(listener, &id, &user, token).await.is_err(), "{user} as {id}");
    }
    let anonymous = format!("acme/{device}");
    assert!(log_in(listener, &anonymous, "", "").await.is_err(), "a client without user and password");
    let own = format!("rival/{device}");
    let mut stolen = log_in(listener, &own, &own, token).await.unwrap();
    for filter in [
        format!("acme/devices/{device}/commands"),
        "acme/#".to_owned(),
        "#".to_owned(),
        "+/devices/+/commands".to_owned(),
    ] {
        assert!(!stolen.may_subscribe(&filter, QoS::AtMostOnce).await, "{filter}");
    }
    let log = world.log().await;
    let before = log.info().await.unwrap().last_sequence;
    stolen
        .publish(&format!("acme/devices/{device}/updates/1/status"), r#"{"attempt":1,"status":"received"}"#, false)
        .await;
    stolen
        .publish(
            &format!("acme/devices/{device}/status"),
            r#"{"status":"online","boot_id":"b","firmware_version":"9"}"#,
            false,
        )
        .await;
    let acme = world.operator_of("acme", &["admin"]).await;
    let link = acme.get(&format!("/firmware/{}/download", known[2].1)).await.unwrap()["download_url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(reqwest::get(&link).await.unwrap().status(), 200);
    let start = link.rfind('/').unwrap() + 1;
    let token = link[start..].to_owned();
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let status =
            reqwest::get(format!("{}{}", &link[..start], String::from_utf8(changed).unwrap())).await.unwrap().status();
        assert!([403, 404, 410].contains(&status.as_u16()), "byte {at} of the link's token: {status}");
    }
    assert_eq!(walk::records_of("acme", &log, before).await, 0, "a stolen device reported in another tenant");
    println!("{} changed links and 4 subscriptions refused", token.len());
}
