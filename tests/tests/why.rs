//! Why devices run what they run, and the audit: compared with a fold of the log, at one position.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, ManualDevice, Records, TENANT, World, devices};

const UPDATED: &str = "d-0";
const FAILED: &str = "d-1";
const RETRIED: &str = "d-2";
const ROLLED_BACK: &str = "d-3";
const REGRESSED: &str = "d-4";
const UNTOUCHED: &str = "d-5";

/// An event of the log, by its place in replies.
#[derive(Debug, Clone, PartialEq)]
struct Logged {
    kind: String,
    aggregate: String,
    id: String,
    actor: String,
    correlation: String,
    cause: Option<u64>,
    text: String,
}

/// Whether an event is to be shown.
type Wanted<'a> = Box<dyn Fn(&Logged) -> bool + 'a>;

/// The tenant's events up to a position, by sequence and index.
async fn logged(world: &World, until: u64) -> BTreeMap<(u64, usize), Logged> {
    let mut all = BTreeMap::new();
    for (position, (raw, record)) in Records::read(world).await.0.into_iter().filter(|(position, _)| *position <= until)
    {
        if raw.key.tenant.as_str() != TENANT {
            continue;
        }
        for (index, stored) in record.events.iter().enumerate() {
            let event: Value = serde_json::from_str(stored.event.get()).unwrap();
            let meta = stored.metadata(&record.meta);
            let event = Logged {
                kind: event["type"].as_str().unwrap().to_owned(),
                aggregate: raw.key.kind.to_string(),
                id: raw.key.id.to_string(),
                actor: meta.actor.to_string(),
                correlation: meta.correlation_id.to_string(),
                cause: meta.causation_position,
                text: event.to_string(),
            };
            all.insert((position, index), event);
        }
    }
    all
}

/// `{created_ms}-{sequence}.{index}` as sequence and index.
fn place(item: &Value) -> (u64, usize) {
    let (_, rest) = item["position"].as_str().unwrap().split_once('-').unwrap();
    let (sequence, index) = rest.split_once('.').unwrap();
    (sequence.parse().unwrap(), index.parse().unwrap())
}

fn sequence(position: &Value) -> u64 {
    position.as_str().unwrap().split_once('-').unwrap().1.parse().unwrap()
}

/// A campaign in which one device is updated, one fails, one needs a second attempt, one is rolled back afterwards and one falls back.
struct Past {
    campaign: String,
    newer: String,
    _players: Vec<ManualDevice>,
}

async fn is_told(device: &ManualDevice, ordinal: u64, attempt: u64) {
    let wanted = |command: &Value| {
        command["command"] == "ota_update" && command["ordinal"] == ordinal && command["attempt"] == attempt
    };
    device.hears("its command", wanted).await;
}

async fn happened(world: &World, api: &ApiClient) -> Past {
    world.firmware(api, "1.0.0").await;
    let newer = world.firmware(api, "2.0.0").await;
    world.register(api, &devices(6)).await;
    let mut players = Vec::new();
    for n in 0..6 {
        let player = world.manual_device(&format!("d-{n}")).await;
        player.boots("b1", "1.0.0").await;
        players.push(player);
    }
    world.online(api, 6).await;
    let targets = json!({
        "deployment_strategy": "immediate", "target_all": false, "failure_threshold_percent": 90,
        "target_devices": [UPDATED, FAILED, RETRIED, ROLLED_BACK, REGRESSED],
    });
    let campaign = world.campaign(api, &newer, targets).await;
    for player in &players[..5] {
        is_told(player, 1, 1).await;
    }
    for (player, code) in [(1, "unsupported"), (2, "download_failed")] {
        let failed = json!({"attempt": 1, "status": "failed", "code": code});
        players[player].says("updates/1/status", &failed).await;
    }
    for player in [0, 3, 4] {
        players[player].installs(1, 1, "b2", "2.0.0").await;
    }
    is_told(&players[2], 1, 2).await;
    players[2].installs(1, 2, "b2", "2.0.0").await;
    world.campaign_is(api, &campaign, &["completed_with_failures"]).await;

    players[4].boots("b3", "1.0.0").await;
    let back = json!({"reason": "=2.0.0 loses its network"});
    api.post(&format!("/devices/{ROLLED_BACK}/rollback"), &back).await.unwrap();
    is_told(&players[3], 2, 1).await;
    players[3].installs(2, 1, "b3", "1.0.0").await;
    for device in [ROLLED_BACK, REGRESSED] {
        let runs = |body: &Value| body["firmware_version"] == "1.0.0";
        world.until_get(api, &format!("/devices/{device}"), "it runs 1.0.0 again", runs).await;
    }
    let settled = |body: &Value| body["items"][0]["phase"] == "confirmed";
    let updates = format!("/devices/{ROLLED_BACK}/updates");
    world.until_get(api, &updates, "the rollback is confirmed", settled).await;
    world.settles().await;
    Past { campaign, newer, _players: players }
}

