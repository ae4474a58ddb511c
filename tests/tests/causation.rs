//! Every event of a campaign can be traced to the person who started it, record by record, and all carry one correlation id.

use std::collections::BTreeMap;

use domain::device::{Clock, Device, DeviceCommand};
use domain::{Actor, CommandId, DeviceId, Key, TenantId};
use event_store::{EventStore, Metadata, Request};
use reqwest::Method;
use runtime::clock;
use serde_json::{Value, json};
use uuid::Uuid;
use waybill::api_client::ApiClient;

use crate::world::{ManualDevice, Records, TENANT, World, devices};

const START: Uuid = Uuid::from_u128(0x57a7);
const PAUSE: Uuid = Uuid::from_u128(0x9a05);
const DEVICES: usize = 6;
/// A longer chain of causes than any event of this campaign has.
const STEPS_MAX: usize = 100;

/// Sends a command with a correlation id.
async fn command(api: &ApiClient, path: &str, correlation_id: Uuid, body: &Value) {
    let url = format!("{}/api/v1{path}", api.base());
    let request = api.http().request(Method::POST, url).bearer_auth(api.token());
    let reply = request.header("X-Correlation-Id", correlation_id.to_string()).json(body).send().await.unwrap();
    assert!(reply.status().is_success(), "{path}: {}", reply.text().await.unwrap());
}

/// Devices played by the test, by wave.
struct Players(BTreeMap<u64, Vec<(String, ManualDevice)>>);

impl Players {
    async fn of(world: &World, api: &ApiClient, campaign: &str, devices: Vec<(String, ManualDevice)>) -> Self {
        let path = format!("/campaigns/{campaign}/devices?limit=50");
        let all = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == DEVICES);
        let page = world.until_get(api, &path, "all devices are planned", all).await;
        let wave = |device: &str| {
            let items = page["items"].as_array().unwrap();
            items.iter().find(|item| item["device_id"] == device).unwrap()["wave"].as_u64().unwrap()
        };
        let mut waves = BTreeMap::<u64, Vec<_>>::new();
        for (id, device) in devices {
            waves.entry(wave(&id)).or_default().push((id, device));
        }
        assert_eq!(waves.values().map(Vec::len).collect::<Vec<_>>(), [1, 2, 3]);
        Self(waves)
    }

    fn player(&self, wave: u64, index: usize) -> (&str, &ManualDevice) {
        let (id, device) = &self.0[&wave][index];
        (id, device)
    }
}

async fn is_told(device: &ManualDevice, attempt: u64) {
    device.hears("its command", |command| command["command"] == "ota_update" && command["attempt"] == attempt).await;
}

async fn phase_is(world: &World, api: &ApiClient, device: &str, phase: &str) {
    let path = format!("/devices/{device}/updates/1");
    world.until_get(api, &path, phase, |body| body["phase"] == phase).await;
}

/// Ends the working time of an update, as the process manager would an hour later.
async fn runs_out_of_time(world: &World, device: &str) {
    let store = EventStore::new(world.log().await);
    let key = Key::<Device>::new(&TenantId::new(TENANT).unwrap(), &DeviceId::new(device).unwrap());
    let loaded = store.load_fresh(&key).await.unwrap();
    let update = loaded.aggregate.update(1).unwrap();
    let (ordinal, attempt, phase, seq) = (update.ordinal, update.attempt, update.phase, update.seq);
    let command = DeviceCommand::Expire { ordinal, attempt, phase, clock: Clock::Total, seq };
    let actor = Actor::new("process-manager:deadlines").unwrap();
    let committed = store.execute(&key, Request::new(CommandId(clock::new_id()), actor, command)).await.unwrap();
    assert!(!committed.events.is_empty(), "it timed out");
}

