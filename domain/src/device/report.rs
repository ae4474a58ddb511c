//! A device's reports on its update, checked against the state: repeated, reordered, late and unrelated reports have no wrong effect.

use chrono::{DateTime, TimeDelta, Utc};

use super::codes::{CODE_WINDOW_CLOSED, CODE_WRONG_BYTES, CodeClass, class_of};
use super::decision::Decision;
use super::expiry::Failure;
use super::mark::Arrival;
use super::messages::{Report, ReportStatus as S};
use super::phase::{Outcome, Phase, WaitReason};
use super::update::Update;
use super::update_spec::PATIENCE_MAX_S;
use super::{Device, DeviceEvent as E};

/// Duration of a deferral when the device names none, in seconds.
pub(super) const DEFER_DEFAULT_S: u32 = 900;
/// Why an update is cancelled whose device puts the activation off again and again.
const REASON_PUT_OFF: &str = "put_off_too_often";
/// Shortest and longest deferral a device can ask for, in seconds.
pub(super) const DEFER_RANGE_S: (u32, u32) = (1, 7 * 24 * 3_600);
/// Deferrals that may be as short as the device asks. After them the minimum doubles with each deferral.
const DEFERRALS_FREE: u16 = 3;
/// Minimum of the first deferral after the free ones, in seconds.
const DEFER_LEAST_S: u32 = 60;
/// Most deferrals of one update, without those for a closed maintenance window. The next one ends it as expired.
pub(super) const DEFERRALS_MAX: u16 = 64;

impl Device {
    pub(super) fn report(&self, now: DateTime<Utc>, report: &Report, arrival: Arrival) -> Vec<E> {
        let mut decision = Decision::of_message(self, now, arrival.mark);
        decision.window_closed = arrival.window_closed;
        decision.contact(None);
        decision.report(report);
        decision.begin_next_own();
        decision.finish()
    }

    /// The same judgement, but the device itself has said nothing: it doesn't come online by this.
    pub(super) fn report_transfer(&self, now: DateTime<Utc>, report: &Report) -> Vec<E> {
        let mut decision = Decision::new(self, now);
        decision.report(report);
        decision.finish_and_begin_next()
    }
}

impl Decision {
    pub(super) fn report(&mut self, report: &Report) {
        let told = |update: &Update| (1..=update.attempt).contains(&report.attempt);
        let Some(update) = self.update(report.ordinal).filter(told) else { return };
        let digest_differs = report.sha256.is_some_and(|sha256| sha256 != update.spec.firmware.sha256);
        if update.phase.is_ended() {
            if !digest_differs {
                self.report_late(&update, report);
            }
            return;
        }
        let another_is_live = self.device.live().is_some_and(|live| live.ordinal != update.ordinal);
        let is_current = report.attempt == update.attempt && update.next_attempt == update.attempt && !another_is_live;
        let of_bytes = matches!(
            report.status,
            S::Downloading | S::Verifying | S::Installing | S::Staged | S::Rebooting | S::Completed
        );
        if self.device.applied.is_late(self.mark, update.newest_report) {
            if is_current && of_bytes {
                // The late message leaves no mark.
                let mark = self.mark.take();
                self.note_digest(&update, report);
                self.mark = mark;
            }
            return self.report_behind(&update, report);
        }
        if report.attempt < update.next_attempt && !another_is_live && !digest_differs {
            self.report_old_attempt(&update, report);
        }
        if !is_current {
            return;
        }
        if digest_differs && of_bytes {
            return self.refuse_bytes(&update, report);
        }
        if of_bytes {
            self.note_digest(&update, report);
        }
        if let Some(update) = self.update(update.ordinal).filter(|update| !update.phase.is_ended()) {
            self.follow(&update, report);
        }
    }

