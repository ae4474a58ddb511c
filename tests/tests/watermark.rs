//! Silence is judged only up to the watermark: messages that devices sent while no bridge ran were in time.

use std::time::{Duration, Instant};

use serde_json::json;
use waybill::api_client::ApiClient;

use crate::world::{MASTER_KEY, MODEL, ManualDevice, World};

/// The shortest possible working clock.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long process managers run without a bridge.
const DEAF: Duration = Duration::from_secs(8);
const DEAF_FLAGS: [&str; 10] = [
    "--role",
    "process-managers",
    "--jwt-secret",
    "a secret for tokens that is long enough",
    "--download-secret",
    "a secret for links that is long enough",
    "--credential-secret",
    "a secret for hashes that is long enough",
    "--master-key",
    MASTER_KEY,
];

/// A device that has booted and has an update.
async fn updates_one(world: &World, api: &ApiClient) -> (ManualDevice, u64) {
    let firmware = world.firmware(api, "2.0.0").await;
    let device = json!({"device_id": "d-1", "device_model": MODEL, "firmware_version": "1.0.0"});
    api.post("/devices", &device).await.unwrap();
    let device = world.manual_device("d-1").await;
    device.boots("b1", "1.0.0").await;
    let order = json!({"firmware_id": firmware, "timeout_minutes": TIMEOUT.as_secs() / 60});
    let update = api.post("/devices/d-1/update", &order).await.unwrap();
    (device, update["ordinal"].as_u64().unwrap())
}

/// The service dies while a device works. The device finishes within its time. Only then process managers check the clocks, at first
/// without a bridge.
#[tokio::test(flavor = "multi_thread")]
async fn reports_in_time_count_even_if_processed_late() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let (device, ordinal) = updates_one(&world, &api).await;
    device.hears("its command", |command| command["ordinal"] == ordinal).await;
    let began = Instant::now();
    device.reports(ordinal, 1, "received").await;
    device.reports(ordinal, 1, "downloading").await;
    let path = format!("/devices/d-1/updates/{ordinal}");
    world.until_get(&api, &path, "downloading", |body| body["phase"] == "downloading").await;
    world.settles().await;
    world.kill_waybill();
    for word in ["verifying", "installing", "rebooting"] {
        device.reports(ordinal, 1, word).await;
    }
    device.boots("b2", "2.0.0").await;
    tokio::time::sleep((TIMEOUT + Duration::from_secs(3)).saturating_sub(began.elapsed())).await;

    world.restart_with(&DEAF_FLAGS).await;
    world
        .until("the log says that clocks stand still", async || {
            world.log_text().contains("Clocks of updates stand still")
        })
        .await;
    tokio::time::sleep(DEAF).await;
    world.stop_waybill().await;
    world.restart_with(&[]).await;
    let api = world.operator().await;
    let settled =
        |body: &serde_json::Value| ["confirmed", "timed_out", "failed"].iter().any(|end| body["phase"] == *end);
    let ended = world.until_get(&api, &path, "an end", settled).await;
    assert_eq!((&ended["phase"], &ended["attempt"]), (&json!("confirmed"), &json!(1)), "{ended}");
    world
        .until("messages of devices are processed again", async || {
            let metrics = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
            let lag = metrics.lines().find_map(|line| line.strip_prefix("waybill_hearing_lag_seconds "));
            lag.is_some_and(|lag| lag.parse::<f64>().unwrap() < 10.0)
        })
        .await;
    world.read_models_equal_a_replay().await;
}

/// The clocks do expire if a device was silent.
#[tokio::test(flavor = "multi_thread")]
async fn silence_counts_while_messages_are_processed() {
    let world = World::start_with(&["--dispatch-patience-seconds", "3"]).await;
    let api = world.operator().await;
    let (_hand, ordinal) = updates_one(&world, &api).await;
    let path = format!("/devices/d-1/updates/{ordinal}");
    world.until_get(&api, &path, "unresponsive", |body| body["wait_reason"] == "unresponsive").await;
}
