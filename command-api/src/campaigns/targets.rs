//! Devices that a campaign names one by one. Each must be known, otherwise a misspelt id would be ignored.

use domain::campaign::CampaignSpec;
use domain::device::Device;
use domain::{DeviceId, Key};
use event_store::StoreError;
use futures::{StreamExt, TryStreamExt};

use crate::auth::Caller;
use crate::http::{FieldError, Problem};
use crate::state::App;

/// Devices that are looked up at once.
const IN_FLIGHT_MAX: usize = 256;
/// Most unknown devices named in a reply.
const NAMED_MAX: usize = 20;

/// 422 naming devices that were never registered.
pub(super) async fn known_targets(app: &App, caller: &Caller, spec: &CampaignSpec) -> Result<(), Problem> {
    let looks = spec
        .target_devices
        .iter()
        .cloned()
        .enumerate()
        .map(async |(index, id)| Ok::<_, StoreError>((!is_known(app, caller, &id).await?).then_some((index, id))));
    let unknown: Vec<FieldError> = futures::stream::iter(looks)
        .buffered(IN_FLIGHT_MAX)
        .try_filter_map(|found| std::future::ready(Ok(found)))
        .map_ok(|(index, id)| FieldError::new(format!("target_devices[{index}]"), format!("no device {id}")))
        .take(NAMED_MAX)
        .try_collect()
        .await?;
    if unknown.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(unknown)) }
}

/// A replica may lack recent registrations, so the stream's leader is asked before a device counts as unknown.
async fn is_known(app: &App, caller: &Caller, id: &DeviceId) -> Result<bool, StoreError> {
    let key = Key::<Device>::new(&caller.tenant, id);
    Ok(app.store.load(&key).await?.version > 0 || app.store.load_fresh(&key).await?.version > 0)
}