/// A campaign of three waves with one of each kind of event; returns its id.
async fn eventful_campaign(world: &mut World, api: &ApiClient) -> String {
    let firmware = world.firmware(api, "2.0.0").await;
    world.register(api, &devices(DEVICES)).await;
    let mut devices = Vec::new();
    for n in 0..DEVICES {
        let id = format!("d-{n}");
        let device = world.manual_device(&id).await;
        device.boots("b1", "1.0.0").await;
        devices.push((id, device));
    }
    world.online(api, DEVICES).await;
    let wanted = json!({
        "name": "Eventful", "firmware_id": firmware, "deployment_strategy": "staged", "target_all": true,
        "failure_threshold_percent": 40,
    });
    let id = api.post("/campaigns", &wanted).await.unwrap()["campaign_id"].as_str().unwrap().to_owned();
    let path = format!("/campaigns/{id}");
    command(api, &format!("{path}/start"), START, &json!({})).await;
    let players = Players::of(world, api, &id, devices).await;

    // Paused, killed and resumed while the first device works.
    let (first, device) = players.player(1, 0);
    is_told(device, 1).await;
    device.reports(1, 1, "received").await;
    phase_is(world, api, first, "accepted").await;
    command(api, &format!("{path}/pause"), PAUSE, &json!({"reason": "lunch"})).await;
    world.kill_waybill();
    for word in ["downloading", "verifying", "installing", "rebooting"] {
        device.reports(1, 1, word).await;
    }
    world.start_waybill().await;
    device.boots("b2", "2.0.0").await;
    phase_is(world, api, first, "confirmed").await;
    api.post(&format!("{path}/resume"), &json!({"reason": "back"})).await.unwrap();

    // One device defers first; the other one works until its time is over, which closes the gate.
    let (deferring, device) = players.player(2, 0);
    is_told(device, 1).await;
    device.says("updates/1/status", &json!({"attempt": 1, "status": "deferred", "retry_after_s": 1})).await;
    phase_is(world, api, deferring, "deferred").await;
    device.forgets();
    is_told(device, 1).await;
    device.installs(1, 1, "b2", "2.0.0").await;
    phase_is(world, api, deferring, "confirmed").await;
    let (silent, device) = players.player(2, 1);
    is_told(device, 1).await;
    device.reports(1, 1, "received").await;
    phase_is(world, api, silent, "accepted").await;
    runs_out_of_time(world, silent).await;
    world.campaign_is(api, &id, &["paused"]).await;
    let accepted = json!({"accept_failures": true, "reason": "a bad card"});
    api.post(&format!("{path}/resume"), &accepted).await.unwrap();

    // One device needs a second attempt.
    let (_, failing) = players.player(3, 0);
    is_told(failing, 1).await;
    let failed = json!({"attempt": 1, "status": "failed", "code": "download_failed"});
    failing.says("updates/1/status", &failed).await;
    for index in [1, 2] {
        let (_, device) = players.player(3, index);
        is_told(device, 1).await;
        device.installs(1, 1, "b2", "2.0.0").await;
    }
    is_told(failing, 2).await;
    failing.installs(1, 2, "b2", "2.0.0").await;
    world.campaign_is(api, &id, &["completed_with_failures"]).await;
    id
}

/// One event with its cause.
struct Event {
    position: u64,
    kind: String,
    body: Value,
    meta: Metadata,
}

struct Log(Records);

impl Log {
    /// Events that are the campaign's own or name it.
    fn of_campaign(&self, campaign: &str) -> Vec<Event> {
        let events = self.0.0.values().flat_map(|(raw, record)| {
            record.events.iter().map(move |stored| {
                let body: Value = serde_json::from_str(stored.event.get()).unwrap();
                let kind = body["type"].as_str().unwrap().to_owned();
                let own = raw.key.id == campaign || body.to_string().contains(campaign);
                (own, Event { position: raw.position, kind, body, meta: stored.metadata(&record.meta) })
            })
        });
        events.filter(|(own, _)| *own).map(|(_, event)| event).collect()
    }

