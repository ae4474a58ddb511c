//! Callers whose role is limited to some devices: which ones.

use domain::campaign::Campaign;
use domain::{CampaignId, Key, Rejection, TenantId};
use projections::devices::{self, DeviceFilter};
use projections::reach::Reach;

use crate::caller::{Caller, DeviceLimits};
use crate::http::Problem;
use crate::state::App;

/// What a device that is out of reach is: the same as one that doesn't exist.
pub(crate) fn unknown() -> Problem {
    Problem::not_found("no such device")
}

/// Refuses a device that is not among those of the caller, by the read models.
pub(crate) async fn must_reach(app: &App, caller: &Caller, limits: &DeviceLimits, device: &str) -> Result<(), Problem> {
    let reach = Some(of(app, &caller.tenant, caller.actor.id(), limits).await?);
    let filter = DeviceFilter { ids: vec![device.to_owned()], reach, decommissioned: true, ..DeviceFilter::default() };
    let mut tx = app.db.read(&caller.tenant).await?;
    let found = devices::list(&mut tx, &filter, None, 1, false).await?;
    if found.items.is_empty() { Err(unknown()) } else { Ok(()) }
}

/// Refuses a campaign that can have devices out of the caller's groups.
pub(crate) async fn must_cover(
    app: &App,
    caller: &Caller,
    limits: &DeviceLimits,
    campaign: CampaignId,
) -> Result<(), Problem> {
    let loaded = app.store.load_fresh(&Key::<Campaign>::new(&caller.tenant, &campaign)).await?;
    let is_covered = loaded.aggregate.spec.as_ref().is_some_and(|spec| spec.stays_within(&limits.groups));
    if is_covered { Ok(()) } else { Err(Rejection::CampaignUnknown.into()) }
}

/// The devices that a caller with limits may see. Groups that don't exist have none.
pub(crate) async fn of(app: &App, tenant: &TenantId, actor: &str, limits: &DeviceLimits) -> Result<Reach, Problem> {
    let mut tx = app.db.read(tenant).await?;
    let mut groups = Vec::new();
    for group in &limits.groups {
        groups.extend(projections::groups::get(&mut tx, group).await?);
    }
    Ok(Reach { owner: limits.own.then(|| actor.to_owned()), groups })
}
