//! An `Idempotency-Key` belongs to one request, also if the client chooses the id of a new device or group: a claim per key records which
//! request that is.
//!
//! Without the claim, the same key with another id would go to another aggregate, where the first use is not known.

use domain::claim::{Claim, ClaimCommand, ClaimId, ClaimKind};
use domain::{Decider, DeviceId, Key, Rejection};
use event_store::{CommandHash, ExecuteError};

use crate::auth::Caller;
use crate::http::{Envelope, Problem};
use crate::state::App;

/// Binds the key to the id that the client chose for what it creates, or fails if the key belongs to another one. Without a chosen id, fails
/// if the key belongs to a chosen one. `generated` is what the key would create without a chosen id.
pub(crate) async fn claim_id<A: Decider>(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    generated: &Key<A>,
    chosen: Option<String>,
) -> Result<(), Problem> {
    let Some(chosen) = chosen else { return is_free(app, caller, envelope).await };
    if envelope.has_key() && app.store.load_fresh(generated).await?.version > 0 {
        return Err(ExecuteError::CommandIdReused.into());
    }
    claim_for(app, caller, envelope, chosen).await
}

/// Releases the key of a chosen id if what was to be created was refused.
pub(crate) async fn release_id<A: Decider, T>(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    outcome: &Result<T, Problem>,
    created: &Key<A>,
    chosen: Option<String>,
) {
    if let (Err(problem), Some(chosen)) = (outcome, chosen)
        && problem.status().is_client_error()
    {
        release(app, caller, envelope, created, chosen).await;
    }
}

/// Refuses a key that belongs to a device or a group whose id a client chose.
pub(crate) async fn is_free(app: &App, caller: &Caller, envelope: &Envelope) -> Result<(), Problem> {
    let Some(key) = claim_of(caller, envelope) else { return Ok(()) };
    match app.store.load_fresh(&key).await?.aggregate.owner() {
        Some(_) => Err(ExecuteError::CommandIdReused.into()),
        None => Ok(()),
    }
}

/// Binds the key to a list of devices as sent; some of them may have no id yet.
pub(super) async fn claim_all(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    items: &[serde_json::Value],
    ids: &[Option<&str>],
) -> Result<(), Problem> {
    let Some(key) = claim_of(caller, envelope) else { return Ok(()) };
    let owner = match envelope.reason() {
        Some(reason) => CommandHash::of(&(items, reason)),
        None => CommandHash::of(&items),
    };
    let owner = owner.map_err(Problem::internal)?.to_hex();
    // Earlier versions hashed only the ids.
    let earlier = CommandHash::of(&ids).map_err(Problem::internal)?.to_hex();
    match try_to_make(app, caller, envelope, &key, owner).await {
        Err(ExecuteError::Rejected(Rejection::ClaimTaken { owner })) if owner == earlier => Ok(()),
        outcome => outcome.map_err(reused),
    }
}

/// Binds the key to the owner, or fails if it belongs to another one.
pub(crate) async fn claim_for(app: &App, caller: &Caller, envelope: &Envelope, owner: String) -> Result<(), Problem> {
    let Some(key) = claim_of(caller, envelope) else { return Ok(()) };
    make(app, caller, envelope, &key, owner).await
}

/// Whether the key belongs to the owner already.
pub(crate) async fn is_owned_by(app: &App, caller: &Caller, envelope: &Envelope, owner: &str) -> Result<bool, Problem> {
    let Some(key) = claim_of(caller, envelope) else { return Ok(false) };
    Ok(app.store.load_fresh(&key).await?.aggregate.owner() == Some(owner))
}

/// Releases the key after a refusal, unless the aggregate has stored this very request.
pub(crate) async fn release<A: Decider>(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    refused: &Key<A>,
    owner: String,
) {
    let Some(key) = claim_of(caller, envelope) else { return };
    let outcome = async {
        let aggregate = app.store.load_fresh(refused).await?;
        if envelope.dry_run || envelope.is_stored(caller, &aggregate) {
            return Ok(());
        }
        let command = ClaimCommand::Release { owner };
        app.store.execute(&key, envelope.bare_request(caller, command)).await.map(drop)
    };
    if let Err(error) = outcome.await {
        tracing::warn!(aggregate = %refused.raw(), %error, "the idempotency key of a refused request could not be released");
    }
}

/// The id of a device whose request gives none: the same for the same key.
pub(super) fn generated_id(caller: &Caller, envelope: &Envelope) -> Result<DeviceId, Problem> {
    crate::fields::device_id(envelope.new_id(caller).to_string())
}

fn claim_of(caller: &Caller, envelope: &Envelope) -> Option<Key<Claim>> {
    let value = envelope.has_key().then(|| envelope.command_id(caller).0.simple().to_string())?;
    Some(Key::new(&caller.tenant, &ClaimId::new(ClaimKind::IdempotencyKey, &value)))
}

async fn make(app: &App, caller: &Caller, envelope: &Envelope, key: &Key<Claim>, owner: String) -> Result<(), Problem> {
    try_to_make(app, caller, envelope, key, owner).await.map_err(reused)
}

async fn try_to_make(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    key: &Key<Claim>,
    owner: String,
) -> Result<(), ExecuteError> {
    let request = envelope.bare_request(caller, ClaimCommand::Make { owner });
    match envelope.dry_run {
        true => app.store.check(key, &request).await.map(drop),
        false => app.store.execute(key, request).await.map(drop),
    }
}

/// The key belongs to another request.
fn reused(error: ExecuteError) -> Problem {
    match error {
        ExecuteError::Rejected(Rejection::ClaimTaken { .. }) => ExecuteError::CommandIdReused.into(),
        other => other.into(),
    }
}
