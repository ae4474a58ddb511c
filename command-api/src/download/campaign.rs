//! The update that a download is for.
//!
//! A link names the device and the ordinal of its update. The device's aggregate knows the update's campaign and whether it has ended. It
//! is nearly always in the cache, and the link stays short.

use std::sync::Arc;

use axum::http::StatusCode;
use domain::device::Device;
use domain::{CampaignId, Key};

use crate::http::Problem;
use crate::links::Download;
use crate::state::App;

/// The device that a link was made for, if any; refused if the link's update has ended. The attempt doesn't matter: the bytes are the same.
pub(super) async fn device_under_way(app: &App, link: &Download) -> Result<Option<Arc<Device>>, Problem> {
    let Some(attempt) = &link.attempt else { return Ok(None) };
    let device = app.store.load_fresh(&Key::<Device>::new(&link.tenant, &attempt.device)).await?.aggregate.clone();
    if device.updates.get(&attempt.ordinal).is_some_and(|update| !update.phase.is_ended()) {
        return Ok(Some(device));
    }
    Err(Problem::new(StatusCode::GONE, "update_ended", "the update that the link was made for has ended"))
}

/// None for a link that wasn't made for a campaign's update.
pub(super) fn campaign_of(device: Option<&Device>, link: &Download) -> Option<CampaignId> {
    let update = device?.updates.get(&link.attempt.as_ref()?.ordinal)?;
    update.spec.campaign.as_ref().map(|campaign| campaign.id)
}
