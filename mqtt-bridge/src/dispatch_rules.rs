//! Whether a device is told to begin: not while nothing may be dispatched to its tenant, and not with a firmware that lacks signatures that the
//! tenant asks for. What it has begun goes on.

use std::sync::Arc;

use domain::device::{CommandState, Desired, Device, Phase, Update};
use domain::firmware::{Firmware, FirmwareSignature};
use domain::tenant::Tenant;
use domain::{Key, TenantId};
use event_store::{EventStore, StoreError};

/// Most signatures in a command: more would make it larger than it may be.
const SIGNATURES_IN_COMMAND_MAX: usize = 2;

/// What the tenant's rules make of a device's command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// The device isn't told.
    pub(crate) keeps_back: bool,
    /// By trusted keys, for the device to check.
    pub(crate) signatures: Vec<FirmwareSignature>,
}

/// `position`: the last known record of the tenant.
pub(crate) async fn rule(
    store: &EventStore,
    tenant: &TenantId,
    device: &Device,
    position: u64,
) -> Result<Ruling, StoreError> {
    let Some(update) = told(device) else { return Ok(Ruling::default()) };
    let state = state_of(store, tenant, position).await?;
    let policy = state.signature_policy();
    let signatures = if policy.trusted.is_empty() && policy.required == 0 {
        vec![]
    } else {
        signatures_of(store, tenant, update, |known| policy.refuses(known)).await?
    };
    let keeps_back = is_to_begin(update) && (!state.lets_dispatch() || policy.refuses(&signatures));
    let signatures = policy.for_devices(&signatures).take(SIGNATURES_IN_COMMAND_MAX).cloned().collect();
    Ok(Ruling { keeps_back, signatures })
}

/// Whether an update may not go out to its device, whatever its phase.
pub(crate) async fn holds_back(
    store: &EventStore,
    tenant: &TenantId,
    update: &Update,
    position: u64,
) -> Result<bool, StoreError> {
    let state = state_of(store, tenant, position).await?;
    let policy = state.signature_policy();
    if !state.lets_dispatch() || policy.required == 0 {
        return Ok(!state.lets_dispatch());
    }
    Ok(policy.refuses(&signatures_of(store, tenant, update, |known| policy.refuses(known)).await?))
}

/// The signatures of an update's firmware. `are_too_few`: if those that are known may not be all, the log is asked.
async fn signatures_of(
    store: &EventStore,
    tenant: &TenantId,
    update: &Update,
    are_too_few: impl Fn(&[FirmwareSignature]) -> bool,
) -> Result<Vec<FirmwareSignature>, StoreError> {
    let key = Key::<Firmware>::new(tenant, &update.spec.firmware.firmware_id);
    let known = store.load(&key).await?;
    let loaded = if are_too_few(&known.aggregate.signatures) { store.load_fresh(&key).await? } else { known };
    Ok(loaded.aggregate.signatures.clone())
}

/// The same for its command to run beside updates: what it hasn't accepted waits.
pub(crate) async fn keeps_back_run(
    store: &EventStore,
    tenant: &TenantId,
    device: &Device,
    position: u64,
) -> Result<bool, StoreError> {
    let is_to_begin = device.desired_command().is_some_and(|command| command.state == CommandState::Sent);
    if is_to_begin { is_frozen(store, tenant, position).await } else { Ok(false) }
}

/// Whether devices of a tenant aren't told to begin. `position`: the last known record of the tenant.
async fn is_frozen(store: &EventStore, tenant: &TenantId, position: u64) -> Result<bool, StoreError> {
    Ok(!state_of(store, tenant, position).await?.lets_dispatch())
}

async fn state_of(store: &EventStore, tenant: &TenantId, position: u64) -> Result<Arc<Tenant>, StoreError> {
    let key = Key::<Tenant>::new(tenant, tenant);
    let known = store.load(&key).await?;
    let state = if known.last_sequence >= position { known } else { store.load_fresh(&key).await? };
    Ok(Arc::clone(&state.aggregate))
}

/// The update whose firmware the device is told to install or to run. A cancel is neither.
fn told(device: &Device) -> Option<&Update> {
    match device.desired() {
        Desired::Install(update) | Desired::Activate(update) => Some(update),
        Desired::Cancel(_) | Desired::Nothing => None,
    }
}

/// Whether the device hasn't begun what it is told.
fn is_to_begin(update: &Update) -> bool {
    matches!(update.phase, Phase::Dispatched | Phase::Activating)
}
