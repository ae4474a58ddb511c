//! Previews over REST: the plan that a campaign would begin with.

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
