//! A campaign of each strategy over a fleet in which devices misbehave in every way, with the service killed in the middle.
//!
//! Devices that stall are in the scheduled campaign alone, which takes a minute for them: the shortest working clock ends their updates.

use std::time::Duration;

use chrono::TimeDelta;
use reqwest::Method;
use runtime::clock;
use serde_json::{Value, json};
use waybill::simulate::{DeviceSpec, Mix, Pace};

use crate::world::{World, device};

/// Devices of a campaign.
const DEVICES: usize = 40;
/// Most of them at work at once.
const CONCURRENT: u64 = 10;
const SEED: u64 = 8;
/// With how many confirmed devices the service is killed.
const KILLED_AT: u64 = 8;

fn mix() -> Mix {
    Mix {
        fail: 8.0,
        lie: 8.0,
        come_back_old: 8.0,
        fall_back: 8.0,
        die_after_received: 15.0,
        reboot_mid_download: 15.0,
        reconnect_mid_install: 15.0,
        duplicate: 20.0,
        reverse: 20.0,
        ignore_cancel: 20.0,
        late: 10.0,
        no_clock: 20.0,
        defer: 10.0,
        ..Mix::default()
    }
}

/// Short absences, so that a campaign ends within seconds.
fn pace() -> Pace {
    let ms = Duration::from_millis;
    Pace {
        away: ms(500),
        late: ms(1_000),
        retry_after: ms(1_000),
        fall_back: ms(500),
        hold_back: ms(300),
        ..Pace::default()
    }
}

fn misbehaving(mix: &Mix) -> Vec<DeviceSpec> {
    let all = (0..DEVICES).map(|n| format!("d-{n}"));
    all.map(|id| DeviceSpec { behaviour: mix.behaviour(SEED, &id), ..device(&id) }).collect()
}

async fn every_device_gets_an_outcome(strategy: Value) {
    let ended = run(&mix(), &strategy).await;
    assert!(ended["failed"].as_u64().unwrap() >= 4, "the fleet misbehaves: {ended}");
}

/// Runs a campaign to its end, with the service killed once, and checks that every device has exactly one outcome.
async fn run(mix: &Mix, strategy: &Value) -> Value {
    let mut world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs = misbehaving(mix);
    world.register(&api, &specs).await;
    let fleet = world.fleet_at_pace(specs, pace());
    world.online(&api, DEVICES).await;
    let mut wanted = json!({
        "max_concurrent_updates": CONCURRENT, "failure_threshold_percent": 100, "success_threshold_percent": 0,
        "min_reached_percent": 0, "require_digest_report": true,
    });
    for (field, value) in strategy.as_object().unwrap() {
        wanted[field] = value.clone();
    }
    if strategy["deployment_strategy"] == "scheduled" {
        wanted["scheduled_start"] = json!((clock::now() + TimeDelta::seconds(3)).to_rfc3339());
    }
    let id = world.campaign(&api, &firmware, wanted).await;
    let path = format!("/campaigns/{id}/status");
    let what = format!("{KILLED_AT} are confirmed");
    world.until_get(&api, &path, &what, |body| body["confirmed"].as_u64() >= Some(KILLED_AT)).await;
    world.kill_waybill();
    world.start_waybill().await;
    // A wave waits for devices that stall, so each of them has its own patience.
    let is_last = |body: &Value| body["wave"] == json!(body["waves"].as_array().map_or(0, Vec::len));
    world.until_get(&api, &path, "the last wave is open", is_last).await;
    let ended = world.campaign_is(&api, &id, &["completed", "completed_with_failures", "failed"]).await;
    assert_eq!((ended["progress_percent"].as_f64(), &ended["enrolled"]), (Some(100.0), &json!(DEVICES)), "{ended}");
    let settled = ended["confirmed"].as_u64().unwrap() + ended["failed"].as_u64().unwrap();
    assert_eq!(settled, DEVICES as u64, "nobody is left in between: {ended}");
    let live = api.get("/updates?status=in_progress&count=true&limit=1").await.unwrap();
    assert_eq!(live["total"], 0, "{live}");
    assert_eq!(fleet.status().repeated_installs, 0, "an attempt was installed twice");
    // Some devices fall back later. A report between the two readings would look like a difference.
    fleet.stop().await;
    world.read_models_equal_a_replay().await;
    ended
}

