//! LoRaWAN device EUIs are unique in a tenant, by a claim per EUI: claim, create, on failure release.
//!
//! A claim whose owner doesn't name the EUI (a request died half-way) may be taken over after a while.

use domain::claim::{Claim, ClaimCommand, ClaimId, ClaimKind};
use domain::device::{Device, Lifecycle};
use domain::{DeviceId, Key, Rejection};
use event_store::{ExecuteError, StoreError};

use crate::auth::Caller;
use crate::http::{Envelope, Problem};
use crate::state::App;

/// Makes a device the owner of an EUI, or says that another one is.
pub(super) async fn claim(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    eui: &str,
    id: &DeviceId,
) -> Result<(), Problem> {
    let owner = id.to_string();
    let taken_by = match send(app, caller, envelope, eui, ClaimCommand::Make { owner: owner.clone() }).await {
        Ok(()) => return Ok(()),
        Err(ExecuteError::Rejected(Rejection::ClaimTaken { owner })) => owner,
        Err(error) => return Err(error.into()),
    };
    let forgotten = match DeviceId::new(taken_by.as_str()) {
        Ok(other) => !names(app, caller, eui, &other).await?,
        Err(_) => true,
    };
    if forgotten {
        let wish = ClaimCommand::TakeOver { owner, from: taken_by.clone() };
        match send(app, caller, envelope, eui, wish).await {
            Ok(()) => return Ok(()),
            Err(ExecuteError::Rejected(Rejection::ClaimTaken { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Rejection::ClaimTaken { owner: format!("device {taken_by}") }.into())
}

/// Gives an EUI back that a device doesn't have. A failure is left to the take-over.
pub(super) async fn release_unless_used(app: &App, caller: &Caller, envelope: &Envelope, eui: &str, id: &DeviceId) {
    let outcome = match names(app, caller, eui, id).await {
        Ok(true) => return,
        Ok(false) => send(app, caller, envelope, eui, ClaimCommand::Release { owner: id.to_string() }).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = outcome {
        tracing::warn!(device.id = %id, %error, "a claim that is not used could not be released");
    }
}

/// Whether a device in service has this EUI.
async fn names(app: &App, caller: &Caller, eui: &str, id: &DeviceId) -> Result<bool, StoreError> {
    let device = app.store.load_fresh(&Key::<Device>::new(&caller.tenant, id)).await?;
    let device = &device.aggregate;
    Ok(device.lifecycle == Lifecycle::Active && device.profile.lorawan_dev_eui.as_deref() == Some(eui))
}

async fn send(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    eui: &str,
    wish: ClaimCommand,
) -> Result<(), ExecuteError> {
    let key = Key::<Claim>::new(&caller.tenant, &ClaimId::new(ClaimKind::LorawanDevEui, eui));
    // A claim is right by its state; the same owner may make it, release it and make it again under one key.
    let request = envelope.bare_request(caller, wish);
    if envelope.dry_run {
        return app.store.check(&key, &request).await.map(drop);
    }
    app.store.execute(&key, request).await.map(drop)
}
