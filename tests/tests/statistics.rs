//! Statistics against the lists, the status of a campaign and a fold of the log, at one position.

use std::collections::{BTreeMap, HashMap};

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{Records, TENANT, World};

/// Outcomes that statistics call failed.
const FAILED: [&str; 3] = ["update.failed", "update.timed_out", "update.rejected"];

fn sequence(as_of: &Value) -> u64 {
    as_of["position"].as_str().unwrap().split_once('-').unwrap().1.parse().unwrap()
}

/// What a fold of the tenant's events finds, by kind of update and what happened.
async fn folded(world: &World, until: u64) -> BTreeMap<(String, String), u64> {
    let mut kinds = HashMap::new();
    let mut found = BTreeMap::new();
    for (position, (raw, record)) in Records::read(world).await.0 {
        if position > until || raw.key.tenant.as_str() != TENANT || raw.key.kind.as_str() != "device" {
            continue;
        }
        for stored in &record.events {
            let event: Value = serde_json::from_str(stored.event.get()).unwrap();
            let kind = event["type"].as_str().unwrap();
            let update = (raw.key.id.clone(), event["update"]["ordinal"].as_u64());
            if kind == "update.queued" {
                let rolls_back = event["spec"]["kind"] == "rollback";
                kinds.insert(update.clone(), if rolls_back { "rollbacks" } else { "updates" });
            }
            let Some(of) = kinds.get(&update) else { continue };
            let is_retry = kind == "update.dispatched" && event["update"]["attempt"].as_u64() > Some(1);
            let what = match kind {
                "update.queued" => "requested",
                "update.confirmed" => "confirmed",
                "update.dispatched" if is_retry => "retries",
                "device.version_regressed" => "regressed",
                failed if FAILED.contains(&failed) => "failed",
                _ => continue,
            };
            *found.entry(((*of).to_owned(), what.to_owned())).or_default() += 1;
        }
    }
    found
}

async fn total(api: &ApiClient, path: &str) -> Value {
    let mark = if path.contains('?') { '&' } else { '?' };
    api.get(&format!("{path}{mark}count=true&limit=1")).await.unwrap()["total"].clone()
}

/// Checks every figure against the lists, the log and the campaign's status. Nothing may happen meanwhile.
pub(crate) async fn agree_with_the_log(world: &World, api: &ApiClient, campaign: &str, firmware: &str) {
    world.settles().await;
    let stats = api.get("/stats").await.unwrap();
    let at = sequence(&stats["as_of"]);
    let period = &stats["period"];
    let log = folded(world, at).await;
    for kind in ["updates", "rollbacks"] {
        for what in ["requested", "confirmed", "failed", "retries", "regressed"] {
            let in_log = log.get(&(kind.to_owned(), what.to_owned())).copied().unwrap_or(0);
            assert_eq!(period[kind][what], in_log, "{kind} {what} of {period}");
        }
    }
    let happened = |kind: &str, what: &str| log.get(&(kind.to_owned(), what.to_owned())).copied().unwrap_or(0);
    for (kind, what) in [
        ("updates", "confirmed"),
        ("updates", "failed"),
        ("updates", "retries"),
        ("updates", "regressed"),
        ("rollbacks", "confirmed"),
    ] {
        assert!(happened(kind, what) > 0, "nothing to compare: {kind} {what}");
    }
    let (confirmed, failed) = (happened("updates", "confirmed"), happened("updates", "failed"));
    let rate = (confirmed as f64 * 1_000.0 / (confirmed + failed) as f64).round() / 10.0;
    assert_eq!(period["success_rate"], rate);
    let times = &period["times"];
    assert_eq!(times["total"]["number"], confirmed, "{times}");
    for phase in ["queued", "dispatched", "accepted", "downloading", "installing", "rebooting", "total"] {
        let (average, p50, p95) = (&times[phase]["average_s"], &times[phase]["p50_s"], &times[phase]["p95_s"]);
        assert!(average.as_f64() >= Some(0.0) && p95.as_f64() >= p50.as_f64(), "{phase}: {times}");
    }

    for (phase, number) in stats["updates"].as_object().unwrap() {
        assert_eq!(total(api, &format!("/updates?phase={phase}")).await, *number, "{phase}");
    }
    for status in ["online", "offline", "never_seen"] {
        assert_eq!(total(api, &format!("/devices?status={status}")).await, stats["devices"][status], "{status}");
    }
    assert_eq!(total(api, "/devices").await, stats["devices"]["total"]);
    for (status, number) in stats["campaigns"].as_object().unwrap() {
        assert_eq!(total(api, &format!("/campaigns?status={status}")).await, *number, "{status}");
    }

    failures_agree(api, campaign, at).await;
    versions_agree(api, at).await;
    downloads_are_listed(world, api, firmware).await;
    others_see_nothing(world, api, campaign, firmware).await;
    // The rows equal those of a rebuild.
    world.read_models_equal_a_replay().await;
}

