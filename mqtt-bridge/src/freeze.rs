//! Whether a device is told to begin: not while nothing may be dispatched to its tenant. What it has begun goes on.

use domain::device::{CommandState, Desired, Device, Phase};
use domain::tenant::Tenant;
use domain::{Key, TenantId};
use event_store::{EventStore, StoreError};

/// Whether the device's command is kept back. `position`: the last known record of the tenant.
pub(crate) async fn keeps_back(
    store: &EventStore,
    tenant: &TenantId,
    device: &Device,
    position: u64,
) -> Result<bool, StoreError> {
    if is_to_begin(device) { is_frozen(store, tenant, position).await } else { Ok(false) }
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
pub(crate) async fn is_frozen(store: &EventStore, tenant: &TenantId, position: u64) -> Result<bool, StoreError> {
    let key = Key::<Tenant>::new(tenant, tenant);
    let known = store.load(&key).await?;
    let state = if known.last_sequence >= position { known } else { store.load_fresh(&key).await? };
    Ok(!state.aggregate.lets_dispatch())
}

/// Whether the device's command is for something that it hasn't begun. A cancel is no beginning.
fn is_to_begin(device: &Device) -> bool {
    match device.desired() {
        Desired::Install(update) | Desired::Activate(update) => {
            matches!(update.phase, Phase::Dispatched | Phase::Activating)
        }
        Desired::Cancel(_) | Desired::Nothing => false,
    }
}