/// Each way to misbehave on its own, for 30 % of a fleet.
fn alone() -> Vec<(&'static str, Mix)> {
    const SHARE: f64 = 30.0;
    let of = |change: fn(&mut Mix)| {
        let mut mix = Mix::default();
        change(&mut mix);
        mix
    };
    vec![
        ("fail", of(|mix| mix.fail = SHARE)),
        ("stall", of(|mix| mix.stall = SHARE)),
        ("lie", of(|mix| mix.lie = SHARE)),
        ("come_back_old", of(|mix| mix.come_back_old = SHARE)),
        ("fall_back", of(|mix| mix.fall_back = SHARE)),
        ("die_after_received", of(|mix| mix.die_after_received = SHARE)),
        ("reboot_mid_download", of(|mix| mix.reboot_mid_download = SHARE)),
        ("reconnect_mid_install", of(|mix| mix.reconnect_mid_install = SHARE)),
        ("duplicate", of(|mix| mix.duplicate = SHARE)),
        ("reverse", of(|mix| mix.reverse = SHARE)),
        ("ignore_cancel", of(|mix| mix.ignore_cancel = SHARE)),
        ("late", of(|mix| mix.late = SHARE)),
        ("no_clock", of(|mix| mix.no_clock = SHARE)),
        ("defer", of(|mix| mix.defer = SHARE)),
    ]
}

/// Every strategy, with what it needs. All of them end a device that stalls after a minute.
fn strategies() -> Vec<Value> {
    let waves = json!([{"percentage": 25}, {"percentage": 100}]);
    vec![
        json!({"deployment_strategy": "immediate", "timeout_minutes": 1}),
        json!({"deployment_strategy": "scheduled", "timeout_minutes": 1}),
        json!({"deployment_strategy": "staged", "waves": waves, "timeout_minutes": 1}),
        json!({"deployment_strategy": "canary", "canary_size": 5, "timeout_minutes": 1}),
        json!({"deployment_strategy": "blue_green", "waves": waves, "timeout_minutes": 1}),
    ]
}

/// Devices that fall back, in blue/green.
const CELL: usize = 24;

/// The whole matrix of strategies and misbehaviours with a kill in each cell in `make test-long`, otherwise one cell.
#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_in_each_strategy_leaves_nobody_in_between() {
    let is_long = std::env::var_os("WAYBILL_TEST_LONG").is_some_and(|value| value == "1");
    let (misbehaviours, count) = (alone(), strategies().len());
    let cells = (0..misbehaviours.len() * count).filter(|cell| is_long || *cell == CELL);
    for cell in cells {
        let ((name, mix), strategy) = (&misbehaviours[cell / count], &strategies()[cell % count]);
        eprintln!("{name}, {strategy}");
        run(mix, strategy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_campaign_ends_also_for_devices_that_stall() {
    let mix = Mix { stall: 10.0, ..mix() };
    let ended = run(&mix, &strategies()[1]).await;
    assert!(ended["status_counts"]["timed_out"].as_u64() >= Some(1), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immediate_campaign_ends_with_an_outcome_for_every_misbehaving_device() {
    every_device_gets_an_outcome(json!({"deployment_strategy": "immediate"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_campaign_ends_with_an_outcome_for_every_misbehaving_device() {
    let waves = json!([{"percentage": 25}, {"percentage": 100}]);
    every_device_gets_an_outcome(json!({"deployment_strategy": "staged", "waves": waves})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_campaign_ends_with_an_outcome_for_every_misbehaving_device() {
    every_device_gets_an_outcome(json!({"deployment_strategy": "canary", "canary_size": 5})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blue_green_campaign_ends_with_an_outcome_for_every_misbehaving_device() {
    let waves = json!([{"percentage": 25}, {"percentage": 100}]);
    every_device_gets_an_outcome(json!({"deployment_strategy": "blue_green", "waves": waves})).await;
}

/// A device that ignores `cancel` runs to its end or is given up; nobody is left in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_campaign_ends_with_misbehaving_devices() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs: Vec<DeviceSpec> = (0..12)
        .map(|n| device(&format!("d-{n}")))
        .map(|mut spec| {
            spec.behaviour.ignore_cancel = true;
            spec
        })
        .collect();
    world.register(&api, &specs).await;
    let fleet = world.fleet_at_pace(specs, Pace { download: Duration::from_secs(2), ..pace() });
    world.online(&api, 12).await;
    let wanted = json!({"deployment_strategy": "immediate", "max_concurrent_updates": 4});
    let id = world.campaign(&api, &firmware, wanted).await;
    let path = format!("/campaigns/{id}/status");
    world.until_get(&api, &path, "somebody has begun", |body| body["reached"].as_u64() >= Some(1)).await;
    let cancel =
        api.send(Method::POST, &format!("/campaigns/{id}/cancel"), Some(&json!({"reason": "enough"}))).await.unwrap();
    assert_eq!(cancel.status, 200, "{}", cancel.body);
    let ended = world.campaign_is(&api, &id, &["cancelled"]).await;
    assert_eq!(ended["progress_percent"].as_f64(), Some(100.0), "{ended}");
    assert!(ended["confirmed"].as_u64().unwrap() >= 1, "those that ignore the command run to their end: {ended}");
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}
