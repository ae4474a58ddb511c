//! LoRaWAN device EUIs are unique in a tenant, by a claim per EUI: claim it, store it on the device, release it on failure.
//!
//! A claim whose owner doesn't have the EUI (the request died half-way) may be taken over after a while. Two requests for one device share
//! its claim, and a refused one may release what the other one needs. So the claim is made again once the device has the EUI, and the
//! device loses the EUI if another device has claimed it meanwhile.

use std::collections::BTreeMap;

use domain::change::Change;
use domain::claim::{Claim, ClaimCommand, ClaimId, ClaimKind};
use domain::device::{Device, DeviceCommand, Lifecycle, ProfilePatch};
use domain::{DeviceId, Key, Rejection};
use event_store::{ExecuteError, StoreError};

use crate::auth::Caller;
use crate::http::{Envelope, Problem};
use crate::state::App;

/// Makes a device the owner of an EUI, or fails with the current owner.
pub(super) async fn claim(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    eui: &str,
    id: &DeviceId,
) -> Result<(), Problem> {
    let owner = id.to_string();
    let command = ClaimCommand::Make { owner: owner.clone() };
    let Some(taken_by) = other_owner(app, caller, envelope, eui, command).await? else { return Ok(()) };
    let forgotten = match DeviceId::new(taken_by.as_str()) {
        Ok(other) => !names(app, caller, eui, &other).await?,
        Err(_) => true,
    };
    let command = ClaimCommand::TakeOver { owner, from: taken_by.clone() };
    if forgotten && other_owner(app, caller, envelope, eui, command).await?.is_none() {
        return Ok(());
    }
    Err(Rejection::ClaimTaken { owner: format!("device {taken_by}") }.into())
}

/// Renews the claim of an EUI that a device has got. If another device owns it by now, that device keeps it.
pub(super) async fn keep(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    eui: &str,
    id: &DeviceId,
) -> Result<(), Problem> {
    let Err(problem) = claim(app, caller, envelope, eui, id).await else { return Ok(()) };
    if problem.code() != "claim_taken" || envelope.dry_run {
        return Err(problem);
    }
    if names(app, caller, eui, id).await? {
        let patch = ProfilePatch { lorawan_dev_eui: Change::Clear, ..ProfilePatch::default() };
        let command = DeviceCommand::Amend { patch, versions: BTreeMap::new() };
        let key = Key::<Device>::new(&caller.tenant, id);
        app.store.execute(&key, envelope.bare_request(caller, command)).await?;
    }
    Err(problem)
}

/// Releases the claim of an EUI that the device doesn't have. After a failure the claim can be taken over later.
pub(super) async fn release_unless_used(app: &App, caller: &Caller, envelope: &Envelope, eui: &str, id: &DeviceId) {
    let outcome = match names(app, caller, eui, id).await {
        Ok(true) => return,
        Ok(false) => let_go(app, caller, envelope, eui, id).await,
        Err(error) => Err(error.into()),
    };
    if let Err(problem) = outcome {
        let error = problem.detail();
        tracing::warn!(device.id = %id, %error, "a claim that is not used could not be released");
    }
}

/// Releases a claim. The device may have got the EUI by another request since the check, so it is checked again.
async fn let_go(app: &App, caller: &Caller, envelope: &Envelope, eui: &str, id: &DeviceId) -> Result<(), Problem> {
    send(app, caller, envelope, eui, ClaimCommand::Release { owner: id.to_string() }).await?;
    if names(app, caller, eui, id).await? { keep(app, caller, envelope, eui, id).await } else { Ok(()) }
}

/// Whether a device in service has this EUI.
async fn names(app: &App, caller: &Caller, eui: &str, id: &DeviceId) -> Result<bool, StoreError> {
    let device = app.store.load_fresh(&Key::<Device>::new(&caller.tenant, id)).await?;
    let device = &device.aggregate;
    Ok(device.lifecycle == Lifecycle::Active && device.profile.lorawan_dev_eui.as_deref() == Some(eui))
}

/// Tries to get a claim; returns the owner if it is another one.
async fn other_owner(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    eui: &str,
    command: ClaimCommand,
) -> Result<Option<String>, ExecuteError> {
    match send(app, caller, envelope, eui, command).await {
        Ok(()) => Ok(None),
        Err(ExecuteError::Rejected(Rejection::ClaimTaken { owner })) => Ok(Some(owner)),
        Err(error) => Err(error),
    }
}

async fn send(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    eui: &str,
    command: ClaimCommand,
) -> Result<(), ExecuteError> {
    let key = Key::<Claim>::new(&caller.tenant, &ClaimId::new(ClaimKind::LorawanDevEui, eui));
    // A claim depends only on its state: one owner may make, release and make it again with one idempotency key.
    let request = envelope.bare_request(caller, command);
    if envelope.dry_run {
        return app.store.check(&key, &request).await.map(drop);
    }
    app.store.execute(&key, request).await.map(drop)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use domain::{Actor, TenantId};
    use serde_json::json;

    use super::*;
    use crate::tests::Api;

    const EUI: &str = "0102030405060708";

    async fn world() -> (Api, Caller, Envelope) {
        let (parts, ()) = Request::post("/devices").body(()).unwrap().into_parts();
        let envelope = Envelope::of(&parts).unwrap();
        let (tenant, actor) = (TenantId::new("acme").unwrap(), Actor::new("user:42").unwrap());
        (
            Api::new(),
            Caller { tenant, actor, roles: vec![], limited: vec![], limits: None, is_kind_stated: true },
            envelope,
        )
    }

    async fn register(api: &Api, id: &str) -> DeviceId {
        let answer = api.post("/devices", json!({"device_id": id, "lorawan_dev_eui": EUI})).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        DeviceId::new(id).unwrap()
    }

    async fn owner(api: &Api, caller: &Caller) -> Option<String> {
        let key = Key::<Claim>::new(&caller.tenant, &ClaimId::new(ClaimKind::LorawanDevEui, EUI));
        api.app.store.load_fresh(&key).await.unwrap().aggregate.owner().map(str::to_owned)
    }

    #[tokio::test]
    async fn a_refused_request_does_not_let_go_what_another_one_has_got() {
        let (api, caller, envelope) = world().await;
        let id = register(&api, "d-1").await;
        // The refused request had checked before the device got the EUI.
        let_go(&api.app, &caller, &envelope, EUI, &id).await.unwrap();
        assert_eq!(owner(&api, &caller).await.as_deref(), Some("d-1"));
    }

    #[tokio::test]
    async fn of_two_devices_with_one_eui_the_owner_keeps_it() {
        let (api, caller, envelope) = world().await;
        let first = register(&api, "d-1").await;
        send(&api.app, &caller, &envelope, EUI, ClaimCommand::Release { owner: "d-1".to_owned() }).await.unwrap();
        let second = register(&api, "d-2").await;
        let problem = keep(&api.app, &caller, &envelope, EUI, &first).await.unwrap_err();
        assert_eq!(problem.code(), "claim_taken");
        assert!(!names(&api.app, &caller, EUI, &first).await.unwrap());
        assert!(names(&api.app, &caller, EUI, &second).await.unwrap());
    }
}
