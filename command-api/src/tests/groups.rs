use axum::http::Method;
use domain::group::CHANGE_DEVICES_MAX;
use serde_json::{Value, json};

use super::{Answer, Api};

async fn hall(api: &Api) {
    let created = api.post("/groups", json!({"group_id": "hall-3", "name": "Hall 3"})).await;
    assert_eq!(created.status, 201, "{}", created.body);
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.problem())
}

fn statuses(answer: &Answer) -> Vec<u64> {
    answer.body["items"].as_array().unwrap().iter().map(|item| item["status"].as_u64().unwrap()).collect()
}

async fn remove(api: &Api, ids: Value) -> Answer {
    api.call(Method::DELETE, "/groups/hall-3/members", &[], json!({"device_ids": ids})).await
}

#[tokio::test]
async fn a_group_is_created_changed_and_shown_as_it_was() {
    let api = Api::new();
    let wanted = json!({"group_id": "beta", "name": "Beta", "description": "brave", "kind": "dynamic", "filter": {"tags": {"ring": "beta"}}});
    let created = api.post("/groups", wanted.clone()).await;
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.header("location"), "/api/v1/groups/beta");
    assert_eq!((created.header("etag"), &created.body["kind"]), ("\"1\"", &json!("dynamic")));
    assert_eq!(created.body["filter"], json!({"tags": {"ring": "beta"}}));
    assert_eq!((&created.body["member_count"], &created.body["created_by"]), (&Value::Null, &json!("user:42")));
    assert_eq!(api.post("/groups", wanted).await.status, 200, "the same again");
    let other = api.post("/groups", json!({"group_id": "beta", "name": "Other"})).await;
    assert_eq!(told(&other), (409, "group_exists"));

    let patch = json!({"description": null, "filter": {"device_model": "M", "device_type": null}});
    for method in [Method::PATCH, Method::PUT] {
        let amended = api.call(method, "/groups/beta", &[], patch.clone()).await;
        assert_eq!(amended.status, 200, "{}", amended.body);
        assert_eq!((&amended.body["name"], &amended.body["description"]), (&json!("Beta"), &Value::Null));
        assert_eq!((&amended.body["filter"], &amended.body["version"]), (&json!({"device_model": "M"}), &json!(2)));
    }
    let late = api.call(Method::PATCH, "/groups/beta", &[("If-Match", "\"1\"")], json!({"name": "x"})).await;
    assert_eq!(late.status, 412);
    let then = api.get(&format!("/groups/beta?at_position={}", api.nth(1))).await;
    assert_eq!((then.status.as_u16(), &then.body["description"]), (200, &json!("brave")), "{}", then.body);
    let history = api.get("/groups/beta/history").await;
    let types: Vec<&str> =
        history.body["items"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["group.created", "group.amended"]);

    let generated = api.post("/groups", json!({"name": "Spare"})).await;
    assert_eq!((generated.status.as_u16(), &generated.body["kind"]), (201, &json!("static")));
    assert_eq!(generated.body["member_count"], 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_group_is_named() {
    let api = Api::new();
    hall(&api).await;
    let create = async |more: Value| {
        let mut body = json!({"name": "g"});
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        let answer = api.post("/groups", body).await;
        (answer.status.as_u16(), answer.body["errors"][0]["field"].as_str().unwrap_or_default().to_owned())
    };
    for (more, field) in [
        (json!({"group_id": "a.b"}), "group_id"),
        (json!({"group_id": "bulk"}), "group_id"),
        (json!({"name": ""}), "name"),
        (json!({"kind": "dynamic"}), "filter"),
        (json!({"kind": "static", "filter": {"device_type": "a"}}), "filter"),
        (json!({"kind": "else"}), "kind"),
        (json!({"filter": {}}), "filter"),
        (json!({"filter": {"firmware_version": "<<1"}}), "filter.firmware_version"),
        (json!({"filter": {"colour": "red"}}), "filter.colour"),
        (json!({"colour": "red"}), "colour"),
    ] {
        assert_eq!(create(more.clone()).await, (422, field.to_owned()), "{more}");
    }
    let patch = async |patch: Value| api.call(Method::PATCH, "/groups/hall-3", &[], patch).await;
    for (body, field) in [
        (json!({"name": null}), "name"),
        (json!({"filter": null}), "filter"),
        (json!({"group_id": "other"}), "group_id"),
        (json!({"kind": "dynamic"}), "kind"),
    ] {
        let answer = patch(body.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["field"]), (422, &json!(field)), "{body}");
    }
    assert_eq!(told(&patch(json!({"filter": {"device_type": "a"}})).await), (409, "group_is_static"));
    let unknown = api.call(Method::PATCH, "/groups/none", &[], json!({"name": "x"})).await;
    assert_eq!(told(&unknown), (404, "group_unknown"));
    assert_eq!(api.get("/groups/none/history").await.status, 404);
    assert_eq!(told(&api.get("/groups").await), (503, "postgresql_unavailable"));
    assert_eq!(told(&api.get("/groups/hall-3/members").await), (503, "postgresql_unavailable"));
    assert_eq!(api.stored().await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_group() {
    let api = Api::new();
    let send = async |body: Value| api.call(Method::POST, "/groups", &[("Idempotency-Key", "k")], body).await;
    let first = send(json!({"name": "Spare"})).await;
    let again = send(json!({"name": "Spare"})).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.body["group_id"], again.body["group_id"]);
    for other in [json!({"name": "Else"}), json!({"name": "Spare", "group_id": "g"})] {
        assert_eq!(told(&send(other).await), (422, "idempotency_key_reused"));
    }
    hall(&api).await;
    let send = async |body: Value| api.call(Method::POST, "/groups", &[("Idempotency-Key", "l")], body).await;
    assert_eq!(told(&send(json!({"name": "x", "group_id": "hall-3"})).await), (409, "group_exists"));
    assert_eq!(send(json!({"name": "x", "group_id": "hall-4"})).await.status, 201, "a refused request leaves the key");
    let other = send(json!({"name": "x", "group_id": "hall-5"})).await;
    assert_eq!(told(&other), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn each_device_has_its_own_outcome_when_members_change() {
    let api = Api::new();
    hall(&api).await;
    for id in ["d-1", "d-2"] {
        api.device(id).await;
    }
    let members = "/groups/hall-3/members";
    let add = async |ids: Value, key: &str| {
        api.call(Method::POST, members, &[("Idempotency-Key", key)], json!({"device_ids": ids})).await
    };
    let added = add(json!(["d-1", "none", "a.b", "d-1", "bulk"]), "k").await;
    assert_eq!(added.status, 200, "{}", added.body);
    assert_eq!(statuses(&added), [201, 404, 422, 201, 422]);
    let counts =
        |answer: &Answer| ["member_count", "changed", "succeeded", "failed"].map(|name| answer.body[name].as_u64());
    assert_eq!(counts(&added), [1, 1, 2, 3].map(Some));
    assert_eq!(added.body["items"][1]["error"]["type"], "/problems/device_unknown");
    assert_eq!(
        (added.header("etag"), added.header("waybill-position")),
        ("\"2\"", added.body["position"].as_str().unwrap())
    );

    let again = add(json!(["d-1", "none", "a.b", "d-1", "bulk"]), "k").await;
    assert_eq!((&again.body["items"], &again.body["position"]), (&added.body["items"], &added.body["position"]));
    assert_eq!(told(&add(json!(["d-2"]), "k").await), (422, "idempotency_key_reused"));
    let more = add(json!(["d-1", "d-2"]), "l").await;
    assert_eq!((statuses(&more), counts(&more)), (vec![200, 201], [2, 1, 2, 0].map(Some)));
    let dry =
        api.call(Method::DELETE, "/groups/hall-3/members?dry_run=true", &[], json!({"device_ids": ["d-1"]})).await;
    assert_eq!((counts(&dry), &dry.body["dry_run"]), ([1, 1, 1, 0].map(Some), &json!(true)));
    let removed = remove(&api, json!(["d-1", "none", "a.b"])).await;
    assert_eq!((statuses(&removed), counts(&removed)), (vec![200, 200, 422], [1, 1, 2, 1].map(Some)));
    assert!(removed.body["warnings"][0].as_str().unwrap().contains("no reason"), "{}", removed.body);
    let nothing = remove(&api, json!(["d-1"])).await;
    assert_eq!(counts(&nothing), [1, 0, 1, 0].map(Some));

    let late = api.call(Method::POST, members, &[("If-Match", "\"2\"")], json!({"device_ids": ["d-1"]})).await;
    assert_eq!(told(&late), (412, "version_differs"));
    let unknown = api.post("/groups/none/members", json!({"device_ids": ["d-1"]})).await;
    assert_eq!(told(&unknown), (404, "group_unknown"));
    for body in [json!({}), json!({"device_ids": []}), json!({"device_ids": vec!["d"; 10_001]})] {
        let answer = api.post(members, body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["field"]), (422, &json!("device_ids")));
    }
    api.post("/groups", json!({"group_id": "beta", "name": "b", "filter": {"device_type": "a"}})).await;
    for ids in [json!(["d-1"]), json!(["none"])] {
        let answer = api.post("/groups/beta/members", json!({"device_ids": ids})).await;
        assert_eq!(told(&answer), (409, "group_is_dynamic"), "{ids}");
    }
}

#[tokio::test]
async fn a_repeated_change_of_members_has_its_first_outcome_for_ever() {
    let api = Api::new();
    hall(&api).await;
    api.device("d-1").await;
    let add = async |ids: Value, key: &str| {
        let body = json!({"device_ids": ids});
        api.call(Method::POST, "/groups/hall-3/members", &[("Idempotency-Key", key)], body).await
    };
    let first = add(json!(["d-1", "late"]), "k").await;
    assert_eq!(statuses(&first), [201, 404]);
    api.device("late").await;
    let stored = api.stored().await;
    let again = add(json!(["d-1", "late"]), "k").await;
    assert_eq!((&again.body["items"], &again.body["changed"]), (&first.body["items"], &json!(1)), "{}", again.body);
    assert_eq!(statuses(&add(json!(["d-1", "late"]), "l").await), [200, 201], "a request of its own");
    let again = add(json!(["d-1", "late"]), "k").await;
    assert_eq!(
        (&again.body["items"], &again.body["member_count"]),
        (&first.body["items"], &json!(1)),
        "as it was then"
    );
    delete_directly(&api).await;
    let again = add(json!(["d-1", "late"]), "k").await;
    assert_eq!((again.status.as_u16(), &again.body["items"]), (200, &first.body["items"]), "{}", again.body);
    assert_eq!(told(&add(json!(["d-1"]), "m").await), (404, "group_unknown"));
    assert_eq!(api.stored().await, stored + 2);
}

#[tokio::test]
async fn a_large_change_is_stored_in_steps() {
    let api = Api::new();
    hall(&api).await;
    let ids: Vec<String> = (0..10_000).map(|n| format!("d-{n}")).collect();
    for chunk in ids.chunks(5_000) {
        let items: Vec<Value> = chunk.iter().map(|id| json!({"device_id": id})).collect();
        assert_eq!(api.post("/devices/bulk", json!(items)).await.body["failed"], 0);
    }
    let members = "/groups/hall-3/members";
    let dry = async |method: Method, count: usize| {
        let answer =
            api.call(method, &format!("{members}?dry_run=true"), &[], json!({"device_ids": ids[..count]})).await;
        (answer.body["changed"].clone(), answer.body["member_count"].clone())
    };
    assert_eq!(dry(Method::POST, 10_000).await, (json!(10_000), json!(10_000)));
    let tagged = api.call(Method::POST, members, &[("If-Match", "*")], json!({"device_ids": ids})).await;
    assert_eq!((tagged.status.as_u16(), told(&tagged).1), (400, "bad_request"), "{}", tagged.body);
    let unknown = json!({"device_ids": (0..5_001).map(|n| format!("x-{n}")).collect::<Vec<_>>()});
    let nobody = api.call(Method::POST, members, &[("Idempotency-Key", "k")], unknown).await;
    assert_eq!((&nobody.body["changed"], &nobody.body["failed"]), (&json!(0), &json!(5_001)), "it leaves the key");
    let before = api.stored().await;
    let send = async || {
        let body = json!({"device_ids": ids});
        api.call(Method::POST, "/groups/hall-3/members", &[("Idempotency-Key", "k")], body).await
    };
    let added = send().await;
    assert_eq!((added.status.as_u16(), &added.body["member_count"]), (200, &json!(10_000)));
    let steps = 10_000_usize.div_ceil(CHANGE_DEVICES_MAX) as u64;
    let after = api.stored().await;
    assert_eq!(after, before + 1 + steps, "with the key's claim");
    let again = send().await;
    assert_eq!((&again.body["changed"], &again.body["items"]), (&json!(10_000), &added.body["items"]));
    let other = api.call(Method::POST, members, &[("Idempotency-Key", "k")], json!({"device_ids": ids[..9_000]})).await;
    assert_eq!(told(&other), (422, "idempotency_key_reused"));
    assert_eq!(api.stored().await, after, "the repeated request stores nothing");
    assert_eq!(dry(Method::DELETE, 9_000).await, (json!(9_000), json!(1_000)));
}

#[tokio::test]
async fn groups_that_a_campaign_targets_must_exist() {
    let api = Api::new();
    hall(&api).await;
    let firmware = api.firmware("2.0.0").await;
    let wanted = |groups: Value| json!({"name": "c", "firmware_id": firmware, "deployment_strategy": "immediate", "target_groups": groups});
    let created = api.post("/campaigns", wanted(json!(["hall-3"]))).await;
    assert_eq!(
        (created.status.as_u16(), &created.body["target_groups"]),
        (201, &json!(["hall-3"])),
        "{}",
        created.body
    );
    let path = format!("/campaigns/{}", created.body["campaign_id"].as_str().unwrap());
    for answer in [
        api.post("/campaigns", wanted(json!(["hall-3", "none"]))).await,
        api.call(Method::PUT, &path, &[], wanted(json!(["hall-3", "none"]))).await,
    ] {
        assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["field"]), (422, &json!("target_groups[1]")));
    }
    let empty = api.post("/campaigns", wanted(json!([]))).await;
    assert_eq!((empty.status.as_u16(), &empty.body["errors"][0]["field"]), (422, &json!("target_devices")));
    // Deletion asks PostgreSQL for campaigns under way, so the group is deleted directly.
    let away = api.call(Method::DELETE, "/groups/hall-3", &[], Value::Null).await;
    assert_eq!(told(&away), (503, "postgresql_unavailable"));
    delete_directly(&api).await;
    for command in ["start", "clone"] {
        let answer = api.post(&format!("{path}/{command}"), json!({})).await;
        assert_eq!(told(&answer), (409, "target_group_gone"), "{command}");
        assert_eq!(answer.body["facts"]["groups"], json!(["hall-3"]));
    }
    assert_eq!(told(&api.call(Method::DELETE, "/groups/hall-3", &[], Value::Null).await), (404, "group_unknown"));
}

