//! Where an update stands. This is the only place that derives a phase from events: the aggregate decides with it, and read models keep it
//! beside the times at which its events were recorded.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::codes::{CODE_TIMED_OUT, CODE_VERSION_REGRESSED, CodeClass};
use super::events::{DeviceEvent, DeviceEvent as E};
use super::phase::{Outcome, Phase, WaitReason};

/// Why an update stays in *verifying*: the device has gone on without the report of its digest that the update requires.
pub const REASON_DIGEST_MISSING: &str = "digest_missing";

/// Where an update stands. Its times come from the events themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateState {
    pub phase: Phase,
    /// 0 before the first dispatch.
    pub attempt: u16,
    /// The device has answered `received` at least once.
    pub reached: bool,
    /// End of the pause before the next attempt, or of the deferral.
    pub not_before: Option<DateTime<Utc>>,
    /// The maintenance window was closed at the latest deferral.
    pub window_closed: bool,
    /// The phase before a cancel was sent.
    pub before_cancel: Option<Phase>,
    /// The device has refused to cancel this attempt.
    pub cancel_refused: bool,
    /// Code of the latest failure or deferral.
    pub code: Option<String>,
    /// Class of the latest failure.
    pub class: Option<CodeClass>,
    /// Why it was superseded, or is or was cancelled, if not by a request for this update; why it stays in *verifying*; or the phase in
    /// which it timed out.
    pub reason: Option<String>,
    /// Statuses of reports that arrived after the end, or after newer ones.
    pub late: BTreeSet<String>,
}

impl UpdateState {
    /// An update that was queued, and to which nothing has happened yet.
    pub fn queued() -> Self {
        Self {
            phase: Phase::Queued,
            attempt: 0,
            reached: false,
            not_before: None,
            window_closed: false,
            before_cancel: None,
            cancel_refused: false,
            code: None,
            class: None,
            reason: None,
            late: BTreeSet::new(),
        }
    }

    /// Whether the device has gone on without the report of its digest that the update requires.
    pub fn lacks_digest(&self) -> bool {
        self.phase == Phase::Verifying && self.reason.as_deref() == Some(REASON_DIGEST_MISSING)
    }

    /// Whether the device has deferred it because its maintenance window was closed. The windows decide when it goes on, not the deferral: they
    /// may have been changed.
    pub fn waits_for_window(&self) -> bool {
        self.phase == Phase::Deferred && self.window_closed
    }

    /// Applies an event of this update. Returns whether the event brought it to a phase, be it the same again.
    pub fn apply(&mut self, event: &DeviceEvent) -> bool {
        let Some(update) = event.update() else { return false };
        self.attempt = self.attempt.max(update.attempt);
        self.apply_causes(event);
        let phase = match event {
            E::UpdateCancelRefused { .. } => Some(self.before_cancel.take().unwrap_or(Phase::Accepted)),
            other => other.phase(),
        };
        if matches!(event, E::UpdateCancelling { .. }) {
            self.before_cancel = Some(self.phase);
        }
        self.phase = phase.unwrap_or(self.phase);
        phase.is_some()
    }

    /// What the event says beside the phase.
    fn apply_causes(&mut self, event: &DeviceEvent) {
        match event {
            E::UpdateWaiting { reason, retry_at, .. } => {
                self.cancel_refused = false;
                match reason {
                    WaitReason::Slot => self.not_before = None,
                    WaitReason::Unresponsive => self.not_before = *retry_at,
                    _ => {}
                }
            }
            E::UpdateDispatched { .. } => (self.not_before, self.cancel_refused) = (None, false),
            // What was refused was to stop the installation. What is staged can be dropped.
            E::UpdateStaged { retry_at, .. } => (self.not_before, self.cancel_refused) = (*retry_at, false),
            E::UpdateActivating { .. } => self.not_before = None,
            E::UpdateAccepted { .. } => (self.reached, self.not_before) = (true, None),
            E::UpdateDeferred { code, until, window_closed, .. } => {
                self.code.clone_from(code);
                (self.not_before, self.window_closed) = (Some(*until), *window_closed);
            }
            E::UpdateAttemptFailed { code, class, retry_at, .. } => {
                (self.code, self.class) = (Some(code.clone()), Some(*class));
                (self.not_before, self.cancel_refused) = (Some(*retry_at), false);
                self.reason = None;
            }
            E::UpdateDigestMissing { .. } => self.reason = Some(REASON_DIGEST_MISSING.to_owned()),
            E::UpdateDigestReported { .. } if self.lacks_digest() => self.reason = None,
            E::UpdateCancelling { reason, .. } => self.reason.clone_from(reason),
            E::UpdateCancelRefused { .. } => (self.reason, self.cancel_refused) = (None, true),
            E::UpdateReportedLate { status, .. } => drop(self.late.insert(status.clone())),
            other => self.apply_end(other),
        }
    }