    /// Follows a report on the present attempt, which is about the right bytes.
    fn follow(&mut self, update: &Update, report: &Report) {
        match report.status {
            S::Installing | S::Staged | S::Rebooting | S::Completed if update.needs_digest() => {
                self.go_on_without_digest(update, Some(report.status));
            }
            S::Received => drop(self.accept(update)),
            S::Deferred if update.has_begun_to_install() => {}
            S::Deferred if update.phase == Phase::Activating => self.put_off_activation(update, report),
            S::Deferred => self.defer(update, report),
            S::Downloading => self.advance(update, Phase::Downloading, false),
            S::Verifying => self.advance(update, Phase::Verifying, false),
            S::Installing => self.advance(update, Phase::Installing, false),
            S::Staged => self.stage(update),
            S::Rebooting => {
                self.advance(update, Phase::Rebooting, false);
                let announced = |update: &Update| update.phase != Phase::Rebooting || update.restart_seen;
                if let Some(update) = self.update(update.ordinal).filter(|update| !announced(update)) {
                    let update = update.reference();
                    self.push(E::UpdateRebooting { update, claimed: false, unseen: false, mark: None });
                }
            }
            S::Completed => {
                self.claim(update);
                self.prove_from_known(update);
            }
            S::Failed | S::Rejected => self.report_failure(update, report),
            S::Cancelled => {
                // A device that waits before it installs may obey a cancel that was sent while its report was on the way.
                if update.phase == Phase::Cancelling || update.cancel_refused {
                    self.cancelled(update);
                }
            }
            S::CancelRefused => {
                if update.phase == Phase::Cancelling {
                    self.refuse_cancel(update, false);
                }
            }
        }
    }

    /// `last_update` replaces a report that was lost, and has no other effect: it neither begins nor ends a deferral.
    pub(super) fn echo(&mut self, report: &Report) {
        let Some(update) = self.update(report.ordinal) else { return };
        let defers = report.code.as_deref().is_some_and(|code| class_of(code) == CodeClass::Defer);
        let lost = match report.status {
            S::Deferred => false,
            S::Failed | S::Rejected => !defers,
            S::Completed | S::Cancelled | S::CancelRefused => true,
            S::Received | S::Downloading | S::Verifying | S::Installing | S::Staged | S::Rebooting => {
                let waits = update.phase.is_waiting() || matches!(update.phase, Phase::Dispatched | Phase::Deferred);
                !waits || update.answered != report.attempt
            }
        };
        if lost {
            self.report(report);
        }
    }

    /// The device works on other bytes than those of the command.
    fn refuse_bytes(&mut self, update: &Update, report: &Report) {
        if update.phase == Phase::Cancelling {
            return;
        }
        if let Some(update) = self.accepted(update) {
            let (code, message) = (CODE_WRONG_BYTES.to_owned(), report.message.clone());
            self.fail(&update, Failure { code, class: CodeClass::Transfer, message });
        }
    }

    /// Starts the working clock if it does not run. Returns whether the device is working. If the update holds no slot, it takes one: the
    /// device works in any case, and the campaign grants no further slot above its limit.
    pub(super) fn accept(&mut self, update: &Update) -> bool {
        match update.phase {
            Phase::Dispatched | Phase::Deferred | Phase::Waiting(_) => {
                let boot_id = self.device.boot().map(str::to_owned);
                let takes_slot = update.spec.campaign.is_some() && update.phase != Phase::Dispatched;
                self.push(E::UpdateAccepted { update: update.reference(), boot_id, takes_slot, mark: None });
                true
            }
            phase => phase.is_working(),
        }
    }

    /// The update after the device has answered, independent of the order in which reports arrive.
    fn accepted(&mut self, update: &Update) -> Option<Update> {
        let goes_on = self.accept(update) || matches!(update.phase, Phase::Staged | Phase::Activating);
        self.update(update.ordinal).filter(|_| goes_on)
    }

    /// The device goes on. One that is staged counts as restarting into the new version from now on, so that the time limit of a restart ends its
    /// update. `restarts`: the device reports the restart itself.
    pub(super) fn refuse_cancel(&mut self, update: &Update, restarts: bool) {
        self.push(E::UpdateCancelRefused { update: update.reference(), mark: None });
        if !restarts && matches!(update.before_cancel, Some(Phase::Staged | Phase::Activating)) {
            let update = update.reference();
            self.push(E::UpdateRebooting { update, claimed: false, unseen: true, mark: None });
        }
    }

