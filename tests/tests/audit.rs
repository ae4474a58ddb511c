//! History for auditors: replay from the log and from the archive, time travel, the public feed.

use reqwest::Method;
use serde_json::{Value, json};

use waybill::role_user::RoleUser;

use crate::world::{MODEL, World, devices, waybill_binary};

fn run_replay(world: &World, args: &[&str]) -> std::process::Output {
    std::process::Command::new(waybill_binary())
        .arg("replay")
        .args([
            "--nats-url",
            &world.stack.nats.role_url(RoleUser::Reader),
            "--database-url",
            &world.stack.postgres.url(),
        ])
        .args(args)
        .output()
        .unwrap()
}

fn replay(world: &World, args: &[&str]) -> Vec<Value> {
    let output = run_replay(world, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn types(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| line["event"]["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_replays_the_same_events_as_the_log() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(3)).await;
    let id = world.campaign(&api, &firmware, json!({"deployment_strategy": "immediate"})).await;
    world.campaign_is(&api, &id, &["completed"]).await;
    world.settles().await;
    let from_log = replay(&world, &["--aggregate", "device/d-0"]);
    let from_archive = replay(&world, &["--aggregate", "device/d-0", "--from-archive"]);
    assert_eq!(types(&from_log), types(&from_archive));
    assert_eq!(types(&from_log).last().map(String::as_str), Some("update.confirmed"));
    let campaign = replay(&world, &["--campaign", &id]);
    assert!(campaign == replay(&world, &["--campaign", &id, "--from-archive"]), "log and archive differ");
    let half = from_log[4]["position"].as_str().unwrap().split_once('-').unwrap().0.to_owned();
    let then = ["--aggregate", "device/d-0", "--state", "--at-position", &half];
    assert!(replay(&world, &then) == replay(&world, &[&then[..], &["--from-archive"]].concat()), "the states differ");
    let names = types(&campaign);
    for wanted in [
        "campaign.created",
        "plan.chunk_written",
        "campaign.planned",
        "slots.granted",
        "update.queued",
        "update.confirmed",
        "campaign.finished",
    ] {
        assert!(names.iter().any(|name| name == wanted), "{wanted} is missing in {names:?}");
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_shown_at_an_earlier_time() {
    let world = World::start().await;
    let api = world.operator().await;
    let created = api
        .post("/devices", &json!({"device_id": "d-1", "device_model": MODEL, "hardware_version": "1"}))
        .await
        .unwrap();
    let (_, sequence) = created["position"].as_str().unwrap().split_once('-').unwrap();
    let changed = api.send(Method::PATCH, "/devices/d-1", Some(&json!({"hardware_version": "2"}))).await.unwrap();
    assert_eq!(changed.status, 200, "{}", changed.body);
    let then = api.get(&format!("/devices/d-1?at_position={sequence}")).await.unwrap();
    assert_eq!(then["hardware_version"], "1", "{then}");
    let before = api.send(Method::GET, "/devices/d-1?at_time=2020-01-01T00:00:00Z", None).await.unwrap();
    assert_eq!(before.status, 404, "{}", before.body);
    let lines = replay(&world, &["--aggregate", "device/d-1", "--at-position", sequence]);
    assert_eq!(types(&lines), ["device.registered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_without_events_fails_and_a_wildcard_is_not_an_id() {
    let world = World::start().await;
    let api = world.operator().await;
    api.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    for (args, said) in [
        (&["--aggregate", "device/>"][..], "is not a valid id of a device"),
        (&["--aggregate", "device/*"], "is not a valid id of a device"),
        (&["--aggregate", "nope/d-1"], "is not an aggregate type"),
        (&["--aggregate", "device/d-2"], "there are no events of device/d-2"),
        (&["--aggregate", "device/d-1", "--tenant", "other"], "in tenant other"),
        (&["--aggregate", "device/d-1", "--at", "2020-01-01T00:00:00Z"], "until then"),
        (&["--campaign", "00000000-0000-0000-0000-000000000001"], "there are no events of campaign"),
    ] {
        let output = run_replay(&world, args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(said), "{args:?}: {error}");
    }
}
