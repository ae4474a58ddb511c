//! Approval and scheduled start over REST. All of it works while PostgreSQL is down, but for the start itself.

use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use domain::ActorKind;
use runtime::clock;
use serde_json::{Value, json};

use super::rollouts::wanted;
use super::{Answer, Api};
use crate::caller::Role;

struct Draft<'a> {
    api: &'a Api,
    firmware: String,
    path: String,
}

impl<'a> Draft<'a> {
    async fn new(api: &'a Api, more: Value) -> Self {
        Self::of(api, api.firmware("2.0.0").await, more).await
    }

    async fn of(api: &'a Api, firmware: String, more: Value) -> Self {
        let created = api.post("/campaigns", wanted(&firmware, more)).await;
        assert_eq!(created.status, 201, "{}", created.body);
        let path = format!("/campaigns/{}", created.body["campaign_id"].as_str().unwrap());
        Self { api, firmware, path }
    }

    async fn post(&self, command: &str, body: Value) -> Answer {
        self.post_as(self.api, command, body).await
    }

    async fn post_as(&self, api: &Api, command: &str, body: Value) -> Answer {
        api.post(&format!("{}/{command}", self.path), body).await
    }

    async fn replace(&self, more: Value) -> Answer {
        self.api.call(Method::PUT, &self.path, &[], wanted(&self.firmware, more)).await
    }

    async fn submitted(api: &'a Api, more: Value) -> Self {
        let draft = Self::new(api, more).await;
        let answer = draft.post("start", json!({})).await;
        assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("awaiting_approval")));
        draft
    }

    async fn delete_firmware(&self, firmware: &str) -> Answer {
        let body = json!({"force": true, "reason": "nobody goes back"});
        self.api.call(Method::DELETE, &format!("/firmware/{firmware}"), &[], body).await
    }
}

fn outcome(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.problem())
}

fn status(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.body["status"].as_str().unwrap_or_default())
}

fn in_hours(hours: i64) -> DateTime<Utc> {
    clock::now() + TimeDelta::hours(hours)
}

fn approver(api: &Api) -> Api {
    api.acting(ActorKind::Person, "7", Role::Approver)
}

#[tokio::test]
async fn a_second_person_approves_and_nobody_else() {
    let api = Api::new();
    let draft = Draft::submitted(&api, json!({"requires_approval": true})).await;
    let operator = api.acting(ActorKind::Person, "8", Role::Operator);
    let key = api.acting(ActorKind::Key, "7", Role::Admin);
    let service = api.acting(ActorKind::Service, "7", Role::Admin);
    for refused in [&operator, &key, &service] {
        for command in ["approve", "reject"] {
            let answer = draft.post_as(refused, command, json!({"remark": "me too"})).await;
            assert_eq!(outcome(&answer), (403, "forbidden"), "{command}");
        }
    }
    let own = draft.post("approve", json!({})).await;
    assert_eq!(outcome(&own), (409, "four_eyes"), "{}", own.body);
    assert_eq!(own.body["facts"]["role"], "creator");
    let approver = approver(&api);
    let keyed = async |command: &str, remark: &str| {
        let (path, key) = (format!("{}/{command}", draft.path), [("Idempotency-Key", "once")]);
        approver.call(Method::POST, &path, &key, json!({"remark": remark})).await
    };
    let approved = keyed("approve", "checked").await;
    assert_eq!(status(&approved), (200, "approved"), "{}", approved.body);
    let approval = &approved.body["approval"];
    assert_eq!((&approval["decision"], &approval["by"]), (&json!("approved"), &json!("user:7")));
    assert!(approval["at"].is_string(), "{approval}");
    let allowed = json!(["amend", "delete", "start", "start_now", "reject", "cancel"]);
    assert_eq!(approved.body["allowed_commands"], allowed);
    assert_eq!(keyed("approve", "checked").await.body["position"], approved.body["position"], "the same command");
    assert_eq!(keyed("approve", "other").await.status, 422, "the key belongs to another remark");
    let history = api.get(&format!("{}/history", draft.path)).await;
    let last = history.body["items"].as_array().unwrap().last().unwrap().clone();
    let told = (&last["type"], &last["actor"], &last["reason"]);
    assert_eq!(told, (&json!("campaign.approved"), &json!("user:7"), &json!("checked")), "{last}");
    let started = draft.post("start", json!({})).await;
    assert_eq!(outcome(&started), (503, "postgresql_unavailable"), "the start itself reads the devices");
    let rejected = keyed("reject", "recalled").await;
    assert_eq!(status(&rejected), (200, "rejected"), "{}", rejected.body);
    assert_eq!(keyed("reject", "recalled").await.body["position"], rejected.body["position"], "the same command");
    assert_eq!(keyed("reject", "other").await.status, 422, "the key belongs to another remark");
}