    /// Moves an attempt forward to a working phase. A late report has no effect. A restart is `unseen` if the device only claims that it is
    /// done.
    pub(super) fn advance(&mut self, update: &Update, to: Phase, unseen: bool) {
        if update.phase == Phase::Cancelling && past_return(to) {
            self.refuse_cancel(update, to == Phase::Rebooting);
        }
        let Some(update) = self.update(update.ordinal) else { return };
        let activates = matches!(update.phase, Phase::Staged | Phase::Activating) && to == Phase::Rebooting;
        if !self.accept(&update) && !activates {
            return;
        }
        let present = self.update(update.ordinal).and_then(|update| update.phase.work_order());
        if present.is_some_and(|present| Some(present) >= to.work_order()) {
            return;
        }
        let update = update.reference();
        match to {
            Phase::Downloading => self.push(E::UpdateDownloading { update, mark: None }),
            Phase::Verifying => self.push(E::UpdateVerifying { update, mark: None }),
            Phase::Installing => self.push(E::UpdateInstalling { update, mark: None }),
            Phase::Rebooting => self.push(E::UpdateRebooting { update, claimed: false, unseen, mark: None }),
            Phase::Queued
            | Phase::Waiting(_)
            | Phase::Dispatched
            | Phase::Accepted
            | Phase::Deferred
            | Phase::Staged
            | Phase::Activating
            | Phase::Cancelling
            | Phase::Ended(_) => {}
        }
    }

    /// The device reports that it is done. If its version is no evidence, the claim is recorded.
    pub(super) fn claim(&mut self, update: &Update) {
        let runs_already = |from: &String| update.spec.firmware.is_run_by(from);
        let word_counts = update.spec.from_version.as_ref().is_some_and(runs_already);
        self.advance(update, Phase::Rebooting, true);
        let now = self.update(update.ordinal).filter(|now| now.phase == Phase::Rebooting && !now.claimed);
        if let Some(now) = now.filter(|_| word_counts) {
            self.push(E::UpdateRebooting { update: now.reference(), claimed: true, unseen: true, mark: None });
        }
    }

    pub(super) fn stage(&mut self, update: &Update) {
        if !update.spec.activate && update.phase != Phase::Rebooting && self.accept(update) {
            let update = update.reference();
            self.push(E::UpdateStaged { update, reason: None, grant: None, retry_at: None, mark: None });
        }
    }

    fn defer(&mut self, update: &Update, report: &Report) {
        let impossible = matches!(update.phase, Phase::Staged | Phase::Cancelling);
        let window_closed = self.is_for_closed_window(report);
        let known = self.is_deferred_as_asked(update, report) || (window_closed && update.waits_for_window());
        if impossible || known {
            return;
        }
        if !window_closed && update.deferrals >= DEFERRALS_MAX {
            return self.push(E::UpdateExpired { update: update.reference() });
        }
        let least = if window_closed { DEFER_DEFAULT_S } else { least_pause(update) };
        let until = self.now + asked_pause(report, least);
        let (code, retry_after_s) = (report.code.clone(), report.retry_after_s);
        let update = update.reference();
        self.push(E::UpdateDeferred { update, code, until, retry_after_s, window_closed, mark: None });
    }

    /// The device waits for its maintenance window, and that is closed.
    fn is_for_closed_window(&self, report: &Report) -> bool {
        self.window_closed && report.code.as_deref() == Some(CODE_WINDOW_CLOSED)
    }

    /// The device keeps what it has staged, and activates it later.
    fn put_off_activation(&mut self, update: &Update, report: &Report) {
        if self.is_for_closed_window(report) {
            let (update, reason) = (update.reference(), Some(WaitReason::Window));
            return self.push(E::UpdateStaged { update, reason, grant: None, retry_at: None, mark: None });
        }
        if update.deferrals >= DEFERRALS_MAX {
            let (update, reason) = (update.reference(), Some(REASON_PUT_OFF.to_owned()));
            return self.push(E::UpdateCancelling { update, reason });
        }
        let retry_at = Some(self.now + asked_pause(report, least_pause(update)));
        self.push(E::UpdateStaged { update: update.reference(), reason: None, grant: None, retry_at, mark: None });
    }