async fn failures_agree(api: &ApiClient, campaign: &str, at: u64) {
    let status = api.get(&format!("/campaigns/{campaign}/status")).await.unwrap();
    for by in ["", "?group_by=code", "?group_by=code,hardware_version,from_version,wave", "?group_by=wave"] {
        let failures = api.get(&format!("/campaigns/{campaign}/failures{by}")).await.unwrap();
        assert_eq!((&failures["failed"], sequence(&failures["as_of"])), (&status["failed"], at), "{failures}");
        let items = failures["items"].as_array().unwrap();
        assert_eq!(items.iter().map(|item| item["devices"].as_u64().unwrap()).sum::<u64>(), failures["failed"]);
        if by.contains("code") {
            let mut codes = BTreeMap::<&str, u64>::new();
            for item in items {
                *codes.entry(item["code"].as_str().unwrap()).or_default() += item["devices"].as_u64().unwrap();
            }
            assert_eq!(json!(codes), status["failures_by_code"], "{by}");
        }
    }
    for bad in ["group_by=device", "group_by=code,code", "by=code"] {
        let refused = api.send(Method::GET, &format!("/campaigns/{campaign}/failures?{bad}"), None).await.unwrap();
        assert_eq!(refused.status.as_u16(), 400, "{bad}: {}", refused.body);
    }
}

async fn versions_agree(api: &ApiClient, at: u64) {
    let versions = api.get("/stats/versions?group_by=device_model").await.unwrap();
    assert_eq!(sequence(&versions["as_of"]), at);
    assert_eq!(versions["devices"], total(api, "/devices").await);
    for item in versions["items"].as_array().unwrap() {
        let filter = format!(
            "/devices?device_model={}&firmware_version={}",
            item["device_model"].as_str().unwrap(),
            item["version"].as_str().unwrap()
        );
        assert_eq!(total(api, &filter).await, item["devices"], "{item}");
    }
    let before = api.get("/stats/versions?at=2020-03-01T14:03:27Z").await.unwrap();
    assert_eq!((&before["devices"], &before["as_of"]["time"]), (&json!(0), &json!("2020-03-01T14:03:00Z")), "{before}");
    for (query, status) in
        [("at=2999-01-01T00:00:00Z", 422), ("at=x", 400), ("group_by=name", 400), ("component=A!", 400)]
    {
        let refused = api.send(Method::GET, &format!("/stats/versions?{query}"), None).await.unwrap();
        assert_eq!(refused.status.as_u16(), status, "{query}: {}", refused.body);
    }
}

async fn downloads_are_listed(world: &World, api: &ApiClient, firmware: &str) {
    let before = api.get(&format!("/firmware/{firmware}")).await.unwrap()["downloads"]["completed"].as_u64().unwrap();
    let link = api.get(&format!("/firmware/{firmware}/download")).await.unwrap();
    let bytes = reqwest::get(link["download_url"].as_str().unwrap()).await.unwrap().bytes().await.unwrap().len();
    let counted = |body: &Value| body["downloads"]["completed"] == before + 1;
    let shown = world.until_get(api, &format!("/firmware/{firmware}"), "it is counted", counted).await;
    for by in ["day", "device", "device,day"] {
        let page = api.get(&format!("/firmware/{firmware}/downloads?group_by={by}")).await.unwrap();
        let sum =
            |what: &str| page["items"].as_array().unwrap().iter().map(|item| item[what].as_u64().unwrap()).sum::<u64>();
        assert_eq!(json!(sum("bytes")), shown["downloads"]["bytes"], "{by}: {page}");
        assert_eq!(json!(sum("completed")), shown["downloads"]["completed"], "{by}: {page}");
    }
    let by_device = api.get(&format!("/firmware/{firmware}/downloads?group_by=device")).await.unwrap();
    assert_eq!((&by_device["items"][0]["device_id"], &by_device["items"][0]["bytes"]), (&json!(""), &json!(bytes)));
    let sent = &api.get("/stats").await.unwrap()["period"]["bytes"];
    assert!(sent.as_u64() >= Some(bytes as u64), "{sent}");
    let none = api.send(Method::GET, "/firmware/00000000-0000-0000-0000-000000000001/downloads", None).await.unwrap();
    assert_eq!(none.status.as_u16(), 404, "{}", none.body);
}

async fn others_see_nothing(world: &World, api: &ApiClient, campaign: &str, firmware: &str) {
    let rival = world.operator_of("rival", &["admin"]).await;
    let stats = rival.get("/stats").await.unwrap();
    assert_eq!(
        (&stats["devices"]["total"], &stats["period"]["days"], &stats["in_flight"]),
        (&json!(0), &json!([]), &json!(0))
    );
    assert_eq!(rival.get("/stats/versions").await.unwrap()["devices"], 0);
    for path in [format!("/campaigns/{campaign}/failures"), format!("/firmware/{firmware}/downloads")] {
        assert_eq!(rival.send(Method::GET, &path, None).await.unwrap().status.as_u16(), 404, "{path}");
    }
    // A caller whose role holds for some devices sees the versions of these, and no sums over all.
    let lea = ApiClient::sign_in_as(&world.base(), TENANT, "lea", "person", &[]).await.unwrap();
    let grants = json!({"grants": [{"role": "viewer", "own": true}], "reason": "r"});
    api.send(Method::PUT, "/members/user:lea", Some(&grants)).await.unwrap().success().unwrap();
    let device = json!({"device_id": "leas", "device_model": "other", "owner": "lea", "firmware_version": "7.0.0"});
    api.post("/devices", &device).await.unwrap();
    world.settles().await;
    let own = lea.get("/stats/versions?group_by=device_model").await.unwrap();
    assert_eq!(own["items"], json!([{"version": "7.0.0", "device_model": "other", "devices": 1}]), "{own}");
    for path in ["/stats", "/stats/versions?at=2020-01-01T00:00:00Z"] {
        let refused = lea.send(Method::GET, path, None).await.unwrap();
        let sentence = refused.body["detail"].as_str().unwrap_or_default();
        assert!(refused.status.as_u16() == 403 && sentence.ends_with("only for some of them"), "{}", refused.body);
    }
}
