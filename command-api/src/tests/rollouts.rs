//! Campaigns under way, in replies to commands and from the log alone. PostgreSQL is down, so they are planned directly.

use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{Campaign, CampaignCommand, CampaignResult, Evidence, GateKind, PlanSummary};
use domain::firmware::{Firmware, FirmwarePolicy};
use domain::{Actor, CampaignId, CommandId, FirmwareId, Key, TenantId};
use event_store::Request;
use runtime::clock;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, Api};

pub(super) fn wanted(firmware: &str, more: Value) -> Value {
    let mut body = json!({
        "name": "Spring", "firmware_id": firmware, "deployment_strategy": "staged", "target_all": true,
        "waves": [{"percentage": 10}, {"percentage": 100}],
    });
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    body
}

/// A campaign whose process managers are played by the test.
pub(super) struct Rollout<'a> {
    api: &'a Api,
    pub(super) firmware: String,
    pub(super) id: String,
    path: String,
}

impl<'a> Rollout<'a> {
    pub(super) async fn draft(api: &'a Api, more: Value) -> Self {
        let firmware = api.firmware("2.0.0").await;
        let created = api.post("/campaigns", wanted(&firmware, more)).await;
        assert_eq!(created.status, 201, "{}", created.body);
        let id = created.body["campaign_id"].as_str().unwrap().to_owned();
        Self { api, firmware, path: format!("/campaigns/{id}"), id }
    }

    async fn tell(&self, command: CampaignCommand) {
        let key = Key::<Campaign>::new(&TenantId::new("acme").unwrap(), &self.id.parse::<CampaignId>().unwrap());
        let request = Request::new(CommandId(clock::new_id()), Actor::new("process-manager:rollout").unwrap(), command);
        self.api.store.execute(&key, request).await.unwrap();
    }

    /// A started campaign with a plan for this many devices.
    pub(super) async fn run(&self, devices: &[u32]) {
        let (tenant, id) = (TenantId::new("acme").unwrap(), self.firmware.parse::<FirmwareId>().unwrap());
        let loaded = self.api.store.load(&Key::<Firmware>::new(&tenant, &id)).await.unwrap();
        let firmware = Box::new(loaded.aggregate.snapshot_for_new_work(id, &FirmwarePolicy::default()).unwrap());
        self.tell(CampaignCommand::Start { plan: Uuid::from_u128(7), firmware, expected: None }).await;
        let summary = Box::new(PlanSummary {
            plan: Uuid::from_u128(7),
            chunks: 1,
            devices: devices.iter().sum(),
            excluded: Default::default(),
            waves: devices.to_vec(),
            seed: "seed".into(),
            algorithm: domain::plan::RANK_ALGORITHM.into(),
            at_position: 1,
            plan_hash: "00".into(),
            drift: None,
        });
        self.tell(CampaignCommand::RecordPlan { summary }).await;
    }

    async fn close_gate(&self) {
        let (gate, evidence) = (GateKind::Failure, Evidence::default());
        self.tell(CampaignCommand::CloseGate { gate, wave: Some(1), threshold_percent: 20, evidence }).await;
    }

    async fn post(&self, command: &str, body: Value) -> Answer {
        self.api.post(&format!("{}/{command}", self.path), body).await
    }

    async fn at(&self, moment: &str) -> Answer {
        self.api.get(&format!("{}?{moment}", self.path)).await
    }
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("no time: {value}")).parse().unwrap()
}

#[tokio::test]
async fn replies_to_commands_say_when_a_campaign_began_and_ends_and_which_gate_holds_it() {
    let api = Api::new();
    let rollout = Rollout::draft(&api, json!({})).await;
    let draft = api.call(Method::PUT, &rollout.path, &[], wanted(&rollout.firmware, json!({}))).await.body;
    assert_eq!((&draft["ends_at"], &draft["ends_after_days"]), (&Value::Null, &json!(30)), "{draft}");
    rollout.run(&[1, 9]).await;
    let running = rollout.post("resume", json!({})).await.body;
    let ends_at = time(&running["started_at"]) + TimeDelta::days(30);
    assert_eq!((time(&running["ends_at"]), &running["ends_after_days"]), (ends_at, &Value::Null), "{running}");
    assert_eq!((&running["gate"], &running["ended_at"]), (&Value::Null, &Value::Null));

    rollout.close_gate().await;
    let closed = rollout.post("pause", json!({})).await.body;
    assert_eq!((&closed["status"], &closed["gate"]["gate"]), (&json!("paused"), &json!("failure")), "{closed}");
    assert_eq!(closed["last_gate"]["accepted"], false);
    let accepted = rollout.post("resume", json!({"accept_failures": true, "reason": "known"})).await.body;
    assert_eq!((&accepted["gate"], &accepted["last_gate"]["accepted"]), (&Value::Null, &json!(true)), "{accepted}");
    assert!(accepted["last_gate"]["closed_at"].is_string(), "{accepted}");
    rollout.post("cancel", json!({"reason": "enough"})).await;
    rollout.tell(CampaignCommand::FinishCancel).await;
    let ended = rollout.post("cancel", json!({"reason": "enough"})).await.body;
    assert!(time(&ended["ended_at"]) >= time(&ended["started_at"]), "{ended}");
}