/// Checks a chain against the log: each link is an event of it, and its cause is a link, too. Returns the types.
fn whole(chain: &Value, log: &BTreeMap<(u64, usize), Logged>) -> Vec<String> {
    let links = chain["links"].as_array().unwrap();
    assert_eq!(chain["is_cut"], false, "{chain}");
    assert!(!links.is_empty(), "{chain}");
    let places: Vec<_> = links.iter().map(place).collect();
    assert!(places.is_sorted_by(|one, next| one < next), "{chain}");
    for (link, at) in links.iter().zip(&places) {
        let event = log.get(at).unwrap_or_else(|| panic!("{link} is not in the log"));
        assert_eq!(
            (&link["type"], &link["actor"], &link["aggregate"], &link["aggregate_id"]),
            (&json!(event.kind), &json!(event.actor), &json!(event.aggregate), &json!(event.id))
        );
        assert!(link["detail"].as_str().is_some_and(|detail| !detail.is_empty()) && link["recorded_at"].is_string());
        let is_linked = |cause| places.iter().any(|(sequence, _)| *sequence == cause);
        assert!(event.cause.is_none_or(is_linked), "the cause of {link} is missing in {chain}");
    }
    assert_eq!(log[&places[0]].cause, None, "{chain}");
    links.iter().map(|link| link["type"].as_str().unwrap().to_owned()).collect()
}

async fn why(api: &ApiClient, device: &str, at: &str) -> Value {
    api.get(&format!("/devices/{device}/why?at_position={at}")).await.unwrap()
}

async fn the_chains_are_whole(api: &ApiClient, past: &Past, log: &BTreeMap<(u64, usize), Logged>, at: &str) {
    let ends = |types: &[String], first: &str, last: &str| {
        assert_eq!((types[0].as_str(), types.last().unwrap().as_str()), (first, last), "{types:?}");
    };
    for (device, attempts) in [(UPDATED, 1), (RETRIED, 2)] {
        let told = why(api, device, at).await;
        assert_eq!((&told["cause"], &told["version"]), (&json!("update"), &json!("2.0.0")), "{told}");
        assert_eq!((&told["campaign_id"], &told["latest_update"]), (&json!(past.campaign), &Value::Null));
        let types = whole(&told, log);
        ends(&types, "campaign.planning_started", "update.confirmed");
        assert!(told["links"][0]["actor"].as_str().unwrap().starts_with("user:"));
        for wanted in ["slots.granted", "update.queued", "update.dispatched", "update.installing"] {
            assert!(types.iter().any(|kind| kind == wanted), "{wanted} is missing in {types:?}");
        }
        assert_eq!(types.iter().filter(|kind| *kind == "update.dispatched").count(), attempts, "{types:?}");
    }
    let failed = why(api, FAILED, at).await;
    assert_eq!((&failed["version"], &failed["cause"]), (&json!("1.0.0"), &json!("stated")), "{failed}");
    assert_eq!(failed["latest_update"]["answer"], "the update failed with unsupported");
    ends(&whole(&failed["latest_update"], log), "campaign.planning_started", "update.failed");
    whole(&failed, log);

    let back = why(api, ROLLED_BACK, at).await;
    assert_eq!((&back["cause"], &back["version"]), (&json!("rollback"), &json!("1.0.0")), "{back}");
    ends(&whole(&back, log), "update.queued", "update.confirmed");
    assert_eq!(back["links"][0]["reason"], "=2.0.0 loses its network");

    let fell = why(api, REGRESSED, at).await;
    assert_eq!((&fell["cause"], &fell["version"]), (&json!("regression"), &json!("1.0.0")), "{fell}");
    ends(&whole(&fell, log), "campaign.planning_started", "device.version_regressed");

    let untouched = why(api, UNTOUCHED, at).await;
    assert_eq!((&untouched["cause"], &untouched["latest_update"]), (&json!("stated"), &Value::Null), "{untouched}");
    assert!(untouched["answer"].as_str().unwrap().ends_with("no update was ever requested for it"), "{untouched}");
    whole(&untouched, log);
    for device in [UPDATED, FAILED, RETRIED, ROLLED_BACK, REGRESSED, UNTOUCHED] {
        let shown = api.get(&format!("/devices/{device}?at_position={at}")).await.unwrap();
        assert_eq!(shown["firmware_version"], why(api, device, at).await["version"], "{device}");
    }
    let none = api.send(Method::GET, "/devices/none/why", None).await.unwrap();
    assert_eq!(none.status, StatusCode::NOT_FOUND, "{}", none.body);
}

