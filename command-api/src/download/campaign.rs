//! The campaign that a download belongs to.
//!
//! A link names the device and the ordinal of its update; the device's aggregate knows the update's campaign. The aggregate is nearly
//! always in the cache, and the link stays short.

use domain::device::Device;
use domain::{CampaignId, Key};
use event_store::StoreError;

use crate::links::Download;
use crate::state::App;

/// None for a link that wasn't made for a campaign's update, and when the log can't be asked: counting stops no download.
pub(super) async fn campaign_of(app: &App, link: &Download) -> Option<CampaignId> {
    find(app, link).await.unwrap_or_else(|error| {
        metrics::counter!("waybill_downloads_without_campaign_total").increment(1);
        tracing::warn!(%error, "The campaign of a download can't be found; it is counted for its firmware alone.");
        None
    })
}

async fn find(app: &App, link: &Download) -> Result<Option<CampaignId>, StoreError> {
    let Some(attempt) = &link.attempt else { return Ok(None) };
    let key = Key::<Device>::new(&link.tenant, &attempt.device);
    let mut device = app.store.load(&key).await?;
    if device.aggregate.last_ordinal < attempt.ordinal {
        device = app.store.load_fresh(&key).await?;
    }
    Ok(campaign_in(&device.aggregate, attempt.ordinal))
}

/// An update that ended long ago is known by its campaign alone.
fn campaign_in(device: &Device, ordinal: u32) -> Option<CampaignId> {
    match device.updates.get(&ordinal) {
        Some(update) => update.spec.campaign.as_ref().map(|campaign| campaign.id),
        None => device.campaigns.iter().find(|(_, update)| update.ordinal == ordinal).map(|(id, _)| *id),
    }
}
