//! `require_digest_report`: the update doesn't leave *verifying* before the device has reported the SHA-256 of what it received.
//!
//! What the device reports from *installing* on, and a `status` with the new version, are recorded and have no further effect. When the
//! digest arrives, the update continues from where the device is. Otherwise the limit of the phase ends it.

use super::Device;
use super::decision::Decision;
use super::events::DeviceEvent as E;
use super::messages::{Report, ReportStatus as S};
use super::phase::Phase;
use super::report::past_return;
use super::update::Update;

impl Update {
    /// Whether the device has yet to report its digest in this attempt.
    pub fn needs_digest(&self) -> bool {
        self.spec.require_digest_report && !self.digest_reported
    }

    /// Whether the device has begun to install, be it without the report of its digest.
    pub(super) fn has_begun_to_install(&self) -> bool {
        past_return(self.phase) || matches!(self.went_on_to, Some(S::Installing | S::Rebooting | S::Completed))
    }
}

impl Device {
    /// Whether an update that the device was told of runs by what the device last reported.
    pub(super) fn runs_target_of(&self, update: &Update) -> bool {
        let told = update.attempt > 0 || update.told_before;
        let running = self.versions.get(&update.spec.firmware.component);
        let runs = running.is_some_and(|running| update.spec.firmware.is_run_by(running));
        told && runs && !update.spec.force_update && !self.trial && !update.wrong_bytes
    }
}

/// The order in which a device goes through these statuses.
fn order(status: S) -> u8 {
    match status {
        S::Installing => 1,
        S::Staged => 2,
        S::Rebooting => 3,
        S::Completed => 4,
        S::Received
        | S::Deferred
        | S::Downloading
        | S::Verifying
        | S::Failed
        | S::Rejected
        | S::Cancelled
        | S::CancelRefused => 0,
    }
}

impl Decision {
    /// Records the digest of a report, if the update needs it. The report may be older than one that was applied.
    pub(super) fn note_digest(&mut self, before: &Update, report: &Report) {
        if !before.needs_digest() || report.sha256 != Some(before.spec.firmware.sha256) {
            return;
        }
        self.accept(before);
        let Some(update) = self.update(before.ordinal) else { return };
        let sha256 = update.spec.firmware.sha256;
        self.push(E::UpdateDigestReported { update: update.reference(), sha256, mark: None });
        self.catch_up(before);
    }

    /// Brings an update whose digest was missing to where its device is.
    fn catch_up(&mut self, before: &Update) {
        let Some(update) = self.update(before.ordinal) else { return };
        match before.went_on_to {
            Some(S::Installing) => self.advance(&update, Phase::Installing, false),
            Some(S::Staged) => self.stage(&update),
            Some(S::Rebooting) => self.advance(&update, Phase::Rebooting, false),
            Some(S::Completed) => self.claim(&update),
            _ => {}
        }
        if let Some(update) = self.update(before.ordinal)
            && before.runs_without_digest
            && self.device.runs_target_of(&update)
        {
            let reported = self.device.versions.get(&update.spec.firmware.component).cloned();
            let boot_id = self.device.boot().map(str::to_owned);
            self.confirm(&update, reported.as_deref(), boot_id, None);
        }
    }

    /// The device goes on without having reported the digest. None: its `status` shows that the version runs.
    pub(super) fn go_on_without_digest(&mut self, update: &Update, reported: Option<S>) {
        if update.phase == Phase::Cancelling && reported == Some(S::Staged) {
            return;
        }
        if update.phase == Phase::Cancelling {
            self.refuse_cancel(update, false);
        }
        let Some(update) = self.update(update.ordinal) else { return };
        if !self.accept(&update) {
            return;
        }
        let known = match reported {
            Some(status) => update.went_on_to.is_some_and(|known| order(known) >= order(status)),
            None => update.runs_without_digest,
        };
        if !known {
            self.push(E::UpdateDigestMissing { update: update.reference(), reported, mark: None });
        }
    }
}
