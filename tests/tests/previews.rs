//! Previews over REST: the plan that a campaign would begin with, and starts that name it.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, World, devices};

const WAVES: [u8; 3] = [10, 50, 100];

fn wanted(firmware: &str, more: Value) -> Value {
    let waves = WAVES.map(|percentage| json!({"percentage": percentage, "soak_minutes": 1}));
    let mut body = json!({
        "name": "Spring", "firmware_id": firmware, "deployment_strategy": "staged", "target_all": true, "waves": waves,
        "max_concurrent_updates": 5,
    });
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    body
}

async fn draft(api: &ApiClient, wanted: &Value) -> String {
    let created = api.post("/campaigns", wanted).await.unwrap();
    created["campaign_id"].as_str().unwrap().to_owned()
}

async fn head(world: &World) -> u64 {
    world.log().await.info().await.unwrap().last_sequence
}

/// Every device of a preview, page by page.
async fn listed(api: &ApiClient, path: &str, body: &Value) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.post(&format!("{path}limit=7{cursor}"), body).await.unwrap();
        all.extend(page["members"]["items"].as_array().unwrap().iter().cloned());
        match page["members"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_the_plan_that_the_start_makes_and_writes_nothing() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    world.register(&api, &devices(30)).await;
    for id in ["d-3", "d-4"] {
        api.post(&format!("/devices/{id}/hold"), &json!({"reason": "looking at it"})).await.unwrap();
    }
    let other = json!({"device_id": "z-1", "device_model": "other", "firmware_version": "1.0.0"});
    api.post("/devices", &other).await.unwrap();
    let wanted = wanted(&firmware, json!({}));
    let id = draft(&api, &wanted).await;
    world.settles().await;
    let before = head(&world).await;

    let path = format!("/campaigns/{id}/preview");
    let preview = api.post(&format!("{path}?count=true"), &json!({})).await.unwrap();
    let counts: Vec<&Value> = preview["waves"].as_array().unwrap().iter().map(|wave| &wave["devices"]).collect();
    assert_eq!((&preview["devices"], counts), (&json!(28), vec![&json!(3), &json!(11), &json!(14)]), "{preview}");
    assert_eq!(preview["excluded"], json!({"held": 2, "wrong_model": 1}), "{preview}");
    assert_eq!(preview["excluded_devices"], json!({"held": ["d-3", "d-4"], "wrong_model": ["z-1"]}), "{preview}");
    assert_eq!((&preview["bytes"], &preview["members"]["total"]), (&json!(28 * 64 * 1024), &json!(31)), "{preview}");
    let expected = &preview["expected_duration"];
    // 182 seconds are assumed for an update; 5 slots make one, three and three rounds; each wave soaks a minute.
    assert_eq!(
        (&expected["basis"], &expected["seconds"]),
        (&json!("assumption"), &json!(7 * 182 + 3 * 60)),
        "{preview}"
    );

    let all = listed(&api, &format!("{path}?"), &json!({})).await;
    assert_eq!(all.len(), 31);
    let first = &preview["waves"][0]["first_devices"];
    assert_eq!(first, &json!(listed(&api, &format!("{path}?wave=1&"), &json!({})).await), "{preview}");
    assert_eq!(listed(&api, &format!("{path}?excluded=held&"), &json!({})).await.len(), 2);
    assert_eq!(listed(&api, &format!("{path}?excluded=false&wave=2&"), &json!({})).await.len(), 11);

    let unborn = api.post("/campaigns/preview", &wanted).await.unwrap();
    assert_ne!(unborn["plan_hash"], preview["plan_hash"], "another seed: {unborn}");
    let mut seeded = wanted.clone();
    seeded["sample_seed"] = json!(id);
    let seeded = api.post("/campaigns/preview", &seeded).await.unwrap();
    assert_eq!(seeded["plan_hash"], preview["plan_hash"], "{seeded}");
    world.settles().await;
    assert_eq!(head(&world).await, before, "a preview writes nothing");

    api.post(&format!("/campaigns/{id}/start"), &json!({})).await.unwrap();
    let path = format!("/campaigns/{id}");
    let planned = world.until_get(&api, &path, "it is planned", |body| body["plan"].is_object()).await;
    assert_eq!(planned["plan"]["plan_hash"], preview["plan_hash"], "{planned}");
    let members = api.get(&format!("{path}/devices?limit=200")).await.unwrap();
    let who = |items: &[Value]| -> Vec<Value> {
        items.iter().map(|item| json!([item["device_id"], item["wave"], item["rank"], item["excluded"]])).collect()
    };
    assert_eq!(who(members["items"].as_array().unwrap()), who(&all));
    let late = api.send(Method::POST, &format!("{path}/preview"), Some(&json!({}))).await.unwrap();
    assert_eq!(
        (late.status.as_u16(), &late.body["type"]),
        (409, &json!("/problems/illegal_in_state")),
        "{}",
        late.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_refused_as_its_campaign_would_be() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    world.register(&api, &devices(8)).await;
    let refused = async |body: Value| api.send(Method::POST, "/campaigns/preview", Some(&body)).await.unwrap();
    let unknown = "00000000-0000-0000-0000-000000000001";
    for (body, field) in [
        (wanted(&firmware, json!({"target_devices": ["d-1", "nobody"]})), "target_devices[1]"),
        (wanted(&firmware, json!({"batch_size": 0})), "batch_size"),
        (wanted(unknown, json!({})), "firmware_id"),
    ] {
        let mut answers = vec![refused(body.clone()).await];
        answers.push(api.send(Method::POST, "/campaigns", Some(&body)).await.unwrap());
        for answer in answers {
            assert_eq!(answer.status, 422, "{}", answer.body);
            assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
        }
    }
    let preview = api.post("/campaigns/preview?limit=3", &wanted(&firmware, json!({}))).await.unwrap();
    let cursor = preview["members"]["next_cursor"].as_str().unwrap();
    let next = format!("/campaigns/preview?limit=3&cursor={cursor}");
    let otherwise = wanted(&firmware, json!({"rollout_percentage": 50}));
    assert_eq!(api.send(Method::POST, &next, Some(&otherwise)).await.unwrap().status, 400);
    // Another specification may have the same plan; each has pages of its own.
    let [spring, autumn] =
        ["Spring", "Autumn"].map(|name| wanted(&firmware, json!({"name": name, "sample_seed": "s", "batch_size": 7})));
    let first = api.post("/campaigns/preview?limit=3", &spring).await.unwrap();
    let same = api.post("/campaigns/preview?limit=3", &autumn).await.unwrap();
    assert_eq!(first["plan_hash"], same["plan_hash"]);
    let cursor = first["members"]["next_cursor"].as_str().unwrap();
    let next = format!("/campaigns/preview?limit=3&cursor={cursor}");
    let second = api.send(Method::POST, &next, Some(&spring)).await.unwrap();
    assert_eq!((second.status.as_u16(), &second.body["plan_hash"]), (200, &first["plan_hash"]), "{}", second.body);
    assert_eq!(api.send(Method::POST, &next, Some(&autumn)).await.unwrap().status, 400);
    let nobody =
        wanted(&firmware, json!({"target_all": false, "target_filters": {"device_model": MODEL, "tags": {"a": "b"}}}));
    let nobody = refused(nobody).await;
    assert_eq!((nobody.status.as_u16(), &nobody.body["devices"]), (200, &json!(0)), "{}", nobody.body);
    assert!(nobody.body["warnings"][0].as_str().unwrap().contains("none matches"), "{}", nobody.body);

    let id = draft(&api, &wanted(&firmware, json!({}))).await;
    api.post(&format!("/firmware/{firmware}/withdraw"), &json!({"reason": "it bricks"})).await.unwrap();
    for (path, body) in [
        (format!("/campaigns/{id}/preview"), json!({})),
        (format!("/campaigns/{id}/start"), json!({})),
        ("/campaigns/preview".to_owned(), wanted(&firmware, json!({}))),
    ] {
        let gone = api.send(Method::POST, &path, Some(&body)).await.unwrap();
        let told = (gone.status.as_u16(), &gone.body["type"]);
        assert_eq!(told, (409, &json!("/problems/firmware_withdrawn")), "{path}: {}", gone.body);
    }
    let unknown = api.send(Method::POST, &format!("/campaigns/{unknown}/preview"), Some(&json!({}))).await.unwrap();
    assert_eq!(unknown.status, 404, "{}", unknown.body);
}

/// Starts a campaign with the plan that its sender has seen.
async fn start(api: &ApiClient, id: &str, plan_hash: &Value, more: Value) -> waybill::api_client::Reply {
    let mut body = json!({"plan_hash": plan_hash});
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    api.send(Method::POST, &format!("/campaigns/{id}/start"), Some(&body)).await.unwrap()
}

async fn previewed(api: &ApiClient, id: &str) -> Value {
    api.post(&format!("/campaigns/{id}/preview"), &json!({})).await.unwrap()
}

/// Changes five devices, each in another way.
async fn change_devices(api: &ApiClient) {
    api.post("/devices/d-1/hold", &json!({"reason": "looking at it"})).await.unwrap();
    api.send(Method::DELETE, "/devices/d-2", Some(&json!({"reason": "broken"}))).await.unwrap().success().unwrap();
    for (id, patch) in [("d-3", json!({"device_model": "other"})), ("d-4", json!({"firmware_version": "1.5.0"}))] {
        api.send(Method::PATCH, &format!("/devices/{id}"), Some(&patch)).await.unwrap().success().unwrap();
    }
    let new = json!({"device_id": "new-1", "device_model": MODEL, "firmware_version": "1.0.0"});
    api.post("/devices", &new).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_other_devices_than_the_previewed_ones_says_what_has_changed() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    world.register(&api, &devices(20)).await;
    let body = wanted(&firmware, json!({"waves": [{"percentage": 100}]}));
    let (careful, hasty) = (draft(&api, &body).await, draft(&api, &body).await);
    let (seen, seen_hasty) = (previewed(&api, &careful).await, previewed(&api, &hasty).await);
    change_devices(&api).await;

    let refused = start(&api, &careful, &seen["plan_hash"], json!({})).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.body["type"]),
        (409, &json!("/problems/plan_drifted")),
        "{}",
        refused.body
    );
    let changes = &refused.body["facts"]["drift"]["changes"];
    let counts = ["added", "removed", "other_wave", "other_version"].map(|name| &changes[name]);
    assert_eq!(counts, [&json!(1), &json!(1), &json!(0), &json!(1)], "{}", refused.body);
    assert_eq!(changes["now_excluded"], json!({"held": 1, "wrong_model": 1}), "{}", refused.body);
    let named = changes["devices"].as_array().unwrap();
    assert_eq!(named.iter().map(|one| &one["device"]).collect::<Vec<_>>(), ["d-1", "d-2", "d-3", "d-4", "new-1"]);
    assert_eq!((&named[0]["before"]["wave"], &named[0]["now"]["excluded"]), (&json!(1), &json!("held")), "{named:?}");
    let path = format!("/campaigns/{careful}");
    let draft = api.get(&path).await.unwrap();
    let state = (&draft["status"], &draft["started_at"], &draft["ends_at"], &draft["plan"]);
    assert_eq!(state, (&json!("draft"), &Value::Null, &Value::Null, &Value::Null), "{draft}");
    assert_eq!(draft["refused_plan"]["drift"]["changes"], *changes, "{draft}");
    let history = api.get(&format!("{path}/history?limit=50")).await.unwrap();
    let last = history["items"].as_array().unwrap().iter().map(|item| &item["type"]).collect::<Vec<_>>();
    assert!(last.contains(&&json!("campaign.plan_refused")), "{history}");
    let file = format!("/firmware/{firmware}");
    world.until_get(&api, &file, "nothing pins the firmware", |body| body["pinned_by"] == json!([])).await;

    let again = previewed(&api, &careful).await;
    assert_ne!(again["plan_hash"], seen["plan_hash"]);
    let started = start(&api, &careful, &again["plan_hash"], json!({"on_drift": "refuse"})).await.success().unwrap();
    assert_eq!((&started["status"], &started["drift"]), (&json!("running"), &Value::Null), "{started}");
    assert_eq!(
        (&started["plan_hash"], &started["workflows_submitted"]),
        (&again["plan_hash"], &json!(18)),
        "{started}"
    );

    let proceeded =
        start(&api, &hasty, &seen_hasty["plan_hash"], json!({"on_drift": "proceed"})).await.success().unwrap();
    assert_eq!((&proceeded["status"], &proceeded["drift"]["changes"]), (&json!("running"), changes), "{proceeded}");
    let running = api.get(&format!("/campaigns/{hasty}")).await.unwrap();
    assert_eq!(running["plan"]["drift"]["changes"], *changes, "{running}");
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drift_that_cannot_be_explained_says_why() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    world.register(&api, &devices(10)).await;
    let body = wanted(&firmware, json!({}));
    let id = draft(&api, &body).await;
    let seen = previewed(&api, &id).await;
    // The same devices, and more of them at once.
    let faster = wanted(&firmware, json!({"max_concurrent_updates": 9}));
    let other = draft(&api, &body).await;
    let seen_slow = previewed(&api, &other).await;
    api.send(Method::PUT, &format!("/campaigns/{other}"), Some(&faster)).await.unwrap().success().unwrap();
    let refused = start(&api, &other, &seen_slow["plan_hash"], json!({})).await;
    let told = (refused.status.as_u16(), &refused.body["facts"]["drift"]["unexplained"]);
    assert_eq!(told, (409, &json!("specification_changed")), "{}", refused.body);
    let amended = wanted(&firmware, json!({"rollout_percentage": 50}));
    api.send(Method::PUT, &format!("/campaigns/{id}"), Some(&amended)).await.unwrap().success().unwrap();
    let refused = start(&api, &id, &seen["plan_hash"], json!({})).await;
    let drift = &refused.body["facts"]["drift"];
    assert_eq!(
        (refused.status.as_u16(), &drift["unexplained"]),
        (409, &json!("specification_changed")),
        "{}",
        refused.body
    );
    assert_eq!((&drift["previewed"]["devices"], &drift["changes"]), (&json!(10), &Value::Null), "{drift}");
    let told = "devices: 10 before, 5 now, not_sampled: 0 before, 5 now";
    assert!(refused.body["detail"].as_str().unwrap().contains(told), "{}", refused.body);

    let unknown = json!("ab".repeat(32));
    let refused = start(&api, &id, &unknown, json!({})).await;
    let told = (refused.status.as_u16(), &refused.body["facts"]["drift"]["unexplained"]);
    assert_eq!(told, (409, &json!("preview_unknown")), "{}", refused.body);
    for (body, field) in [(json!({"on_drift": "proceed"}), "on_drift"), (json!({"plan_hash": "ab"}), "plan_hash")] {
        let wrong = api.send(Method::POST, &format!("/campaigns/{id}/start"), Some(&body)).await.unwrap();
        assert_eq!((wrong.status.as_u16(), &wrong.body["errors"][0]["field"]), (422, &json!(field)), "{}", wrong.body);
    }
    let proceeded = start(&api, &id, &unknown, json!({"on_drift": "proceed"})).await.success().unwrap();
    assert_eq!(proceeded["drift"]["unexplained"], "preview_unknown", "{proceeded}");
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_start_is_compared_with_its_preview_when_it_is_due() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    world.register(&api, &devices(8)).await;
    api.post("/groups", &json!({"group_id": "hall", "name": "Hall 3"})).await.unwrap();
    api.post("/groups/hall/members", &json!({"device_ids": ["d-1", "d-2", "d-3"]})).await.unwrap();
    let filter = json!({"firmware_version": "<2.0.0", "tags": {"ring": "beta"}});
    api.post("/groups", &json!({"group_id": "beta", "name": "Beta", "filter": filter})).await.unwrap();
    let tag = async |id: &str| {
        let patch = json!({"tags": {"ring": "beta"}});
        api.send(Method::PATCH, &format!("/devices/{id}"), Some(&patch)).await.unwrap().success().unwrap();
    };
    tag("d-5").await;
    world.settles().await;
    let starts_at = runtime::clock::now() + chrono::TimeDelta::seconds(5);
    let targets = json!({
        "target_all": false, "target_groups": ["hall", "beta"], "scheduled_start": starts_at,
        "waves": [{"percentage": 100}],
    });
    let id = draft(&api, &wanted(&firmware, targets)).await;
    let seen = previewed(&api, &id).await;
    assert_eq!(seen["devices"], 4, "{seen}");
    let scheduled = start(&api, &id, &seen["plan_hash"], json!({"reason": "tonight"})).await.success().unwrap();
    assert_eq!(scheduled["status"], "scheduled", "{scheduled}");
    let path = format!("/campaigns/{id}");
    assert_eq!(previewed(&api, &id).await["plan_hash"], seen["plan_hash"], "a scheduled campaign can be previewed");
    api.post(&format!("{path}/pause"), &json!({"reason": "until the members are right"})).await.unwrap();
    assert_eq!(previewed(&api, &id).await["plan_hash"], seen["plan_hash"], "so can a paused one");
    let shown = api.get(&path).await.unwrap();
    assert_eq!(shown["expected_plan"]["plan_hash"], seen["plan_hash"], "{shown}");

    // One member leaves, one joins, and another device joins the dynamic group.
    let members = "/groups/hall/members";
    let leaves = json!({"device_ids": ["d-1"], "reason": "moved"});
    api.send(Method::DELETE, members, Some(&leaves)).await.unwrap().success().unwrap();
    api.post(members, &json!({"device_ids": ["d-4"]})).await.unwrap();
    tag("d-6").await;
    api.post(&format!("{path}/resume"), &json!({})).await.unwrap();
    let refused = world.until_get(&api, &path, "its plan is refused", |body| body["refused_plan"].is_object()).await;
    let state = (&refused["status"], &refused["started_at"], &refused["plan"]);
    assert_eq!(state, (&json!("draft"), &Value::Null, &Value::Null), "{refused}");
    assert!(refused.get("expected_plan").is_none(), "{refused}");
    let changes = &refused["refused_plan"]["drift"]["changes"];
    assert_eq!((&changes["added"], &changes["removed"]), (&json!(2), &json!(1)), "{refused}");
    let named = changes["devices"].as_array().unwrap();
    assert_eq!(named.iter().map(|one| &one["device"]).collect::<Vec<_>>(), ["d-1", "d-4", "d-6"], "{refused}");
    let history = api.get(&format!("{path}/history?limit=50")).await.unwrap();
    let types: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    let expected = ["created", "scheduled", "paused", "resumed", "planning_started", "plan_refused"];
    assert_eq!(types, expected.map(|name| format!("campaign.{name}")), "{history}");
    let file = format!("/firmware/{firmware}");
    world.until_get(&api, &file, "nothing pins the firmware", |body| body["pinned_by"] == json!([])).await;

    let again = previewed(&api, &id).await;
    let at_once = json!({"now": true, "reason": "as seen"});
    let started = start(&api, &id, &again["plan_hash"], at_once).await.success().unwrap();
    assert_eq!((&started["status"], &started["workflows_submitted"]), (&json!("running"), &json!(5)), "{started}");
    world.read_models_equal_a_replay().await;
}
