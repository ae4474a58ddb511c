//! Campaigns over REST: waves, gates, exclusions, pause, cancel.

mod explained;

use reqwest::Method;
use serde_json::{Value, json};
use waybill::simulate::{Behaviour, DeviceSpec, Pace};

use crate::world::{World, device, devices};

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_campaign_updates_every_device() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(30)).await;
    let id = world.campaign(&api, &firmware, json!({"max_concurrent_updates": 5})).await;
    let status = world.campaign_is(&api, &id, &["completed"]).await;

    assert_eq!((&status["confirmed"], &status["failed"]), (&json!(30), &json!(0)), "{status}");
    let enrolled: Vec<&Value> = status["waves"].as_array().unwrap().iter().map(|wave| &wave["enrolled"]).collect();
    assert_eq!(enrolled, [&json!(3), &json!(12), &json!(15)]);
    let devices = fleet.status();
    assert_eq!((devices.installs, devices.repeated_installs), (30, 0));
    assert_eq!(devices.versions.get("2.0.0"), Some(&30), "{:?}", devices.versions);
    assert!(devices.working_peak <= 5, "{} devices at work at once", devices.working_peak);
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_stops_a_failing_firmware_and_shows_the_evidence() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs = devices(40)
        .into_iter()
        .map(|device| DeviceSpec { behaviour: Behaviour { fail: true, ..device.behaviour }, ..device });
    let fleet = world.online_fleet(&api, specs.collect()).await;
    let created = json!({"gate_min_settled": 4});
    let id = world.campaign(&api, &firmware, created).await;
    let status = world.campaign_is(&api, &id, &["paused"]).await;
    let untouched = status["waves"][2]["reached"].as_u64().unwrap();
    assert_eq!(untouched, 0, "the last wave never opens: {status}");

    let history = api.get(&format!("/campaigns/{id}/history?limit=200")).await.unwrap();
    let closed =
        history["items"].as_array().unwrap().iter().find(|item| item["type"] == "campaign.gate_closed").unwrap();
    let event = &closed["event"];
    assert_eq!(event["gate"], "failure");
    assert_eq!(event["rollback"], "not_wanted");
    assert!(event["evidence"]["failed"].as_u64().unwrap() >= 1, "{event}");
    assert!(!event["evidence"]["devices"].as_array().unwrap().is_empty(), "{event}");

    explained::check_gates(&api, &id, event).await;
    explained::check_what_if(&api, &id).await;
    explained::check_why_not(&api, &id).await;

    let refused = api.send(Method::POST, &format!("/campaigns/{id}/resume"), Some(&json!({}))).await.unwrap();
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body["type"].as_str().unwrap().contains("gate_still_closed"), "{}", refused.body);
    assert_eq!((&status["gate"]["gate"], &status["waits_for"][0]["kind"]), (&json!("failure"), &json!("accept")));
    let command = json!({"reason": "wrong firmware"});
    let cancelled = api.post(&format!("/campaigns/{id}/cancel"), &command).await.unwrap();
    let status = world.campaign_is(&api, &id, &["cancelling", "cancelled"]).await;
    for body in [cancelled, status] {
        let gates = (&body["gate"], &body["last_gate"]["gate"], &body["last_gate"]["accepted"]);
        assert_eq!(gates, (&Value::Null, &json!("failure"), &json!(false)), "{body}");
    }
    fleet.stop().await;
}