    fn apply_end(&mut self, event: &DeviceEvent) {
        match event {
            E::UpdateConfirmed { .. } | E::UpdateExpired { .. } => self.reason = None,
            E::UpdateFailed { code, class, .. } => {
                (self.code, self.class, self.reason) = (Some(code.clone()), Some(*class), None);
            }
            E::UpdateTimedOut { phase, code, .. } => {
                (self.code, self.class) = (Some(timed_out_code(code)), None);
                self.reason = Some(phase.clone());
            }
            E::UpdateRejected { code, .. } => (self.code, self.reason) = (Some(code.clone()), None),
            E::UpdateSuperseded { reason, .. } => self.reason = Some(reason.clone()),
            E::UpdateCancelled { reason, .. } => self.reason.clone_from(reason),
            _ => return,
        }
        self.not_before = None;
    }
}

impl DeviceEvent {
    /// The phase to which the event brings its update. A refused cancel brings it back to the phase before the cancel; `Accepted` stands
    /// for that here.
    pub fn phase(&self) -> Option<Phase> {
        Some(match self {
            E::UpdateQueued { .. } => Phase::Queued,
            E::UpdateWaiting { reason, .. } => Phase::Waiting(*reason),
            E::UpdateAttemptFailed { .. } => Phase::Waiting(WaitReason::Backoff),
            E::UpdateDispatched { .. } => Phase::Dispatched,
            E::UpdateAccepted { .. } | E::UpdateCancelRefused { .. } => Phase::Accepted,
            E::UpdateDeferred { .. } => Phase::Deferred,
            E::UpdateDownloading { .. } => Phase::Downloading,
            E::UpdateVerifying { .. } | E::UpdateDigestMissing { .. } => Phase::Verifying,
            E::UpdateInstalling { .. } => Phase::Installing,
            E::UpdateStaged { .. } => Phase::Staged,
            E::UpdateActivating { .. } => Phase::Activating,
            E::UpdateRebooting { .. } => Phase::Rebooting,
            E::UpdateCancelling { .. } => Phase::Cancelling,
            E::UpdateConfirmed { .. } => Phase::Ended(Outcome::Confirmed),
            E::UpdateFailed { .. } => Phase::Ended(Outcome::Failed),
            E::UpdateTimedOut { .. } => Phase::Ended(Outcome::TimedOut),
            E::UpdateRejected { .. } => Phase::Ended(Outcome::Rejected),
            E::UpdateExpired { .. } => Phase::Ended(Outcome::Expired),
            E::UpdateSuperseded { .. } => Phase::Ended(Outcome::Superseded),
            E::UpdateCancelled { .. } => Phase::Ended(Outcome::Cancelled),
            E::Registered { .. }
            | E::Recommissioned { .. }
            | E::Amended { .. }
            | E::Decommissioned {}
            | E::Held { .. }
            | E::Released {}
            | E::CredentialIssued { .. }
            | E::CredentialRevoked { .. }
            | E::CameOnline { .. }
            | E::WentOffline { .. }
            | E::InfoReported { .. }
            | E::VersionsReported { .. }
            | E::ReportedLate { .. }
            | E::VersionRegressed { .. }
            | E::UpdateSessionSeen { .. }
            | E::UpdateDigestReported { .. }
            | E::CommandQueued { .. }
            | E::CommandSent { .. }
            | E::CommandAccepted { .. }
            | E::CommandDone { .. }
            | E::CommandFailed { .. }
            | E::CommandRefused { .. }
            | E::CommandExpired { .. }
            | E::CommandCancelled { .. }
            | E::CommandReportedLate { .. }
            | E::NetworkSyncRequested {}
            | E::NetworkSynced { .. }
            | E::NetworkSyncFailed { .. }
            | E::NetworkRemoved { .. }
            | E::NetworkChanged { .. }
            | E::LorawanKeysSet { .. }
            | E::LorawanKeysRemoved {}
            | E::UpdateReportedLate { .. } => return None,
        })
    }

    /// The code with which an attempt or the update failed, or the confirmed version was lost.
    pub fn failure_code(&self) -> Option<String> {
        match self {
            E::UpdateAttemptFailed { code, .. } | E::UpdateFailed { code, .. } | E::UpdateRejected { code, .. } => {
                Some(code.clone())
            }
            E::UpdateTimedOut { code, .. } => Some(timed_out_code(code)),
            E::VersionRegressed { .. } => Some(CODE_VERSION_REGRESSED.to_owned()),
            _ => None,
        }
    }

    /// Whether a campaign's failure gate counts the device from this event on: its image is at fault, or the update failed.
    pub fn is_gate_failure(&self) -> bool {
        match self {
            E::UpdateAttemptFailed { class, .. } => matches!(class, CodeClass::Image | CodeClass::Final),
            E::UpdateFailed { .. }
            | E::UpdateTimedOut { .. }
            | E::UpdateRejected { .. }
            | E::VersionRegressed { .. } => true,
            _ => false,
        }
    }
}

/// Older events do not say which clock ran out.
fn timed_out_code(code: &Option<String>) -> String {
    code.clone().unwrap_or_else(|| CODE_TIMED_OUT.to_owned())
}
