//! Whether a device is told to begin. It isn't while its tenant lets nothing begin (frozen, suspended, closed), nor with a firmware that lacks
//! signatures or documents that the tenant asks for. What a device has begun goes on.
//!
//! `position` is the last known record of the tenant: an older state is not good enough.

use std::sync::Arc;

use domain::device::{CommandState, Desired, Device, Phase, Update};
use domain::firmware::{Firmware, FirmwarePolicy, FirmwareSignature};
use domain::tenant::Tenant;
use domain::{Key, TenantId};
use event_store::{EventStore, StoreError};

/// Most signatures in a command: more would make it larger than it may be.
const SIGNATURES_IN_COMMAND_MAX: usize = 2;

/// What the tenant's rules make of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// The device isn't told.
    pub(crate) keeps_back: bool,
    /// Signatures by trusted keys, for the device to check.
    pub(crate) signatures: Vec<FirmwareSignature>,
}

/// The ruling on the device's command.
pub(crate) async fn rule(
    store: &EventStore,
    tenant: &TenantId,
    device: &Device,
    position: u64,
) -> Result<Ruling, StoreError> {
    let Some(update) = told(device) else { return Ok(Ruling::default()) };
    let ruling = rule_on_beginning(store, tenant, update, position).await?;
    Ok(Ruling { keeps_back: ruling.keeps_back && is_to_begin(update), ..ruling })
}

/// The ruling on a command by which a device begins an update.
pub(crate) async fn rule_on_beginning(
    store: &EventStore,
    tenant: &TenantId,
    update: &Update,
    position: u64,
) -> Result<Ruling, StoreError> {
    let state = state_of(store, tenant, position).await?;
    let policy = state.firmware_policy();
    let firmware = firmware_of(store, tenant, update, &policy).await?;
    let keeps_back = !state.lets_dispatch() || firmware.lack(&policy).is_some();
    let signatures = policy.signatures.for_devices(&firmware.signatures);
    let signatures = signatures.take(SIGNATURES_IN_COMMAND_MAX).cloned().collect();
    Ok(Ruling { keeps_back, signatures })
}

/// Whether the device isn't told to run a command beside its updates: not while its tenant lets nothing begin, if it hasn't accepted the
/// command.
pub(crate) async fn keeps_back_run(
    store: &EventStore,
    tenant: &TenantId,
    device: &Device,
    position: u64,
) -> Result<bool, StoreError> {
    let is_to_begin = device.desired_command().is_some_and(|command| command.state == CommandState::Sent);
    Ok(is_to_begin && !state_of(store, tenant, position).await?.lets_dispatch())
}

async fn state_of(store: &EventStore, tenant: &TenantId, position: u64) -> Result<Arc<Tenant>, StoreError> {
    let key = Key::<Tenant>::new(tenant, tenant);
    let known = store.load(&key).await?;
    let state = if known.last_sequence >= position { known } else { store.load_fresh(&key).await? };
    Ok(Arc::clone(&state.aggregate))
}

/// The firmware of an update, with its signatures and documents; an empty one if the tenant has no use for them.
async fn firmware_of(
    store: &EventStore,
    tenant: &TenantId,
    update: &Update,
    policy: &FirmwarePolicy,
) -> Result<Arc<Firmware>, StoreError> {
    if policy.asks_nothing() && policy.signatures.trusted.is_empty() {
        return Ok(Arc::default());
    }
    let key = Key::<Firmware>::new(tenant, &update.spec.firmware.firmware_id);
    let known = store.load(&key).await?;
    // Another process may have just added one.
    let loaded = if known.aggregate.lack(policy).is_some() { store.load_fresh(&key).await? } else { known };
    Ok(Arc::clone(&loaded.aggregate))
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