fn kinds(body: &Value) -> Vec<&str> {
    body["waits_for"].as_array().into_iter().flatten().filter_map(|wait| wait["kind"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_campaign_shows_what_it_waits_for() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(8)).await;
    let waves =
        json!([{"percentage": 50, "soak_minutes": 60}, {"percentage": 75, "advance": "manual"}, {"percentage": 100}]);
    let draft = json!({"name": "d", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    let draft = api.post("/campaigns", &draft).await.unwrap();
    let draft = api.get(&format!("/campaigns/{}", draft["campaign_id"].as_str().unwrap())).await.unwrap();
    assert_eq!((kinds(&draft), &draft["ends_after_days"]), (vec!["operator"], &json!(30)), "{draft}");

    let id = world.campaign(&api, &firmware, json!({"waves": waves})).await;
    let (path, open) = (format!("/campaigns/{id}"), |wave: u16| format!("/campaigns/{id}/waves/{wave}/open"));
    let status = format!("{path}/status");
    let soaking = world.until_get(&api, &status, "wave 1 soaks", |body| kinds(body) == ["soak"]).await;
    assert_eq!((&soaking["waits_for"][0]["wave"], soaking["ends_at"].is_string()), (&json!(1), true), "{soaking}");
    let early = api.send(Method::POST, &open(2), Some(&json!({}))).await.unwrap();
    assert_eq!((early.status.as_u16(), kinds(&early.body["facts"])), (409, vec!["soak"]), "{}", early.body);

    api.post(&open(2), &json!({"force": true, "reason": "we know enough"})).await.unwrap();
    let waiting = world.until_get(&api, &status, "wave 3 is to be opened", |body| kinds(body) == ["operator"]).await;
    assert_eq!(waiting["waits_for"][0]["detail"], "an operator to open wave 3", "{waiting}");
    assert_eq!(waiting["waves"][0]["completed_at"], Value::Null, "{waiting}");
    let shown = api.get(&path).await.unwrap();
    assert_eq!(shown["waits_for"], waiting["waits_for"], "{shown}");

    fleet.stop().await;
    world
        .until_get(&api, "/devices?limit=200", "all devices are offline", |body| {
            body["items"].as_array().unwrap().iter().all(|device| device["status"] != "online")
        })
        .await;
    api.post(&open(3), &json!({})).await.unwrap();
    let offline =
        world.until_get(&api, &status, "it waits for devices", |body| kinds(body) == ["offline_devices"]).await;
    let wait = &offline["waits_for"][0];
    assert_eq!((&wait["count"], wait["until"].is_string()), (&json!(2), true), "{offline}");
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_without_matching_devices_warns_and_ends_at_once() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "1.0.0").await;
    world.register(&api, &devices(3)).await;
    let wanted = json!({"name": "n", "firmware_id": firmware, "deployment_strategy": "staged", "target_all": true});
    let created = api.post("/campaigns", &wanted).await.unwrap();
    let path = format!("/campaigns/{}", created["campaign_id"].as_str().unwrap());
    let started = api.post(&format!("{path}/start"), &json!({})).await.unwrap();
    assert_eq!((&started["workflows_submitted"], &started["status"]), (&json!(0), &json!("completed")), "{started}");
    assert_eq!(started["warnings"], json!(["no device takes part: 3 already_on_version"]), "{started}");
    assert_eq!(started["excluded"], json!({"already_on_version": 3}), "{started}");
    let ended = api.get(&path).await.unwrap();
    assert_eq!((&ended["waits_for"], ended["ended_at"].is_string()), (&json!([]), true), "{ended}");
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsuitable_devices_are_excluded_with_reasons() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let version = |id: &str, version: &str| DeviceSpec { firmware_version: version.to_owned(), ..device(id) };
    world
        .register(
            &api,
            &[version("old", "1.0.0"), version("same", "2.0.0"), version("newer", "2.1.0"), version("odd", "nightly")],
        )
        .await;
    api.post("/devices", &json!({"device_id": "other", "device_model": "else", "firmware_version": "1.0.0"}))
        .await
        .unwrap();
    api.post("/devices", &json!({"device_id": "held", "device_model": "SF-2024-Pro", "firmware_version": "1.0.0"}))
        .await
        .unwrap();
    api.post("/devices/held/hold", &json!({"reason": "on a ship"})).await.unwrap();

    let id = world.campaign(&api, &firmware, json!({"deployment_strategy": "immediate"})).await;
    world.campaign_is(&api, &id, &["running"]).await;
    world.settles().await;
    let page = api.get(&format!("/campaigns/{id}/devices?limit=100")).await.unwrap();
    let reason = |device: &str| {
        let items = page["items"].as_array().unwrap();
        items.iter().find(|item| item["device_id"] == device).unwrap_or_else(|| panic!("{device} is missing: {page}"))["excluded"].clone()
    };
    assert_eq!(reason("old"), Value::Null);
    assert_eq!(reason("same"), "already_on_version");
    assert_eq!(reason("newer"), "already_newer");
    assert_eq!(reason("odd"), "version_not_comparable");
    assert_eq!(reason("other"), "wrong_model");
    assert_eq!(reason("held"), "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_campaign_leaves_no_update_under_way() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs = devices(20);
    world.register(&api, &specs).await;
    // Slow enough to be cancelled in the middle.
    let fleet = world.fleet_at_pace(specs, Pace::default().scaled(10.0));
    world.online(&api, 20).await;
    let id = world
        .campaign(&api, &firmware, json!({"deployment_strategy": "immediate", "max_concurrent_updates": 10}))
        .await;
    world
        .until_get(&api, &format!("/campaigns/{id}/status"), "a device is working", |body| {
            body["waves"][0]["reached"].as_u64() > Some(3)
        })
        .await;
    api.post(&format!("/campaigns/{id}/cancel"), &json!({"reason": "wrong file"})).await.unwrap();
    let status = world.campaign_is(&api, &id, &["cancelled"]).await;
    assert_eq!(status["waves"][0]["in_use"], 0, "{status}");
    world.settles().await;
    let open = api.get(&format!("/updates?campaign_id={id}&limit=200")).await.unwrap();
    for update in open["items"].as_array().unwrap() {
        let phase = update["phase"].as_str().unwrap();
        assert!(["confirmed", "cancelled", "failed"].contains(&phase), "{update}");
    }
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_campaign_grants_no_slots_and_continues_when_resumed() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(20)).await;
    let id =
        world.campaign(&api, &firmware, json!({"deployment_strategy": "immediate", "max_concurrent_updates": 2})).await;
    world
        .until_get(&api, &format!("/campaigns/{id}/status"), "a device is done", |body| {
            body["confirmed"].as_u64() > Some(1)
        })
        .await;
    api.post(&format!("/campaigns/{id}/pause"), &json!({"reason": "lunch"})).await.unwrap();
    let path = format!("/campaigns/{id}/status");
    let at_rest = world
        .until_get(&api, &path, "no device is working", |body| {
            body["status"] == "paused" && body["waves"][0]["in_use"] == 0
        })
        .await;
    assert!(at_rest["confirmed"].as_u64() < Some(20), "{at_rest}");
    world.settles().await;
    let later = api.get(&path).await.unwrap();
    assert_eq!(later["confirmed"], at_rest["confirmed"], "no progress while paused");
    api.post(&format!("/campaigns/{id}/resume"), &json!({})).await.unwrap();
    world.campaign_is(&api, &id, &["completed"]).await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_sample_adds_devices_to_a_running_campaign() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(20)).await;
    let waves = json!([{"percentage": 50, "advance": "manual"}, {"percentage": 100}]);
    let created = json!({"rollout_percentage": 20, "max_concurrent_updates": 1, "waves": waves});
    let id = world.campaign(&api, &firmware, created).await;
    let path = format!("/campaigns/{id}");
    world
        .until_get(&api, &format!("{path}/status"), "the first wave is completed", |body| {
            !body["waves"][0]["completed_at"].is_null()
        })
        .await;
    let sampled_out = api.get(&format!("{path}/devices?excluded=not_sampled&count=true")).await.unwrap();
    assert_eq!(sampled_out["total"], 16, "{sampled_out}");

    let fall = api.send(Method::PATCH, &path, Some(&json!({"rollout_percentage": 10}))).await.unwrap();
    assert_eq!((fall.status.as_u16(), &fall.body["errors"][0]["field"]), (422, &json!("rollout_percentage")));
    let changes = json!({"rollout_percentage": 60, "max_concurrent_updates": 5, "reason": "it goes well"});
    let changed = api.send(Method::PATCH, &path, Some(&changes)).await.unwrap().success().unwrap();
    assert_eq!((&changed["plan"]["devices"], &changed["max_concurrent_updates"]), (&json!(12), &json!(5)));
    assert_eq!(changed["plan"]["waves"], json!([2, 10]));

    api.post(&format!("{path}/waves/2/open"), &json!({})).await.unwrap();
    let status = world.campaign_is(&api, &id, &["completed"]).await;
    assert_eq!((&status["enrolled"], &status["confirmed"]), (&json!(12), &json!(12)), "{status}");
    assert_eq!(status["status_counts"]["excluded"], 8, "{status}");
    let late = api.send(Method::PATCH, &path, Some(&json!({"max_concurrent_updates": 9}))).await.unwrap();
    assert_eq!(late.status, 409, "{}", late.body);
    let history = api.get(&format!("{path}/history?limit=200")).await.unwrap();
    let adjusted =
        history["items"].as_array().unwrap().iter().find(|item| item["type"] == "campaign.adjusted").unwrap();
    assert_eq!(adjusted["reason"], "it goes well", "{adjusted}");
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_the_end_gives_failed_devices_new_updates() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs: Vec<DeviceSpec> = devices(12)
        .into_iter()
        .enumerate()
        .map(|(n, device)| DeviceSpec { behaviour: Behaviour { fail: n == 0, ..device.behaviour }, ..device })
        .collect();
    let fleet = world.online_fleet(&api, specs).await;
    let id = world.campaign(&api, &firmware, json!({"deployment_strategy": "immediate"})).await;
    let ended = world.campaign_is(&api, &id, &["completed_with_failures"]).await;
    assert_eq!((&ended["confirmed"], &ended["failed"]), (&json!(11), &json!(1)), "{ended}");
    fleet.stop().await;

    // The device is correct again.
    let mended = world.fleet(vec![device("d-0")]);
    let retried = api.post(&format!("/campaigns/{id}/retry"), &json!({"reason": "mended"})).await.unwrap();
    assert_eq!(retried["status"], "running", "{retried}");
    let status = world.campaign_is(&api, &id, &["completed"]).await;
    assert_eq!((&status["confirmed"], &status["failed"]), (&json!(12), &json!(0)), "{status}");
    let updates = api.get("/devices/d-0/updates").await.unwrap();
    let phases: Vec<_> =
        updates["items"].as_array().unwrap().iter().map(|update| (&update["phase"], &update["retry_of"])).collect();
    assert!(phases.contains(&(&json!("failed"), &Value::Null)), "{updates}");
    assert!(phases.contains(&(&json!("confirmed"), &json!("d-0~1"))), "{updates}");
    let again = api.send(Method::POST, &format!("/campaigns/{id}/retry"), Some(&json!({}))).await.unwrap();
    assert_eq!(again.status, 409, "a completed campaign has no device to retry: {}", again.body);
    world.settles().await;
    world
        .until("the firmware is unpinned", async || {
            let reply = api.send(Method::DELETE, &format!("/firmware/{firmware}"), None).await;
            reply.is_ok_and(|reply| reply.status == 200)
        })
        .await;
    world.read_models_equal_a_replay().await;
    mended.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_spreads_devices_evenly_after_the_first_batch() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(6)).await;
    let pace = json!({"deployment_strategy": "immediate", "rate_per_minute": 60, "batch_size": 2});
    let id = world.campaign(&api, &firmware, pace).await;
    world.campaign_is(&api, &id, &["completed"]).await;
    let status = api.get(&format!("/campaigns/{id}/status")).await.unwrap();
    let opened = status["waves"][0]["opened_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let mut begun = Vec::new();
    for n in 0..6 {
        let updates = api.get(&format!("/devices/d-{n}/updates")).await.unwrap();
        begun
            .push(updates["items"][0]["queued_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    }
    begun.sort_unstable();
    // Each grant comes after the wave's opening, each command after its grant; times are shown in whole milliseconds.
    let since: Vec<i64> = begun.iter().map(|at| (*at - opened).num_milliseconds() + 1).collect();
    assert!(
        since.iter().zip([0, 0, 1_000, 2_000, 3_000, 4_000]).all(|(began, earliest)| *began >= earliest),
        "{since:?}"
    );
    fleet.stop().await;
}
