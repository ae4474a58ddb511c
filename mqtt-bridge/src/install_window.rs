//! When a device may begin to install, or to activate what it has staged: by the maintenance windows of its update's campaign.
//!
//! A retained command is delivered at any later time, so it never allows anything: it says that the device has to ask. The answer says for
//! how many seconds from the question on the device may begin. So it can't begin later than the window allows, however long the answer was
//! on its way, and it needs no clock.

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::Campaign;
use domain::device::{Desired, Device, UpdateKind};
use domain::window::Opening;
use domain::{CampaignId, Key, TenantId};
use event_store::{EventStore, StoreError};

/// Longest permission, in seconds. A change of the windows takes effect at the latest after this time.
pub const PERMISSION_MAX_S: u32 = 3_600;

/// Whether a device may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallWindow {
    /// At any time.
    Always,
    /// It has to ask.
    Ask,
    /// It may begin within this number of seconds after its question.
    Open { seconds: u32 },
    /// It may not begin. The window opens in this number of seconds.
    Closed { opens_in_s: u32 },
}

impl InstallWindow {
    /// The fields of a command: for how many seconds from its question on the device may begin, and when to ask again.
    pub(crate) fn fields(self) -> (Option<u32>, Option<u32>) {
        match self {
            Self::Always => (None, None),
            Self::Ask => (Some(0), None),
            Self::Open { seconds } => (Some(seconds), None),
            Self::Closed { opens_in_s } => (Some(0), Some(opens_in_s)),
        }
    }

    /// For a retained command.
    pub fn retained(opening: Opening) -> Self {
        match opening {
            Opening::Always => Self::Always,
            Opening::Open { .. } | Opening::Closed { .. } => Self::Ask,
        }
    }

    /// For the answer to a question.
    pub fn answered(opening: Opening, now: DateTime<Utc>) -> Self {
        match opening {
            Opening::Always => Self::Always,
            Opening::Open { until } => Self::Open { seconds: seconds(until - now).min(PERMISSION_MAX_S) },
            Opening::Closed { until } => Self::Closed { opens_in_s: seconds(until - now) + 1 },
        }
    }
}

/// Whole seconds.
fn seconds(time: TimeDelta) -> u32 {
    u32::try_from(time.num_seconds()).unwrap_or(0)
}

/// The campaign whose windows hold for the update that a device is to install or to activate.
pub(crate) fn campaign_of(device: &Device) -> Option<CampaignId> {
    match device.desired() {
        Desired::Install(update) | Desired::Activate(update) if update.spec.kind == UpdateKind::Update => {
            update.spec.campaign.map(|campaign| campaign.id)
        }
        Desired::Install(_) | Desired::Activate(_) | Desired::Cancel(_) | Desired::Nothing => None,
    }
}

/// The windows of a device now. `position`: the last known record of the campaign.
pub(crate) async fn opening(
    store: &EventStore,
    tenant: &TenantId,
    device: &Device,
    position: u64,
    now: DateTime<Utc>,
) -> Result<Opening, StoreError> {
    match campaign_of(device) {
        Some(campaign) => of_campaign(store, tenant, campaign, device, position, now).await,
        None => Ok(Opening::Always),
    }
}

/// Whether a device that defers its update for a closed window does so while it is closed.
pub(crate) async fn is_closed(
    store: &EventStore,
    tenant: &TenantId,
    device: &Device,
    ordinal: u32,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let update = device.update(ordinal).filter(|update| update.spec.kind == UpdateKind::Update);
    let Some(campaign) = update.and_then(|update| update.spec.campaign) else { return Ok(false) };
    let opening = of_campaign(store, tenant, campaign.id, device, u64::MAX, now).await?;
    Ok(!opening.is_open())
}

async fn of_campaign(
    store: &EventStore,
    tenant: &TenantId,
    campaign: CampaignId,
    device: &Device,
    position: u64,
    now: DateTime<Utc>,
) -> Result<Opening, StoreError> {
    let key = Key::<Campaign>::new(tenant, &campaign);
    let known = store.load(&key).await?;
    let campaign = if known.last_sequence >= position { known } else { store.load_fresh(&key).await? };
    let Some(spec) = &campaign.aggregate.spec else { return Ok(Opening::Always) };
    let at = |time| spec.maintenance_window.at(device.profile.timezone.as_deref(), time);
    Ok(match at(now) {
        // Less than a second is left.
        Opening::Open { until } if until - now < TimeDelta::seconds(1) => at(until),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_ends_with_the_window_and_a_refusal_after_its_opening() {
        let now: DateTime<Utc> = "2026-01-30T21:00:00.5Z".parse().unwrap();
        let open = |seconds| Opening::Open { until: now + TimeDelta::milliseconds(seconds) };
        assert_eq!(InstallWindow::answered(open(90_700), now), InstallWindow::Open { seconds: 90 });
        let longest = InstallWindow::Open { seconds: PERMISSION_MAX_S };
        assert_eq!(InstallWindow::answered(open(86_400_000), now), longest);
        let closed = Opening::Closed { until: now + TimeDelta::milliseconds(90_700) };
        assert_eq!(InstallWindow::answered(closed, now), InstallWindow::Closed { opens_in_s: 91 });
        for opening in [open(90_700), closed] {
            assert_eq!(InstallWindow::retained(opening), InstallWindow::Ask);
        }
        assert_eq!(InstallWindow::retained(Opening::Always), InstallWindow::Always);
        assert_eq!(InstallWindow::answered(Opening::Always, now), InstallWindow::Always);
    }
}