/// All pages of the audit.
async fn audited(api: &ApiClient, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/audit?limit=7&{query}{cursor}")).await.unwrap();
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

async fn exported(api: &ApiClient, query: &str) -> (String, String) {
    let url = format!("{}/api/v1/audit/export?{query}", api.base());
    let reply = api.http().get(url).bearer_auth(api.token()).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    let position = reply.headers()["waybill-position"].to_str().unwrap().to_owned();
    (position, reply.text().await.unwrap())
}

async fn the_audit_is_the_log(api: &ApiClient, past: &Past, log: &BTreeMap<(u64, usize), Logged>, at: &str) {
    let campaign = &past.campaign;
    let correlation = log.values().find(|event| event.kind == "campaign.planning_started").unwrap().correlation.clone();
    let user = log.values().find(|event| event.actor.starts_with("user:")).unwrap().actor.clone();
    let named = format!("\"{campaign}\"");
    let cases: Vec<(String, Wanted<'_>)> = vec![
        (String::new(), Box::new(|_| true)),
        (format!("actor={user}"), Box::new(|event| event.actor == user)),
        (format!("aggregate=device/{RETRIED}"), Box::new(|event| event.aggregate == "device" && event.id == RETRIED)),
        (format!("correlation_id={correlation}"), Box::new(|event| event.correlation == correlation)),
        (format!("campaign_id={campaign}"), Box::new(|event| event.id == *campaign || event.text.contains(&named))),
        (
            "type=update.failed&type=update.attempt_failed".to_owned(),
            Box::new(|event| ["update.failed", "update.attempt_failed"].contains(&event.kind.as_str())),
        ),
    ];
    for (query, wanted) in &cases {
        let expected: Vec<_> = log.iter().filter(|(_, event)| wanted(event)).map(|(at, _)| *at).collect();
        assert!(!expected.is_empty(), "{query}");
        let found = audited(api, &format!("order=asc&at_position={at}&{query}")).await;
        assert_eq!(found.iter().map(place).collect::<Vec<_>>(), expected, "{query}");
        let mut newest = audited(api, &format!("at_position={at}&{query}")).await;
        newest.reverse();
        assert!(newest == found, "{query}: the orders differ");
        let (position, text) = exported(api, &format!("order=asc&at_position={at}&{query}")).await;
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let end = json!({"type": "export.complete", "at_position": position, "events": found.len()});
        assert_eq!((lines.pop().unwrap(), position.as_str()), (end, at));
        assert!(lines == found, "{query}: the export differs from the pages");
    }
    let (_, table) = exported(api, &format!("format=csv&order=asc&at_position={at}")).await;
    let rows: Vec<&str> = table.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), log.len() + 2, "a header, the events, the end");
    assert!(rows[0].starts_with("position,stored_at,") && rows.last().unwrap().contains("export.complete"));
    assert!(table.contains(",'=2.0.0 loses its network,"), "a reason is no formula");
    for bad in ["type=none", "aggregate=none", "correlation_id=x", "order=up", "count=true", "from=x", "format=csv"] {
        let refused = api.send(Method::GET, &format!("/audit?{bad}"), None).await.unwrap();
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}: {}", refused.body);
    }
}

