//! One device that sends far too many messages, and one that works correctly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::device::Device;
use domain::{DeviceId, Key, TenantId};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, ManualDevice, TENANT, World};

/// Shortest flood, sent as fast as the broker accepts it: long enough that without the rate limit more records would be written than
/// allowed.
const FLOOD: Duration = Duration::from_secs(25);
/// A flooding device may slow down the other one by its load, but must not delay its turn.
const UPDATE_MAX: Duration = Duration::from_secs(60);
/// Records that a device may write about itself at once, those of its versions, and those of the following one or two minutes.
const RECORDS_MAX: usize = 70;

async fn register(api: &ApiClient, id: &str) {
    api.post("/devices", &json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"})).await.unwrap();
}

/// Sends a new boot with every status, reports on unknown updates, each different, and sometimes an invalid message, until stopped; returns
/// how many of each.
async fn floods(flooding: &ManualDevice, stop: &AtomicBool) -> u64 {
    let (began, mut number) = (Instant::now(), 0);
    while began.elapsed() < FLOOD || !stop.load(Ordering::Relaxed) {
        flooding.boots(&format!("b{number}"), "1.0.0").await;
        flooding.reports(1 + number / 60_000, 1 + number % 60_000, "installing").await;
        if number % 10 == 0 {
            flooding.says("status", &json!({"status": "perhaps"})).await;
        }
        number += 1;
    }
    flooding.boots("last", "7.7.7").await;
    number
}

async fn is_updated(world: &World, api: &ApiClient, calm: &ManualDevice, firmware: &str) -> Duration {
    // By then the flood has used up the burst of its rate limit.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    calm.boots("b1", "1.0.0").await;
    world.until_get(api, "/devices/calm", "online", |body| body["status"] == "online").await;
    let update = api.post("/devices/calm/update", &json!({"firmware_id": firmware})).await.unwrap();
    let ordinal = update["ordinal"].as_u64().unwrap();
    calm.hears("its command", |command: &Value| command["command"] == "ota_update").await;
    calm.installs(ordinal, 1, "b2", "2.0.0").await;
    let path = format!("/devices/calm/updates/{ordinal}");
    world.until_get(api, &path, "confirmed", |body| body["phase"] == "confirmed").await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flooding_device_delays_no_other_and_its_last_message_is_applied() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    register(&api, "flooding").await;
    register(&api, "calm").await;
    let (flooding, calm) = (world.manual_device("flooding").await, world.manual_device("calm").await);
    let done = AtomicBool::new(false);
    let updating = async {
        let took = is_updated(&world, &api, &calm, &firmware).await;
        done.store(true, Ordering::Relaxed);
        took
    };
    let (count, took) = tokio::join!(floods(&flooding, &done), updating);
    let raged = Instant::now();
    println!("during {count} messages of each kind an update took {took:?}");
    assert!(took < UPDATE_MAX, "with a flooding device an update took {took:?}");

    let last = |body: &Value| body["firmware_version"] == "7.7.7";
    world.until_get(&api, "/devices/flooding", "the flooding device's last message", last).await;
    println!("its last message was applied after {:?}", raged.elapsed());
    let key = Key::<Device>::new(&TenantId::new(TENANT).unwrap(), &DeviceId::new("flooding").unwrap());
    let records = world.log().await.read(key.raw(), 1, 1_000_000).await.unwrap().len();
    println!("it wrote {records} records");
    assert!(records <= RECORDS_MAX, "the flooding device wrote {records} records");
    let metrics = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    let counted = |name: &str| metrics.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    println!("{:#?}", counted("waybill_mqtt_"));
    assert!(!counted("waybill_mqtt_over_rate_total").is_empty(), "dropped messages are counted");
    assert_eq!(
        counted("waybill_mqtt_queue_full_total"),
        ["waybill_mqtt_queue_full_total 0"],
        "no message was given back"
    );
}
