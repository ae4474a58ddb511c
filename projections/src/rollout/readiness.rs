//! Whether a member's device could begin its update, as a column: what follows from the member and its device alone.
//!
//! What belongs to the campaign (open waves, pause, end, clocks of waves) and to other projections (presence, for preconditions) stays with the
//! query for ready devices.

use chrono::{DateTime, Utc};

use super::rows::{DeviceRow, MemberRow};

/// When a device may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    Now,
    /// From then on, unless something happens before.
    At(DateTime<Utc>),
    No,
}

impl MemberRow {
    /// Keeps whether the device may begin. `urgent`: its campaign is critical and goes before an update between two attempts.
    pub(super) fn set_readiness(&mut self, device: Option<&DeviceRow>, urgent: bool) {
        (self.ready, self.ready_at) = match device.map_or(Readiness::No, |device| self.readiness(device, urgent)) {
            Readiness::Now => (true, None),
            Readiness::At(at) => (false, Some(at)),
            Readiness::No => (false, None),
        };
    }

    fn readiness(&self, device: &DeviceRow, urgent: bool) -> Readiness {
        let waits = matches!(self.phase.as_str(), "planned" | "queued" | "waiting");
        if self.excluded.is_some() || self.holds_slot || !waits {
            return Readiness::No;
        }
        // A device that is gone for good is given a slot, so that its update can end.
        let from = if device.decommissioned {
            self.not_before
        } else {
            let other_goes_first =
                device.between_attempts.is_some() && device.between_attempts != self.ordinal && !urgent;
            let held_for_good = device.held && device.hold_until.is_none();
            if !device.online || device.live_ordinal.is_some() || other_goes_first || held_for_good {
                return Readiness::No;
            }
            self.not_before.max(device.hold_until.filter(|_| device.held))
        };
        from.map_or(Readiness::Now, Readiness::At)
    }
}