#[tokio::test]
async fn who_prepared_a_campaign_with_a_key_does_not_approve_it_as_a_person() {
    let api = Api::new();
    let key = api.acting(ActorKind::Key, "7", Role::Operator);
    let draft = Draft::submitted(&key, json!({"requires_approval": true})).await;
    let own = draft.post_as(&approver(&api), "approve", json!({})).await;
    assert_eq!((outcome(&own), &own.body["facts"]["role"]), ((409, "four_eyes"), &json!("creator")), "{}", own.body);
    assert_eq!(status(&draft.post_as(&api, "approve", json!({})).await), (200, "approved"));

    let draft = Draft::of(&api, draft.firmware, json!({"requires_approval": true})).await;
    let edited = wanted(&draft.firmware, json!({"requires_approval": true, "soak_minutes": 9}));
    assert_eq!(key.call(Method::PUT, &draft.path, &[], edited).await.status, 200);
    draft.post("start", json!({})).await;
    let own = draft.post_as(&approver(&api), "approve", json!({})).await;
    assert_eq!((outcome(&own), &own.body["facts"]["role"]), ((409, "four_eyes"), &json!("last editor")));
}

#[tokio::test]
async fn an_approval_stays_required_after_the_campaign_was_submitted() {
    let api = Api::new();
    let draft = Draft::new(&api, json!({"requires_approval": true})).await;
    assert_eq!(status(&draft.replace(json!({"soak_minutes": 9})).await), (200, "draft"), "it was not submitted");
    assert_eq!(status(&draft.replace(json!({"requires_approval": true})).await), (200, "draft"));
    draft.post("start", json!({})).await;
    let refused = async || {
        let answer = draft.replace(json!({"soak_minutes": 9})).await;
        let field = answer.body["errors"][0]["field"].clone();
        assert_eq!((answer.status.as_u16(), field), (422, json!("requires_approval")), "{}", answer.body);
    };
    refused().await;
    draft.replace(json!({"requires_approval": true, "soak_minutes": 9})).await;
    refused().await;
    assert_eq!(status(&draft.post("start", json!({})).await), (200, "awaiting_approval"));
    draft.post_as(&approver(&api), "reject", json!({"remark": "not on a Friday"})).await;
    refused().await;
}

#[tokio::test]
async fn an_edit_voids_the_approval_and_its_editor_does_not_approve() {
    let api = Api::new();
    let draft = Draft::submitted(&api, json!({"requires_approval": true})).await;
    let approver = approver(&api);
    let approved = draft.post_as(&approver, "approve", json!({})).await;
    let tag = approved.header("etag").to_owned();
    let edited = draft.replace(json!({"requires_approval": true, "soak_minutes": 9})).await;
    assert_eq!((status(&edited), &edited.body["approval"]), ((200, "draft"), &Value::Null), "{}", edited.body);
    let early = draft.post_as(&approver, "approve", json!({})).await;
    assert_eq!(outcome(&early), (409, "illegal_in_state"), "it isn't submitted");
    draft.post("start", json!({})).await;
    let path = format!("{}/approve", draft.path);
    let unread = approver.call(Method::POST, &path, &[("If-Match", &tag)], json!({})).await;
    assert_eq!(unread.status, 412, "another version than the one that was read: {}", unread.body);
    let silent = draft.post_as(&approver, "reject", json!({})).await;
    assert_eq!((silent.status.as_u16(), &silent.body["errors"][0]["field"]), (422, &json!("remark")));
    let rejected = draft.post_as(&approver, "reject", json!({"remark": "not on a Friday"})).await;
    assert_eq!((status(&rejected), &rejected.body["approval"]["decision"]), ((200, "rejected"), &json!("rejected")));
    let by_approver = approver.call(
        Method::PUT,
        &draft.path,
        &[],
        wanted(&draft.firmware, json!({"requires_approval": true, "soak_minutes": 10})),
    );
    assert_eq!(status(&by_approver.await), (200, "draft"));
    draft.post("start", json!({})).await;
    let own = draft.post_as(&approver, "approve", json!({})).await;
    assert_eq!((outcome(&own), &own.body["facts"]["role"]), ((409, "four_eyes"), &json!("last editor")));
    let third = api.acting(ActorKind::Person, "9", Role::Approver);
    assert_eq!(status(&draft.post_as(&third, "approve", json!({})).await), (200, "approved"));
}

