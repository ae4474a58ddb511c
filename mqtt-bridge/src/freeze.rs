//! Whether a device is told to begin: not while nothing may be dispatched to its tenant. What it has begun goes on.

use domain::device::{Desired, Device, Phase};
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
    if !is_to_begin(device) {
        return Ok(false);
    }
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