    /// The chain of records that led to an event, the latest first: position, actor and event types of each.
    fn way_back(&self, event: &Event) -> Vec<(u64, String, Vec<String>)> {
        let mut way = vec![self.named(event.position)];
        let mut meta = event.meta.clone();
        let mut at = event.position;
        while let Some(position) = meta.causation_position {
            assert!(position < at, "{} at {at}: its cause must be earlier, not at {position}", event.kind);
            let (_, record) = self.0.0.get(&position).unwrap_or_else(|| panic!("nothing at {position}"));
            assert_eq!(meta.causation_id, Some(record.command_id.0), "{}: id and position name one record", event.kind);
            way.push(self.named(position));
            assert!(way.len() < STEPS_MAX, "{way:?}");
            (at, meta) = (position, record.meta.clone());
        }
        assert_eq!(meta.causation_id, None, "{} ends at {at} with a gap", event.kind);
        way
    }

    fn named(&self, position: u64) -> (u64, String, Vec<String>) {
        let (_, record) = &self.0.0[&position];
        let kind = |stored: &event_store::StoredEvent| {
            let body: Value = serde_json::from_str(stored.event.get()).unwrap();
            body["type"].as_str().unwrap().to_owned()
        };
        (position, record.meta.actor.to_string(), record.events.iter().map(kind).collect())
    }
}

/// Whether the chain contains these event types in this order.
fn passes(way: &[(u64, String, Vec<String>)], wanted: &[&str]) -> bool {
    let mut kinds = way.iter().flat_map(|(_, _, kinds)| kinds);
    wanted.iter().all(|wanted| kinds.any(|kind| kind == wanted))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_campaign_can_be_traced_to_the_person_who_started_it() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let id = eventful_campaign(&mut world, &api).await;
    world.settles().await;
    let log = Log(Records::read(&world).await);
    let events = log.of_campaign(&id);
    let find = |kind: &str| events.iter().find(|event| event.kind == kind).unwrap_or_else(|| panic!("no {kind}"));

    let start = find("campaign.planning_started").position;
    for event in events.iter().filter(|event| event.position >= start) {
        let by_operator = event.body["type"] == "campaign.paused" && event.body["cause"] == "operator";
        let expected = if by_operator { PAUSE } else { START };
        assert_eq!(event.meta.correlation_id, expected, "{} at {}", event.kind, event.position);
        let way = log.way_back(event);
        let (_, actor, _) = way.last().unwrap();
        assert!(actor.starts_with("user:"), "{} at {} is traced to {way:?}", event.kind, event.position);
    }

    let confirmed: Vec<_> = events.iter().filter(|event| event.kind == "update.confirmed").collect();
    assert_eq!(confirmed.len(), DEVICES - 1);
    for event in confirmed {
        let way = log.way_back(event);
        assert_eq!(way.last().unwrap().0, start, "{way:?}");
        let wanted = [
            "update.confirmed",
            "update.rebooting",
            "update.installing",
            "update.accepted",
            "update.dispatched",
            "slots.granted",
            "campaign.wave_opened",
            "campaign.planning_started",
        ];
        assert!(passes(&way, &wanted), "{way:?}");
    }
    let timed_out = find("update.timed_out");
    assert_eq!(
        log.way_back(timed_out)[1].2.first().map(String::as_str),
        Some("update.accepted"),
        "its clock ran from there"
    );
    let closed = find("campaign.gate_closed");
    assert_eq!(closed.meta.causation_position, Some(timed_out.position), "the failure that closed the gate");
    let by_gate = events.iter().find(|event| event.kind == "campaign.paused" && event.body["cause"] == "gate").unwrap();
    assert_eq!(by_gate.position, closed.position);
    let finished = log.way_back(find("campaign.finished"));
    assert!(passes(&finished[1..2], &["update.confirmed"]), "the last outcome: {finished:?}");
    let retried = events.iter().find(|event| event.kind == "update.dispatched" && event.body["update"]["attempt"] == 2);
    assert!(passes(&log.way_back(retried.unwrap()), &["slots.granted", "campaign.wave_opened"]));
    world.read_models_equal_a_replay().await;
}
