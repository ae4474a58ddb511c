//! Evidence of a restart, for firmware that reports no boot ids. Without evidence, its version proves neither a fallback nor a regression.

use chrono::{DateTime, Utc};

use super::decision::Decision;
use super::mark::Arrival;
use super::messages::Presence;
use super::report::past_return;
use super::update::Update;
use super::{Device, DeviceEvent as E};

impl Device {
    /// For a device that reports no boot ids, the end of its session is evidence of a restart.
    pub(super) fn report_offline(&self, now: DateTime<Utc>, session: Option<&str>, arrival: Arrival) -> Vec<E> {
        let mut decision = Decision::of_message(self, now, arrival.mark);
        let watched = decision.watched().filter(|update| !update.restart_seen || self.is_unsettled(update));
        let ends =
            |update: &Update| session.is_none() || update.session.is_none() || session == update.session.as_deref();
        if let Some(update) = watched.filter(ends)
            && !self.applied.is_late(arrival.mark, self.applied.status)
        {
            decision.push(E::UpdateSessionSeen {
                update: update.reference(),
                session: None,
                restarted: true,
                mark: None,
            });
        }
        decision.finish()
    }

    /// Whether it was confirmed without evidence of a restart.
    fn is_unsettled(&self, update: &Update) -> bool {
        self.confirmed
            .values()
            .any(|of| of.update.ordinal == update.ordinal && of.settles_at.is_some() && !of.restart_seen)
    }
}

impl Decision {
    /// The update that needs evidence of a restart, of a device that reports no boot ids.
    fn watched(&self) -> Option<Update> {
        let device = &self.device;
        let waits = |update: &&Update| {
            update.spec.firmware.requires_reboot && (past_return(update.phase) || device.is_unsettled(update))
        };
        device.updates.values().rev().find(waits).filter(|_| device.boot().is_none()).cloned()
    }

    /// Records the first session since installing, and each later one, which is evidence of a restart.
    pub(super) fn watch_session(&mut self, presence: &Presence) {
        let Some(update) = self.watched().filter(|_| presence.boot_id.is_none()) else { return };
        if presence.session.is_some() && presence.session != update.session {
            let (session, restarted) = (presence.session.clone(), update.session.is_some());
            self.push(E::UpdateSessionSeen { update: update.reference(), session, restarted, mark: None });
        }
    }
}
