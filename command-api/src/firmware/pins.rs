//! Removes pins that are no longer needed.
//!
//! A campaign pins its firmware before it starts or is retried. If the process ends in between, the pin stays with a campaign that isn't
//! live. Invariant: a recent pin is never removed, because its campaign may be about to start. So a request that pins a firmware first
//! removes an old pin of its campaign, and makes a new one.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{Campaign, CampaignStatus};
use domain::firmware::{Firmware, FirmwareCommand, FirmwareEvent};
use domain::{CampaignId, FirmwareId, Key};
use event_store::{ExecuteError, ExpectedVersion, Request};

use crate::auth::Caller;
use crate::http::{Envelope, Problem};
use crate::state::App;

/// A request that pinned a firmware starts its campaign or fails within this time, in seconds.
const START_MAX_S: i64 = 60;

/// Removes pins of campaigns that don't need this firmware and aren't about to start.
pub(crate) async fn release_stale(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: FirmwareId,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let key = Key::<Firmware>::new(&caller.tenant, &id);
    let loaded = app.store.load_fresh(&key).await?;
    let (mut stale, mut perhaps) = (Vec::new(), Vec::new());
    for campaign in &loaded.aggregate.pinned_by {
        match need_of(app, caller, *campaign, id).await? {
            Need::UnderWay => {}
            Need::MayBegin => perhaps.push(*campaign),
            Need::Over => stale.push(*campaign),
        }
    }
    if !perhaps.is_empty() {
        let pinned_at = pinned_at(app, &key).await?;
        let is_old = |at: &DateTime<Utc>| now - *at > TimeDelta::seconds(START_MAX_S);
        stale.extend(perhaps.into_iter().filter(|campaign| pinned_at.get(campaign).is_none_or(is_old)));
    }
    let mut version = loaded.version;
    for campaign in stale {
        tracing::info!(campaign.id = %campaign, firmware.id = %id, "Removed a pin of a campaign that isn't live.");
        let command = FirmwareCommand::Unpin { campaign };
        // Only if nothing has changed since: a pin that was renewed meanwhile stays.
        let expected_version = Some(ExpectedVersion::OneOf(vec![version]));
        match app.store.execute(&key, Request { expected_version, ..envelope.bare_request(caller, command) }).await {
            Ok(done) => version = done.version,
            Err(ExecuteError::VersionDiffers { .. } | ExecuteError::Conflict) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether a campaign needs a firmware.
enum Need {
    UnderWay,
    /// It could be started or retried at any moment.
    MayBegin,
    Over,
}

/// A draft may have another firmware since it pinned this one.
async fn need_of(app: &App, caller: &Caller, campaign: CampaignId, firmware: FirmwareId) -> Result<Need, Problem> {
    use CampaignStatus as S;
    let loaded = app.store.load_fresh(&Key::<Campaign>::new(&caller.tenant, &campaign)).await?;
    let uses = loaded.aggregate.spec.as_ref().is_some_and(|spec| spec.firmware_id == firmware);
    Ok(match loaded.aggregate.status {
        status if uses && status.is_live() => Need::UnderWay,
        S::Cancelled | S::Completed | S::Deleted => Need::Over,
        _ => Need::MayBegin,
    })
}

/// When each campaign last pinned the firmware.
async fn pinned_at(app: &App, key: &Key<Firmware>) -> Result<BTreeMap<CampaignId, DateTime<Utc>>, Problem> {
    let mut pinned_at = BTreeMap::new();
    let visit = |recorded: event_store::Recorded<FirmwareEvent>| {
        if let FirmwareEvent::Pinned { campaign } = recorded.event {
            pinned_at.insert(campaign, recorded.stored_at);
        }
    };
    app.store.walk(key, visit).await?;
    Ok(pinned_at)
}