    /// Whether the requested deferral already runs. If messages are numbered, the same request in the second half of the deferral asks for
    /// a new one.
    fn is_deferred_as_asked(&self, update: &Update, report: &Report) -> bool {
        let Some(until) = update.not_before.filter(|until| update.phase == Phase::Deferred && self.now < *until) else {
            return false;
        };
        let asked_s = i64::from(report.retry_after_s.unwrap_or(DEFER_DEFAULT_S));
        let again = self.mark.is_some() && until - self.now < TimeDelta::seconds(asked_s) / 2;
        report.retry_after_s == update.deferred_for_s && !again
    }

    fn report_failure(&mut self, update: &Update, report: &Report) {
        if update.phase == Phase::Cancelling {
            return self.cancelled(update);
        }
        let rejected = report.status == S::Rejected;
        let default = if rejected { "unsupported" } else { "install_failed" };
        let code = report.code.clone().unwrap_or_else(|| default.to_owned());
        let class = class_of(&code);
        if class == CodeClass::Defer && update.phase == Phase::Activating {
            return self.put_off_activation(update, report);
        }
        if class == CodeClass::Defer {
            return self.defer(update, report);
        }
        let Some(update) = self.accepted(update) else { return };
        if rejected {
            let message = report.message.clone();
            self.push(E::UpdateRejected { update: update.reference(), code, message, mark: None });
        } else {
            self.fail(&update, Failure { code, class, message: report.message.clone() });
        }
    }

    /// An older report does not change the update. If it would have led to another phase, it is recorded, once per status.
    fn report_behind(&mut self, update: &Update, report: &Report) {
        let word = report.status.word();
        let elsewhere = matches!(
            report.status,
            S::Deferred | S::Completed | S::Failed | S::Rejected | S::Cancelled | S::CancelRefused
        );
        if elsewhere && self.mark != update.newest_report && !update.late.contains(word) {
            self.push(E::UpdateReportedLate { update: update.reference(), status: word.to_owned() });
        }
    }

    /// An attempt that has ended stays ended. A `completed` that arrives afterwards is recorded once.
    fn report_old_attempt(&mut self, update: &Update, report: &Report) {
        let word = report.status.word();
        if report.status == S::Completed && !update.late.contains(word) {
            self.push(E::UpdateReportedLate { update: update.reference(), status: word.to_owned() });
        }
    }

    /// An ended update stays ended. A report that contradicts its outcome is recorded, once per status.
    fn report_late(&mut self, update: &Update, report: &Report) {
        let failed_before = report.attempt < update.next_attempt;
        let agrees = match update.phase {
            _ if failed_before && matches!(report.status, S::Failed | S::Rejected) => true,
            Phase::Ended(Outcome::Confirmed) => !matches!(report.status, S::Failed | S::Rejected),
            Phase::Ended(Outcome::Failed | Outcome::Rejected | Outcome::Cancelled) => report.status != S::Completed,
            _ => !matches!(report.status, S::Completed | S::Failed | S::Rejected),
        };
        let word = report.status.word();
        if !agrees && !update.late.contains(word) {
            self.push(E::UpdateReportedLate { update: update.reference(), status: word.to_owned() });
        }
    }
}

/// The shortest pause that an update is given, in seconds: it grows with its deferrals.
fn least_pause(update: &Update) -> u32 {
    match update.deferrals.checked_sub(DEFERRALS_FREE) {
        None => DEFER_RANGE_S.0,
        Some(more) => DEFER_LEAST_S.saturating_mul(1 << u32::from(more).min(16)).min(PATIENCE_MAX_S),
    }
}

/// How long a device asks to be left alone. `least`: in seconds.
fn asked_pause(report: &Report, least: u32) -> TimeDelta {
    let seconds = report.retry_after_s.unwrap_or(DEFER_DEFAULT_S).clamp(least, DEFER_RANGE_S.1);
    TimeDelta::seconds(seconds.into())
}

/// Whether the device is past the point of no return, which is *installing*.
pub(super) fn past_return(phase: Phase) -> bool {
    matches!(phase, Phase::Installing | Phase::Rebooting)
}