#[tokio::test]
async fn a_scheduled_campaign_keeps_its_firmware_and_can_be_moved_and_cancelled() {
    let api = Api::new();
    let start = in_hours(2);
    let draft = Draft::new(&api, json!({"scheduled_start": start})).await;
    let scheduled = draft.post("start", json!({"reason": "tonight"})).await;
    assert_eq!(status(&scheduled), (200, "scheduled"), "{}", scheduled.body);
    assert_eq!(scheduled.body["scheduled_start"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), start);
    assert_eq!(outcome(&draft.delete_firmware(&draft.firmware).await), (409, "firmware_pinned"));
    assert_eq!(status(&draft.post("execute", json!({})).await).0, 404, "the old spelling has its own path");
    let id = draft.path.trim_start_matches("/campaigns/");
    let again = api.post(&format!("/ota/campaigns/{id}/execute"), json!({})).await;
    assert_eq!(status(&again), (200, "scheduled"), "{}", again.body);

    let other = api.firmware("3.0.0").await;
    let moved = api.call(Method::PUT, &draft.path, &[], wanted(&other, json!({"scheduled_start": in_hours(3)}))).await;
    assert_eq!(status(&moved), (200, "scheduled"), "{}", moved.body);
    assert_eq!(draft.delete_firmware(&draft.firmware).await.status, 200, "the first firmware isn't needed any more");
    assert_eq!(outcome(&draft.delete_firmware(&other).await), (409, "firmware_pinned"));

    // Past the check of its status, a preview asks PostgreSQL.
    assert_eq!(outcome(&draft.post("preview", json!({})).await), (503, "postgresql_unavailable"));
    assert_eq!(status(&draft.post("pause", json!({"reason": "storm"})).await), (200, "paused"));
    assert_eq!(outcome(&draft.post("preview", json!({})).await), (503, "postgresql_unavailable"));
    let resumed = draft.post("resume", json!({})).await;
    assert_eq!(status(&resumed), (200, "scheduled"), "{}", resumed.body);
    assert_eq!(resumed.body["allowed_commands"], json!(["amend", "start_now", "pause", "cancel"]));
    let silent = draft.post("start", json!({"now": true})).await;
    assert_eq!((silent.status.as_u16(), &silent.body["errors"][0]["field"]), (422, &json!("reason")));
    let at_once = draft.post("start", json!({"now": true, "reason": "the site is free"})).await;
    assert_eq!(outcome(&at_once), (503, "postgresql_unavailable"));
    draft.post("pause", json!({"reason": "storm"})).await;
    assert_eq!(status(&draft.post("cancel", json!({"reason": "no"})).await), (200, "cancelled"));
    assert_eq!(outcome(&draft.post("preview", json!({})).await), (409, "illegal_in_state"));
}

#[tokio::test]
async fn an_edit_takes_a_campaign_off_the_schedule_if_it_loses_its_time_or_its_approval() {
    let api = Api::new();
    let draft = Draft::new(&api, json!({"scheduled_start": in_hours(2)})).await;
    draft.post("start", json!({})).await;
    assert_eq!(status(&draft.replace(json!({})).await), (200, "draft"));
    assert_eq!(draft.delete_firmware(&draft.firmware).await.status, 200, "a draft pins nothing");

    let other = Api::new();
    let both = json!({"requires_approval": true, "scheduled_start": in_hours(2)});
    let draft = Draft::submitted(&other, both).await;
    let approved = draft.post_as(&approver(&other), "approve", json!({"reason": "checked"})).await;
    assert_eq!(status(&approved), (200, "scheduled"), "both are there: {}", approved.body);
    assert_eq!(outcome(&draft.delete_firmware(&draft.firmware).await), (409, "firmware_pinned"));
    let at_once = draft.post("start", json!({"now": true, "reason": "hurry"})).await;
    assert_eq!(outcome(&at_once), (409, "approved_for_later"), "{}", at_once.body);
    let moved = json!({"requires_approval": true, "scheduled_start": in_hours(3)});
    assert_eq!(status(&draft.replace(moved).await), (200, "draft"));
}

#[tokio::test]
async fn a_start_in_the_past_is_refused_on_every_way() {
    let api = Api::new();
    let soon = clock::now() + TimeDelta::milliseconds(300);
    let draft = Draft::new(&api, json!({"scheduled_start": soon})).await;
    let past = json!({"scheduled_start": "2020-01-01T00:00:00Z"});
    let never = json!({"scheduled_start": "2999-01-01T00:00:00Z"});
    let without = json!({"deployment_strategy": "scheduled", "waves": null});
    for more in [past, never, without] {
        for answer in [api.post("/campaigns", wanted(&draft.firmware, more.clone())).await, draft.replace(more).await] {
            let field = answer.body["errors"][0]["field"].clone();
            assert_eq!((answer.status.as_u16(), field), (422, json!("scheduled_start")), "{}", answer.body);
        }
    }
    super::until("its start has passed", async || clock::now(), |now| *now > soon).await;
    let late = draft.post("start", json!({})).await;
    assert_eq!(outcome(&late), (409, "scheduled_start_passed"), "{}", late.body);
    assert!(late.body["facts"]["scheduled_start"].is_string(), "{}", late.body);
    let clone = draft.post("clone", json!({})).await;
    assert_eq!((clone.status.as_u16(), &clone.body["scheduled_start"]), (201, &Value::Null), "{}", clone.body);
    let clone = draft.post("clone", json!({"scheduled_start": in_hours(1)})).await;
    assert!(clone.body["scheduled_start"].is_string(), "{}", clone.body);
    let immediate = json!({"deployment_strategy": "scheduled", "waves": null, "scheduled_start": in_hours(1)});
    let scheduled = api.post("/campaigns", wanted(&draft.firmware, immediate)).await;
    assert_eq!((scheduled.status.as_u16(), &scheduled.body["waves"][0]["percentage"]), (201, &json!(100)));
}
