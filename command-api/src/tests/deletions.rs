//! Deleting: reasons in bodies, pins that are no longer needed, removal of bytes.

use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use domain::firmware::{Deletion, Firmware, FirmwareCommand, FirmwarePolicy};
use domain::values::Sha256Digest;
use domain::{Actor, CampaignId, CommandId, FirmwareId, Key, TenantId};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use runtime::clock;
use serde_json::json;
use uuid::Uuid;

use super::{Answer, Api};
use crate::auth::{Caller, Role};
use crate::http::Envelope;

const BYTES: &[u8] = b"2.0.0";

impl Api {
    async fn delete(&self, path: &str, body: &'static str) -> Answer {
        let request = Request::delete(format!("/api/v1{path}"))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn draft(&self, firmware: &str) -> String {
        let wanted =
            json!({"name": "c", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
        self.post("/campaigns", wanted).await.body["campaign_id"].as_str().unwrap().to_owned()
    }

    /// Stores a command without a request, as if the process had ended in the middle of one.
    async fn firmware_command(&self, firmware: &str, command: FirmwareCommand) {
        let key = firmware_key(firmware);
        let request = event_store::Request::new(CommandId(Uuid::now_v7()), Actor::new("user:42").unwrap(), command);
        self.store.execute(&key, request).await.unwrap();
    }

    async fn release_stale(&self, firmware: &str, after: TimeDelta) {
        let caller = Caller {
            tenant: tenant(),
            actor: Actor::new("user:42").unwrap(),
            roles: vec![Role::Admin],
            limited: vec![],
            limits: None,
            is_kind_stated: true,
        };
        let (parts, ()) = Request::delete("/x").body(()).unwrap().into_parts();
        let envelope = Envelope::of(&parts).unwrap();
        let id = firmware.parse().unwrap();
        crate::firmware::release_stale(&self.app, &caller, &envelope, id, clock::now() + after).await.unwrap();
    }

    async fn put(&self, path: &str) {
        self.objects.put(&Path::from(path), PutPayload::from_static(BYTES)).await.unwrap();
    }
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn firmware_key(firmware: &str) -> Key<Firmware> {
    Key::new(&tenant(), &firmware.parse::<FirmwareId>().unwrap())
}

fn place(firmware: &str) -> String {
    format!("acme/{firmware}/{}", Sha256Digest::of(BYTES))
}

#[tokio::test]
async fn a_deletions_body_is_read_and_its_reason_kept() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let draft = api.draft(&firmware).await;
    api.device("d-1").await;
    let stored = api.stored().await;
    for path in ["/devices/d-1".to_owned(), format!("/campaigns/{draft}"), format!("/firmware/{firmware}")] {
        for (body, status, field) in [
            (r#"{"bogus":1}"#, 422, "bogus"),
            (r#"{"reason":7}"#, 422, "reason"),
            ("[]", 422, "body"),
            ("not json", 400, ""),
        ] {
            let answer = api.delete(&path, body).await;
            assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
            assert_eq!(answer.body["errors"][0]["field"].as_str().unwrap_or_default(), field, "{path} {body}");
        }
        let differs = api.delete(&format!("{path}?reason=lost"), r#"{"reason":"sold"}"#).await;
        assert_eq!((differs.status.as_u16(), &differs.body["errors"][0]["field"]), (422, &json!("reason")), "{path}");
    }
    assert_eq!(api.stored().await, stored, "none of these deletes anything");
    api.post(&format!("/firmware/{firmware}/withdraw"), json!({})).await;
    for path in ["/devices/d-1".to_owned(), format!("/campaigns/{draft}"), format!("/firmware/{firmware}")] {
        let deleted = api.delete(&format!("{path}?reason=sold"), r#"{"reason":"sold"}"#).await;
        assert_eq!(deleted.status, 200, "{path}: {}", deleted.body);
        let history = api.get(&format!("{path}/history")).await;
        assert_eq!(history.body["items"].as_array().unwrap().last().unwrap()["reason"], "sold", "{path}");
    }
}

const FORCED: &str = r#"{"force":true,"reason":"nobody goes back"}"#;

#[tokio::test]
async fn without_postgresql_only_a_firmware_that_is_no_way_back_is_deleted_without_force() {
    let api = Api::new();
    let (firmware, withdrawn) = (api.firmware("2.0.0").await, api.firmware("3.0.0").await);
    let path = format!("/firmware/{firmware}");
    for query in ["", "?dry_run=true"] {
        let unknown = api.delete(&format!("{path}{query}"), "").await;
        assert_eq!((unknown.status.as_u16(), unknown.problem()), (503, "postgresql_unavailable"), "{query}");
    }
    for body in [r#"{"force":true}"#, r#"{"force":true,"reason":" "}"#] {
        let answer = api.delete(&path, body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["field"]), (422, &json!("reason")), "{body}");
    }
    assert_eq!(api.delete(&path, FORCED).await.status, 200);
    let history = api.get(&format!("{path}/history")).await;
    let last = history.body["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["reason"], "nobody goes back", "{last}");
    assert_eq!(last["event"], json!({"type": "firmware.deleted", "forced": true}), "nobody could count the devices");
    api.post(&format!("/firmware/{withdrawn}/withdraw"), json!({})).await;
    assert_eq!(api.delete(&format!("/firmware/{withdrawn}"), "").await.status, 200);
}

#[tokio::test]
async fn a_pin_that_a_start_left_behind_does_not_keep_a_firmware_for_ever() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let campaign: CampaignId = api.draft(&firmware).await.parse().unwrap();
    api.firmware_command(&firmware, FirmwareCommand::Pin { campaign }).await;
    let path = format!("/firmware/{firmware}");
    let early = api.delete(&path, "").await;
    assert_eq!(
        (early.status.as_u16(), early.problem()),
        (409, "firmware_pinned"),
        "the campaign may be about to start"
    );
    api.release_stale(&firmware, TimeDelta::minutes(2)).await;
    assert_eq!(api.delete(&path, FORCED).await.status, 200);
}

#[tokio::test]
async fn a_live_campaign_keeps_its_pin_and_no_other_firmware() {
    let api = Api::new();
    let (firmware, other) = (api.firmware("2.0.0").await, api.firmware("3.0.0").await);
    let id = api.draft(&firmware).await;
    let campaign: CampaignId = id.parse().unwrap();
    for pinned in [&firmware, &other] {
        api.firmware_command(pinned, FirmwareCommand::Pin { campaign }).await;
    }
    let loaded = api.store.load(&firmware_key(&firmware)).await.unwrap();
    let snapshot = Box::new(
        loaded.aggregate.snapshot_for_new_work(firmware.parse().unwrap(), &FirmwarePolicy::default()).unwrap(),
    );
    let command =
        domain::campaign::CampaignCommand::Start { plan: Uuid::from_u128(7), firmware: snapshot, expected: None };
    let request = event_store::Request::new(CommandId(Uuid::now_v7()), Actor::new("user:42").unwrap(), command);
    api.store.execute(&Key::<domain::campaign::Campaign>::new(&tenant(), &campaign), request).await.unwrap();
    for pinned in [&firmware, &other] {
        api.release_stale(pinned, TimeDelta::minutes(2)).await;
    }
    assert_eq!(api.delete(&format!("/firmware/{firmware}"), "").await.problem(), "firmware_pinned");
    assert_eq!(
        api.delete(&format!("/firmware/{other}"), FORCED).await.status,
        200,
        "the draft has another firmware now"
    );
}

#[tokio::test]
async fn bytes_go_with_their_firmware() {
    let api = Api::new();
    let (firmware, other) = (api.firmware("2.0.0").await, api.firmware("3.0.0").await);
    assert_eq!(api.kept().await.len(), 2);
    assert_eq!(api.delete(&format!("/firmware/{firmware}?dry_run=true"), FORCED).await.status, 200);
    assert_eq!(api.kept().await.len(), 2, "a dry run removes nothing");
    assert_eq!(api.delete(&format!("/firmware/{firmware}"), FORCED).await.status, 200);
    let kept = api.kept().await;
    assert!(kept.len() == 1 && kept[0].contains(&other), "{kept:?}");
    assert_eq!(api.firmware("2.0.0").await, firmware, "the same bytes can be uploaded again");
    assert!(api.kept().await.contains(&place(&firmware)));
}

#[tokio::test]
async fn what_deletions_left_behind_is_swept_and_nothing_else() {
    let api = Api::new();
    let (deleted, present) = (api.firmware("2.0.0").await, api.firmware("3.0.0").await);
    api.firmware_command(&deleted, FirmwareCommand::Delete(Deletion { forced: true, rollback_need: None })).await;
    api.put(&format!("_deleted/{}", place(&deleted))).await;
    let unknown = place("8f9f7c9e-0000-0000-0000-000000000000");
    for path in [unknown.as_str(), "acme/readme.txt", "_incoming/upload"] {
        api.put(path).await;
    }
    crate::firmware::sweep(&api.app).await;
    let present = format!("acme/{present}/{}", Sha256Digest::of(b"3.0.0"));
    let mut wanted = vec![unknown, "acme/readme.txt".to_owned(), "_incoming/upload".to_owned(), present];
    let mut kept = api.kept().await;
    wanted.sort();
    kept.sort();
    assert_eq!(kept, wanted);
}

#[tokio::test]
async fn bytes_of_a_firmware_that_came_back_return_to_their_place() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let aside = format!("_deleted/{}", place(&firmware));
    api.objects.rename(&Path::from(place(&firmware)), &Path::from(aside)).await.unwrap();
    crate::firmware::sweep(&api.app).await;
    assert_eq!(api.kept().await, [place(&firmware)]);
}
