//! The search, lists of the past, facets and series: against what single reads say. Called where there is something to find.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{TENANT, World};

/// Moments at which lists are compared with single reads.
const MOMENTS: usize = 6;
/// More pages than any list here has.
const PAGES_MAX: usize = 50;

fn items(body: &Value) -> &Vec<Value> {
    body["items"].as_array().unwrap()
}

/// What a search finds, as kind, id and what matched.
async fn found(api: &ApiClient, text: &str) -> Vec<(String, String, String)> {
    let body = api.get(&format!("/search?q={text}&limit=50")).await.unwrap();
    assert!(body["as_of"]["position"].is_string(), "{body}");
    let word = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    items(&body).iter().map(|item| (word(item, "kind"), word(item, "id"), word(item, "matched"))).collect()
}

async fn status_of(api: &ApiClient, path: &str) -> u16 {
    api.send(Method::GET, path, None).await.unwrap().status.as_u16()
}

/// All items of a list, page by page.
async fn listed(api: &ApiClient, path: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = api.get(&format!("{path}&limit=2{cursor}")).await.unwrap();
        assert!(items(&page).len() <= 2 && page["as_of"]["time"].is_string(), "{page}");
        all.extend(items(&page).iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
    panic!("pages without end of {path}")
}

/// Everything has its place in the search, for those who may see it.
pub(crate) async fn finds_everything(world: &World, api: &ApiClient, campaign: &str, firmware: &str) {
    world.settles().await;
    let sha256 =
        api.get(&format!("/firmware/{firmware}")).await.unwrap()["checksum_sha256"].as_str().unwrap().to_owned();
    let event = api.get("/audit?type=update.confirmed&limit=1").await.unwrap()["items"][0].clone();
    let (position, correlation) = (event["position"].as_str().unwrap(), event["correlation_id"].as_str().unwrap());
    let (record, beginning) = (position.split_once('.').unwrap().0, sha256[..10].to_uppercase());
    for (text, kind, id, matched) in [
        ("D-1", "device", "d-1", "id"),
        (campaign, "campaign", campaign, "id"),
        (firmware, "firmware", firmware, "id"),
        (&*sha256, "firmware", firmware, "digest"),
        (&*beginning, "firmware", firmware, "digest"),
        ("2.0", "firmware", firmware, "version"),
        ("d-0~1", "update", "d-0~1", "id"),
        (correlation, "correlation", correlation, "correlation_id"),
        (position, "event", position, "position"),
        (record, "event", position, "position"),
    ] {
        let hits = found(api, text).await;
        assert!(hits.contains(&(kind.to_owned(), id.to_owned(), matched.to_owned())), "{text}: {hits:?}");
    }
    let few = api.get("/search?q=d-&limit=2").await.unwrap();
    assert_eq!((items(&few).len(), &few["more"]), (2, &json!(["device"])), "{few}");
    for bad in ["/search", "/search?q=", "/search?q=%20", "/search?q=d&limit=51", "/search?q=d&limit=0"] {
        assert_eq!(status_of(api, bad).await, 400, "{bad}");
    }
    assert_eq!(status_of(api, &format!("/search?q={}", "a".repeat(201))).await, 400);
    assert_eq!(found(api, &format!("{}%00", "é".repeat(50))).await, []);
    let by_digest = api.get(&format!("/firmware?sha256={}", &sha256[..8])).await.unwrap();
    assert_eq!((items(&by_digest).len(), &by_digest["items"][0]["firmware_id"]), (1, &json!(firmware)));
    assert_eq!(status_of(api, "/firmware?sha256=abc").await, 400);

    let viewer = world.operator_of(TENANT, &["viewer"]).await;
    for text in [correlation, position] {
        assert_eq!(found(&viewer, text).await, [], "{text} is of the audit");
    }
    assert!(!found(&viewer, "d-").await.is_empty());
    let rival = world.operator_of("rival", &["admin"]).await;
    for text in ["d-", campaign, firmware, &sha256, "d-0~1", correlation, position] {
        assert_eq!(found(&rival, text).await, [], "{text}");
    }
    // Her role holds for the device that she owns.
    let lea = ApiClient::sign_in_as(&world.base(), TENANT, "lea", "person", &[]).await.unwrap();
    let own = found(&lea, "lea").await;
    assert_eq!(own, [("device".to_owned(), "leas".to_owned(), "id".to_owned())]);
    for text in ["d-", campaign, firmware, "d-0~1", position] {
        assert_eq!(found(&lea, text).await, [], "{text}");
    }
    for path in ["/devices?at=2026-01-01T00:00:00Z", "/stats/versions/series", "/audit/facets"] {
        assert_eq!(status_of(&lea, path).await, 403, "{path}");
    }
}

/// Lists of the past have what single reads of the past have.
pub(crate) async fn lists_of_the_past_agree(api: &ApiClient, campaign: &str) {
    let audit = api.get("/audit?order=asc&limit=200").await.unwrap();
    let times: Vec<&str> = items(&audit).iter().map(|item| item["stored_at"].as_str().unwrap()).collect();
    for at in times.iter().step_by(times.len() / MOMENTS) {
        let mut single = Vec::new();
        for n in 0..6 {
            let reply = api.send(Method::GET, &format!("/devices/d-{n}?at_time={at}"), None).await.unwrap();
            single.extend((reply.status.as_u16() == 200).then_some(reply.body));
        }
        assert_eq!(listed(api, &format!("/devices?at={at}&q=d-")).await, single, "{at}");
        for (query, field, value) in [
            ("firmware_version=2.0.0", "firmware_version", "2.0.0"),
            ("firmware_version=1.0.0", "firmware_version", "1.0.0"),
            ("status=online", "status", "online"),
            ("status=never_seen", "status", "never_seen"),
        ] {
            let wanted: Vec<_> = single.iter().filter(|device| device[field] == value).cloned().collect();
            assert_eq!(listed(api, &format!("/devices?at={at}&{query}&q=d-")).await, wanted, "{query} at {at}");
        }
        let then = api.send(Method::GET, &format!("/campaigns/{campaign}?at_time={at}"), None).await.unwrap();
        let listed = listed(api, &format!("/campaigns?at={at}")).await;
        let shown = listed.into_iter().find(|one| one["campaign_id"] == campaign);
        assert_eq!(shown, (then.status.as_u16() == 200).then_some(then.body), "{at}");
    }
    for (path, status) in [
        ("/devices?at=2026-01-01T00:00:00Z&group=g", 400),
        ("/devices?at=2026-01-01T00:00:00Z&count=true", 400),
        ("/campaigns?at=2026-01-01T00:00:00Z&count=true", 400),
        ("/devices?at=2999-01-01T00:00:00Z", 422),
        ("/campaigns?at=2999-01-01T00:00:00Z", 422),
        ("/devices?at=x", 400),
    ] {
        assert_eq!(status_of(api, path).await, status, "{path}");
    }
    for list in ["/devices", "/campaigns", "/firmware", "/updates", "/groups"] {
        assert!(api.get(list).await.unwrap()["as_of"]["position"].is_string(), "{list}");
    }
}

/// Facets, series, filters of a history and of commands for many devices, and what platform admins see.
pub(crate) async fn numbers_agree(api: &ApiClient, campaign: &str) {
    let facets = api.get(&format!("/audit/facets?campaign_id={campaign}")).await.unwrap();
    let sum = |facet: &str| {
        let values = facets[facet].as_array().unwrap();
        values.iter().map(|one| one["events"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(facets["is_complete"], true, "{facets}");
    for facet in ["types", "actors", "aggregates"] {
        assert_eq!(json!(sum(facet)), facets["events"], "{facet}: {facets}");
    }
    let confirmed = facets["types"].as_array().unwrap().iter().find(|one| one["value"] == "update.confirmed").unwrap();
    let listed = listed_audit(api, &format!("campaign_id={campaign}&type=update.confirmed")).await;
    assert_eq!(confirmed["events"], json!(listed), "{facets}");
    let types = api.get("/audit/types").await.unwrap();
    let of_devices = items(&types).iter().find(|one| one["aggregate"] == "device").unwrap();
    assert!(of_devices["types"].as_array().unwrap().contains(&json!("update.confirmed")), "{types}");

    let series = api.get("/stats/versions/series?step=1h").await.unwrap();
    let last = |numbers: &Value| numbers.as_array().unwrap().last().cloned().unwrap();
    let then = api.get(&format!("/stats/versions?at={}", last(&series["times"]).as_str().unwrap())).await.unwrap();
    assert_eq!(last(&series["devices"]), then["devices"], "{series}");
    for path in [
        "/stats/versions/series?step=1m&from=2026-01-01T00:00:00Z",
        "/stats/versions/series?step=x",
        "/stats/versions/series?component=A!",
    ] {
        assert_eq!(status_of(api, path).await, 400, "{path}");
    }

    let ran = api.get("/devices/d-3/firmware-history?cause=confirmed&order=desc").await.unwrap();
    let versions: Vec<&Value> = items(&ran).iter().map(|item| &item["to_version"]).collect();
    assert_eq!(versions, ["1.0.0", "2.0.0"], "{ran}");
    let of_campaign = api.get(&format!("/devices/d-3/firmware-history?campaign_id={campaign}")).await.unwrap();
    assert_eq!((items(&of_campaign).len(), &of_campaign["items"][0]["to_version"]), (1, &json!("2.0.0")));
    assert_eq!(status_of(api, "/devices/d-3/firmware-history?cause=magic").await, 400);

    let held =
        api.post("/devices/bulk/hold?dry_run=true", &json!({"q": "D-", "status": "online", "reason": "r"})).await;
    let held = held.unwrap();
    assert_eq!(items(&held).len(), items(&api.get("/devices?q=d-&status=online").await.unwrap()).len(), "{held}");
    let wrong = json!({"q": "d-", "device_ids": ["d-1"]});
    assert_eq!(api.send(Method::POST, "/devices/bulk/hold", Some(&wrong)).await.unwrap().status.as_u16(), 422);
}

/// How many events a filter finds.
async fn listed_audit(api: &ApiClient, query: &str) -> usize {
    items(&api.get(&format!("/audit?{query}&limit=200")).await.unwrap()).len()
}
