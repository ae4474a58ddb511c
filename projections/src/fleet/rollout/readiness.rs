//! Whether a member's device could begin its update, as columns: it follows from the member, its update and its device.
//!
//! Queries for ready devices add what belongs to the campaign (open waves, pause, end, clocks of waves) and to other projections (presence,
//! for preconditions).

use domain::device::{Availability, PendingUpdate, Readiness};

use super::rows::{CampaignRow, MemberRow};
use crate::fleet::device_row::Occupancy;
use crate::fleet::updates::UpdateRow;

impl MemberRow {
    /// Updates when the device may begin, and in which zone. `update`: the member's present one.
    pub(super) fn set_readiness(
        &mut self,
        device: Option<Occupancy<'_>>,
        update: Option<&UpdateRow>,
        campaign: Option<&CampaignRow>,
    ) {
        let urgent = campaign.is_some_and(CampaignRow::is_urgent);
        let readiness = device.as_ref().and_then(|device| self.readiness(&device.availability, update, urgent));
        (self.ready, self.ready_at) = match readiness {
            Some(Readiness::Now) => (true, None),
            Some(Readiness::At(at)) => (false, Some(at)),
            Some(Readiness::No(_)) | None => (false, None),
        };
        let follows = campaign.is_some_and(|campaign| campaign.spec.maintenance_window.follow_devices());
        let zone = || device.as_ref().and_then(|device| device.timezone).unwrap_or_default().to_owned();
        self.zone = (follows && self.excluded.is_none() && !self.is_ended()).then(zone);
    }

    /// None for a member that doesn't wait to begin.
    fn readiness(&self, device: &Availability<'_>, update: Option<&UpdateRow>, urgent: bool) -> Option<Readiness> {
        let may_begin =
            |update: &UpdateRow| update.timed.phase().is_waiting() || update.waits_for_window() || self.staged;
        let waits = update.is_none_or(may_begin);
        if self.excluded.is_some() || self.holds_slot || self.is_ended() || !waits {
            return None;
        }
        Some(device.readiness(&self.pending_update(update, urgent)))
    }

    pub(super) fn pending_update(&self, update: Option<&UpdateRow>, urgent: bool) -> PendingUpdate {
        match update {
            Some(update) => update.pending_update(),
            None => PendingUpdate { ordinal: self.ordinal, waits_for: None, not_before: None, goes_first: urgent },
        }
    }
}