#[tokio::test]
async fn an_end_in_the_past_is_refused_on_every_way_but_to_who_repeats_a_request() {
    let api = Api::new();
    let rollout = Rollout::draft(&api, json!({})).await;
    let past = json!({"ends_at": "2020-01-01T00:00:00Z"});
    let body = wanted(&rollout.firmware, past.clone());
    let soon = clock::now() + TimeDelta::seconds(2);
    let key = [("Idempotency-Key", "once")];
    let in_time = wanted(&rollout.firmware, json!({"ends_at": soon}));
    let first = api.call(Method::POST, "/campaigns", &key, in_time.clone()).await;
    assert_eq!((first.status.as_u16(), time(&first.body["ends_at"])), (201, soon), "{}", first.body);
    let refused = [
        api.post("/campaigns", body.clone()).await,
        api.call(Method::PUT, &rollout.path, &[], body).await,
        rollout.post("clone", past.clone()).await,
    ];
    rollout.run(&[1, 9]).await;
    let adjusted = api.call(Method::PATCH, &rollout.path, &[], past).await;
    let cleared = api.call(Method::PATCH, &rollout.path, &[], json!({"ends_at": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(cleared.body["ends_at"], "2999-01-01T00:00:00Z", "{}", cleared.body);
    let cleared = api.call(Method::PATCH, &rollout.path, &[], json!({"ends_at": null})).await;
    for answer in refused.into_iter().chain([adjusted, cleared]) {
        let field = answer.body["errors"][0]["field"].clone();
        assert_eq!((answer.status.as_u16(), field), (422, json!("ends_at")), "{}", answer.body);
    }
    super::until("its end has passed", async || clock::now(), |now| *now > soon).await;
    let again = api.call(Method::POST, "/campaigns", &key, in_time).await;
    assert_eq!(
        (again.status.as_u16(), &again.body["campaign_id"]),
        (201, &first.body["campaign_id"]),
        "{}",
        again.body
    );
    let late = format!("/campaigns/{}", first.body["campaign_id"].as_str().unwrap());
    let clone = api.post(&format!("{late}/clone"), json!({})).await;
    assert_eq!((clone.status.as_u16(), &clone.body["errors"][0]["field"]), (422, &json!("ends_at")), "{}", clone.body);
    let clone = api.post(&format!("{late}/clone"), json!({"ends_at": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(clone.status, 201, "{}", clone.body);
    let started = api.post(&format!("{late}/start"), json!({})).await;
    assert!([409, 503].contains(&started.status.as_u16()), "{}", started.body);
}

#[tokio::test]
async fn a_wave_opens_before_its_time_only_by_force_and_for_a_reason() {
    let api = Api::new();
    let rollout = Rollout::draft(&api, json!({"soak_minutes": 30})).await;
    rollout.run(&[1, 9]).await;
    let early = rollout.post("waves/2/open", json!({})).await;
    assert_eq!((early.status.as_u16(), early.problem()), (409, "wave_not_due"));
    assert!(early.body["detail"].as_str().unwrap().contains("the gate of wave 1 is undecided"), "{}", early.body);
    let silent = rollout.post("waves/2/open", json!({"force": true})).await;
    assert_eq!((silent.status.as_u16(), &silent.body["errors"][0]["field"]), (422, &json!("reason")));
    rollout.tell(CampaignCommand::PassGate { wave: 1, evidence: Evidence::default() }).await;
    let soaking = rollout.post("waves/2/open", json!({})).await;
    assert!(soaking.body["detail"].as_str().unwrap().contains("is soaking: 30 minutes"), "{}", soaking.body);
    rollout.close_gate().await;
    let closed = rollout.post("waves/2/open", json!({"force": true, "reason": "hurry"})).await;
    assert_eq!((closed.status.as_u16(), closed.problem()), (409, "illegal_in_state"));
    rollout.post("resume", json!({"accept_failures": true, "reason": "known"})).await;
    let forced = rollout.post("waves/2/open", json!({"force": true, "reason": "hurry"})).await;
    assert_eq!((forced.status.as_u16(), &forced.body["wave"]), (200, &json!(2)), "{}", forced.body);
    let history = api.get(&format!("{}/history", rollout.path)).await.body;
    let last = history["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["event"]["forced"], &last["reason"]), (&json!(true), &json!("hurry")), "{last}");
}

#[tokio::test]
async fn a_campaign_is_seen_as_it_was_at_a_time_or_a_position() {
    let api = Api::new();
    let rollout = Rollout::draft(&api, json!({})).await;
    let drafted = api.head().await;
    rollout.run(&[1, 9]).await;
    let running = api.head().await;
    rollout.tell(CampaignCommand::Finish { result: CampaignResult::Completed, evidence: Evidence::default() }).await;
    let history = api.get(&format!("{}/history", rollout.path)).await.body;
    let planned_at = history["items"][2]["recorded_at"].as_str().unwrap().to_owned();
    let draft = rollout.at(&format!("at_position={drafted}")).await;
    assert_eq!((draft.status.as_u16(), &draft.body["status"]), (200, &json!("draft")), "{}", draft.body);
    assert_eq!((&draft.body["started_at"], &draft.body["version"]), (&Value::Null, &json!(1)));
    for moment in [format!("at_position={running}"), format!("at_time={planned_at}")] {
        let then = rollout.at(&moment).await;
        assert_eq!((then.status.as_u16(), &then.body["status"]), (200, &json!("running")), "{moment}: {}", then.body);
        assert_eq!((&then.body["ended_at"], &then.body["wave"]), (&Value::Null, &json!(1)), "{moment}");
    }
    let now = rollout.at(&format!("at_position={}", api.head().await)).await;
    assert_eq!((&now.body["status"], now.body["ended_at"].is_string()), (&json!("completed"), true), "{}", now.body);
    let before = rollout.at("at_position=1").await;
    assert_eq!(before.status, 404, "{}", before.body);
    assert!(before.body["detail"].as_str().unwrap().contains("created only at"), "{}", before.body);
    assert!(before.body["facts"]["created_at"].is_string());
}

#[tokio::test]
async fn the_future_is_refused_for_campaigns_and_devices() {
    let api = Api::new();
    let rollout = Rollout::draft(&api, json!({})).await;
    api.device("d-1").await;
    let beyond = api.head().await + 1;
    for path in [rollout.path.as_str(), "/devices/d-1"] {
        for (query, field) in [
            ("at_time=2999-01-01T00:00:00Z".to_owned(), "at_time"),
            (format!("at_position={beyond}"), "at_position"),
            (format!("at_position={beyond}-0"), "at_position"),
        ] {
            let answer = api.get(&format!("{path}?{query}")).await;
            let named = (answer.status.as_u16(), answer.body["errors"][0]["field"].clone());
            assert_eq!(named, (422, json!(field)), "{path}?{query}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn who_changes_the_work_of_others_is_asked_why() {
    let api = Api::new();
    let rollout =
        Rollout::draft(&api, json!({"waves": [{"percentage": 10}, {"percentage": 100, "advance": "manual"}]})).await;
    rollout.run(&[1, 9]).await;
    for device in ["d-1", "d-2"] {
        api.device(device).await;
    }
    let campaign = &rollout.path;
    let firmware = format!("/firmware/{}", api.firmware("3.0.0").await);
    let commands = [
        (Method::PATCH, campaign.clone(), json!({"batch_size": 7})),
        (Method::POST, format!("{campaign}/pause"), json!({})),
        (Method::POST, format!("{campaign}/resume"), json!({})),
        (Method::POST, format!("{campaign}/cancel"), json!({})),
        (Method::POST, "/devices/d-1/hold".to_owned(), json!({})),
        (Method::POST, "/devices/d-1/release".to_owned(), json!({})),
        (Method::DELETE, "/devices/d-1".to_owned(), json!({})),
        (Method::POST, format!("{firmware}/deprecate"), json!({})),
        (Method::POST, format!("{firmware}/withdraw"), json!({})),
        (Method::DELETE, firmware.clone(), json!({})),
    ];
    let warned = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let warnings = answer.body["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().any(|text| text.as_str().unwrap().starts_with("no reason is given"))
    };
    for (method, path, body) in commands {
        let asked = |query: &str| format!("{path}?dry_run=true{query}");
        assert!(warned(&api.call(method.clone(), &asked(""), &[], body.clone()).await), "{method} {path}");
        assert!(!warned(&api.call(method.clone(), &asked("&reason=why"), &[], body.clone()).await), "{method} {path}");
        let done = api.call(method.clone(), &path, &[], body).await;
        assert!(warned(&done), "{method} {path}");
        if path.starts_with(campaign.as_str()) {
            assert_eq!(done.body["warnings"].as_array().unwrap().len(), 2, "besides its own warning: {}", done.body);
        }
    }
    assert!(!warned(&api.call(Method::PATCH, "/devices/d-2", &[], json!({"name": "n"})).await));
}
