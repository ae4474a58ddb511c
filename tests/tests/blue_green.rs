//! Blue/green: all devices stage, then they switch in waves, or not at all.

use std::time::Duration;

use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::simulate::Pace;

use crate::world::{World, devices};

const DEVICES: usize = 12;

/// A campaign whose switch an operator begins, with all of its devices staged.
async fn staged(world: &World, api: &ApiClient) -> String {
    let firmware = world.firmware(api, "2.0.0").await;
    let waves = json!([{"percentage": 25, "advance": "manual"}, {"percentage": 100}]);
    let wanted = json!({"deployment_strategy": "blue_green", "waves": waves, "max_concurrent_updates": 4});
    let id = world.campaign(api, &firmware, wanted).await;
    let path = format!("/campaigns/{id}/status");
    let body =
        world.until_get(api, &path, "the switch waits for an operator", |body| waits_for_operator(body, 1)).await;
    assert_eq!(body["status_counts"]["staged"], json!(DEVICES), "{body}");
    id
}

fn waits_for_operator(status: &Value, wave: u16) -> bool {
    let wait = &status["waits_for"][0];
    wait["kind"] == "operator" && wait["detail"].as_str().unwrap_or_default().contains(&format!("wave {wave}"))
}

async fn open(api: &ApiClient, id: &str, wave: u16) {
    api.post(&format!("/campaigns/{id}/waves/{wave}/open"), &json!({"reason": "all is well"})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_switches_before_all_are_staged_and_a_crash_loses_nothing() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let fleet = world.online_fleet(&api, devices(DEVICES)).await;
    let id = staged(&world, &api).await;
    let status = format!("/campaigns/{id}/status");
    assert_eq!(fleet.status().versions.get("1.0.0"), Some(&(DEVICES as u64)), "{:?}", fleet.status().versions);
    assert!(fleet.status().working_peak <= 4, "{} devices at work at once", fleet.status().working_peak);

    open(&api, &id, 1).await;
    world.kill_waybill();
    world.start_waybill().await;
    let first = world.until_get(&api, &status, "wave 1 has switched", |body| waits_for_operator(body, 2)).await;
    assert_eq!((&first["confirmed"], &first["status_counts"]["staged"]), (&json!(3), &json!(9)), "{first}");
    open(&api, &id, 2).await;
    let done = world.campaign_is(&api, &id, &["completed"]).await;
    assert_eq!(done["confirmed"], json!(DEVICES), "{done}");
    assert_eq!(fleet.status().versions.get("2.0.0"), Some(&(DEVICES as u64)), "{:?}", fleet.status().versions);
    assert_eq!(fleet.status().repeated_installs, 0, "what was staged was installed again");
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_after_the_first_wave_takes_it_back_and_drops_what_is_staged() {
    let world = World::start().await;
    let api = world.operator().await;
    world.firmware(&api, "1.0.0").await;
    let fleet = world.online_fleet(&api, devices(DEVICES)).await;
    let id = staged(&world, &api).await;
    open(&api, &id, 1).await;
    let status = format!("/campaigns/{id}/status");
    world.until_get(&api, &status, "wave 1 has switched", |body| waits_for_operator(body, 2)).await;
    api.post(&format!("/campaigns/{id}/rollback"), &json!({"reason": "2.0.0 heats up"})).await.unwrap();
    let done = world.campaign_is(&api, &id, &["rolled_back"]).await;
    let counts = &done["status_counts"];
    assert_eq!((&counts["rolled_back"], &counts["cancelled"]), (&json!(3), &json!(9)), "{done}");
    assert_eq!(fleet.status().versions.get("1.0.0"), Some(&(DEVICES as u64)), "{:?}", fleet.status().versions);
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_stages_and_switches_when_it_comes() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs = devices(6);
    world.register(&api, &specs).await;
    let (late, present) = specs.split_at(1);
    // Everybody says once how many slots it has.
    let fleet = world.fleet(specs.clone());
    world.online(&api, 6).await;
    fleet.stop().await;
    world.online(&api, 0).await;
    let fleet = world.fleet_at_pace(present.to_vec(), Pace { reboot: Duration::from_millis(200), ..Pace::default() });
    world.online(&api, 5).await;
    let wanted = json!({"deployment_strategy": "blue_green", "max_concurrent_updates": 6});
    let id = world.campaign(&api, &firmware, wanted).await;
    let status = format!("/campaigns/{id}/status");
    world.until_get(&api, &status, "the others have switched", |body| body["confirmed"] == 5).await;
    let latecomer = world.fleet(late.to_vec());
    let done = world.campaign_is(&api, &id, &["completed"]).await;
    assert_eq!(done["confirmed"], json!(6), "{done}");
    latecomer.stop().await;
    fleet.stop().await;
}