async fn delete_directly(api: &Api) {
    use domain::group::{Group, GroupCommand};
    use domain::{Actor, CommandId, GroupId, Key, TenantId};
    let key = Key::<Group>::new(&TenantId::new("acme").unwrap(), &GroupId::new("hall-3").unwrap());
    let id = CommandId(runtime::clock::new_id());
    let request = event_store::Request::new(id, Actor::new("user:42").unwrap(), GroupCommand::Delete);
    api.store.execute(&key, request).await.unwrap();
}

#[tokio::test]
async fn devices_that_are_named_are_held_and_released_without_postgresql() {
    let api = Api::new();
    for id in ["d-1", "d-2"] {
        api.device(id).await;
    }
    let send = async |command: &str, key: &str, body: Value| {
        api.call(Method::POST, &format!("/devices/bulk/{command}"), &[("Idempotency-Key", key)], body).await
    };
    let body = json!({"device_ids": ["d-1", "none", "a.b", "d-2"], "until": "2099-12-31T00:00:00Z", "reason": "audit"});
    let held = send("hold", "k", body.clone()).await;
    assert_eq!((held.status.as_u16(), statuses(&held)), (200, vec![200, 404, 422, 200]), "{}", held.body);
    assert_eq!((&held.body["changed"], &held.body["failed"]), (&json!(2), &json!(2)));
    let twice = api.post("/devices/bulk/hold?dry_run=true", json!({"device_ids": ["d-1", "d-2", "d-1"]})).await;
    assert_eq!(statuses(&twice), [200, 200, 422]);
    assert_eq!(twice.body["items"][2]["error"]["errors"][0]["field"], "device_ids[2]");
    let stored = api.stored().await;
    let again = send("hold", "k", body).await;
    assert_eq!(
        (&again.body["items"], &again.body["correlation_id"]),
        (&held.body["items"], &held.body["correlation_id"])
    );
    assert_eq!(api.stored().await, stored);
    let released = send("release", "l", json!({"device_ids": ["d-1"]})).await;
    assert!(released.body["warnings"][0].as_str().unwrap().contains("no reason"), "{}", released.body);
    assert_eq!(released.body["changed"], 1);
    for (command, body, field) in [
        ("hold", json!({}), "device_ids"),
        ("hold", json!({"device_ids": ["d-1"], "group": "g"}), "device_ids"),
        ("hold", json!({"device_ids": vec!["d"; 10_001]}), "device_ids"),
        ("hold", json!({"device_ids": ["d-1"], "after": "d-0"}), "after"),
        ("hold", json!({"target_filters": {}}), "target_filters"),
        ("hold", json!({"target_filters": {"firmware_version": "<<1"}}), "target_filters.firmware_version"),
        ("hold", json!({"group": "a.b"}), "group"),
        ("hold", json!({"device_ids": ["d-1"], "until": "0000-01-01T00:00:00Z"}), "until"),
        ("hold", json!({"device_ids": ["d-1"], "reason": "x".repeat(1_001)}), "reason"),
        ("release", json!({"device_ids": ["d-1"], "reason": "a\0b"}), "reason"),
        ("release", json!({"device_ids": ["d-1"], "until": "2099-12-31T00:00:00Z"}), "until"),
    ] {
        let answer = api.post(&format!("/devices/bulk/{command}"), body.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["field"]), (422, &json!(field)), "{body}");
    }
    let away = send("hold", "m", json!({"group": "g"})).await;
    assert_eq!(told(&away), (503, "postgresql_unavailable"));
    let other = send("hold", "m", json!({"device_ids": ["d-1"]})).await;
    assert_eq!(statuses(&other), [200], "a refused request leaves the key");
    let tagged =
        api.call(Method::POST, "/devices/bulk/hold", &[("If-Match", "*")], json!({"device_ids": ["d-1"]})).await;
    assert_eq!(tagged.status, 400);
}