async fn why_not(api: &ApiClient, device: &str, firmware: &str) -> (String, Value) {
    let path = format!("/devices/{device}/why-not?firmware_id={firmware}");
    let told = api.get(&path).await.unwrap();
    for field in ["answer", "change", "at_position"] {
        assert!(told[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {told}");
    }
    (told["rule"].as_str().unwrap().to_owned(), told)
}

async fn the_first_rule_is_named(world: &World, api: &ApiClient, past: &Past) {
    let newer = &past.newer;
    assert_eq!(why_not(api, UPDATED, newer).await.0, "already_on_version");
    let (rule, told) = why_not(api, FAILED, newer).await;
    assert_eq!((rule.as_str(), &told["campaign_id"]), ("failed", &json!(past.campaign)), "{told}");
    assert!(told["answer"].as_str().unwrap().ends_with("failed with unsupported"), "{told}");
    assert_eq!(why_not(api, REGRESSED, newer).await.0, "regressed");
    assert_eq!(why_not(api, UNTOUCHED, newer).await.0, "not_targeted");
    let other = json!({"name": "Other", "version": "9.0.0", "device_model": "other"});
    let other = api.upload(&other, vec![7; 1024]).await.unwrap().success().unwrap();
    let other = other["firmware_id"].as_str().unwrap();
    assert_eq!(why_not(api, UNTOUCHED, other).await.0, "wrong_model");
    api.post(&format!("/devices/{UNTOUCHED}/hold"), &json!({"reason": "r"})).await.unwrap();
    assert_eq!(why_not(api, UNTOUCHED, newer).await.0, "held");
    api.post(&format!("/devices/{UNTOUCHED}/release"), &json!({"reason": "r"})).await.unwrap();

    // A draft has no plan; an approval or a wave is waited for by devices that are planned.
    let newest = world.firmware(api, "3.0.0").await;
    let staged = json!({
        "waves": [{"percentage": 50}, {"percentage": 100, "advance": "manual"}], "target_all": false,
        "target_devices": [UPDATED, UNTOUCHED],
    });
    let campaign = world.campaign(api, &newest, staged).await;
    let members = |body: &Value| body["items"].as_array().is_some_and(|items| items.len() == 2);
    let path = format!("/campaigns/{campaign}/devices");
    let plan = world.until_get(api, &path, "it is planned", members).await;
    let in_wave = |wave: u64| {
        let items = plan["items"].as_array().unwrap();
        items.iter().find(|item| item["wave"] == wave).unwrap()["device_id"].as_str().unwrap().to_owned()
    };
    let dispatched = |body: &Value| body["items"][0]["phase"] == "dispatched";
    world.until_get(api, &path, "wave 1 begins", dispatched).await;
    let (rule, told) = why_not(api, &in_wave(1), &newest).await;
    assert_eq!((rule.as_str(), &told["campaign_id"]), ("dispatched", &json!(campaign)), "{told}");
    let (rule, told) = why_not(api, &in_wave(2), &newest).await;
    assert_eq!((rule.as_str(), &told["campaign_id"]), ("working_devices", &json!(campaign)), "{told}");
    api.post(&format!("/campaigns/{campaign}/pause"), &json!({"reason": "r"})).await.unwrap();
    assert_eq!(why_not(api, &in_wave(2), &newest).await.0, "resume");
    api.post("/freeze", &json!({"reason": "r"})).await.unwrap();
    assert_eq!(why_not(api, &in_wave(2), &newest).await.0, "tenant_frozen");
    api.post("/unfreeze", &json!({"reason": "r"})).await.unwrap();
    api.post(&format!("/firmware/{newest}/withdraw"), &json!({"reason": "r"})).await.unwrap();
    assert_eq!(why_not(api, &in_wave(2), &newest).await.0, "firmware_withdrawn");
}

async fn others_see_nothing_of_it(world: &World, api: &ApiClient) {
    let foreign = world.operator_of("globex", &["auditor"]).await;
    let seen = audited(&foreign, "").await;
    assert!(seen.iter().all(|item| item["aggregate"] == "tenant" || item["aggregate"] == "member"), "{seen:?}");
    let (_, text) = exported(&foreign, "").await;
    assert!(!text.contains(MODEL) && text.contains("export.complete"), "{text}");
    for (roles, status) in [(&["approver"][..], 403), (&["auditor"], 200), (&["admin"], 200)] {
        let caller = world.operator_of(TENANT, roles).await;
        for path in ["/audit", "/audit?limit=1&order=asc"] {
            let reply = caller.send(Method::GET, path, None).await.unwrap();
            assert_eq!(reply.status.as_u16(), status, "{roles:?} {path}");
        }
    }
    let auditor = world.operator_of(TENANT, &["auditor"]).await;
    let refused = auditor.send(Method::POST, "/freeze", Some(&json!({"reason": "r"}))).await.unwrap();
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let latest = api.get(&format!("/devices/{UPDATED}/history?order=desc&limit=1")).await.unwrap();
    assert_eq!(latest["items"][0]["type"], audited(api, &format!("aggregate=device/{UPDATED}")).await[0]["type"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_answers_why_and_all_views_agree_at_one_position() {
    let world = World::start().await;
    let api = world.operator().await;
    let past = happened(&world, &api).await;
    let page = api.get("/audit?limit=1").await.unwrap();
    let at = page["at_position"].as_str().unwrap().to_owned();
    let log = logged(&world, sequence(&page["at_position"])).await;
    others_see_nothing_of_it(&world, &api).await;
    the_chains_are_whole(&api, &past, &log, &at).await;
    crate::statistics::agree_with_the_log(&world, &api, &past.campaign, &past.newer).await;
    crate::search::finds_everything(&world, &api, &past.campaign, &past.newer).await;
    crate::search::lists_of_the_past_agree(&api, &past.campaign).await;
    crate::search::numbers_agree(&api, &past.campaign).await;
    the_first_rule_is_named(&world, &api, &past).await;
    // Much has happened since, and what is asked for is the same.
    the_audit_is_the_log(&api, &past, &log, &at).await;
    the_chains_are_whole(&api, &past, &log, &at).await;
    let gates = api.get(&format!("/campaigns/{}/gates", past.campaign)).await.unwrap();
    for gate in gates["items"].as_array().unwrap() {
        assert!(sequence(&gate["judged_at_position"]) <= place(gate).0 && gate["sentence"].is_string(), "{gate}");
    }
}
