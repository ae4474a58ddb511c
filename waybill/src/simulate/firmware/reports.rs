//! Sends reports: with a time, and for some devices doubled or swapped in pairs.

use chrono::{DateTime, SecondsFormat, Utc};

use super::super::flash::{Outcome, Stage};
use super::super::wire::{LastUpdate, Report, ReportStatus, Target};
use super::{Action, Firmware, Timer, WINDOW_CLOSED};

impl Firmware {
    /// Reports on the current update, and stores the report as the last status.
    pub(super) fn tell(
        &mut self,
        status: ReportStatus,
        code: Option<&'static str>,
        out: &mut Vec<Action>,
        now: DateTime<Utc>,
    ) {
        let Some(Target { ordinal, attempt, .. }) = self.flash.target() else { return };
        let sha256 = self.verified_digest(status, ordinal, attempt);
        self.flash.last_update = Some(LastUpdate { ordinal, attempt, status, code, sha256 });
        self.repeat(status, code, out, now);
    }

    /// The digest of the attempt's image, once it is verified. The report with it may be lost, so it is kept.
    fn verified_digest(&self, status: ReportStatus, ordinal: u64, attempt: u32) -> Option<String> {
        use ReportStatus::{Installing, Rebooting, Staged};
        if matches!(status, Installing | Staged | Rebooting) {
            return self.flash.job.as_ref().map(|job| job.command.sha256.clone());
        }
        let last = self.flash.last_update.as_ref();
        last.filter(|last| (last.ordinal, last.attempt) == (ordinal, attempt)).and_then(|last| last.sha256.clone())
    }

    /// Reports on the current update without storing it.
    pub(super) fn repeat(
        &mut self,
        status: ReportStatus,
        code: Option<&'static str>,
        out: &mut Vec<Action>,
        now: DateTime<Utc>,
    ) {
        let Some(job) = &self.flash.job else { return };
        let (target, size) = (job.command.target, job.command.size);
        let mut report = Report::new(target.attempt, status);
        report.code = code;
        match status {
            ReportStatus::Downloading => {
                report.bytes = Some(self.progress_bytes);
                report.progress = Some(percent(self.progress_bytes, size));
            }
            ReportStatus::Verifying | ReportStatus::Installing => report.sha256 = Some(job.command.sha256.clone()),
            ReportStatus::Completed => report.version = Some(job.command.version.clone()),
            ReportStatus::Deferred => {
                let opens_in_s = job.command.opens_in_s.filter(|_| code == Some(WINDOW_CLOSED));
                report.retry_after_s = opens_in_s.or(Some(self.pace.retry_after.as_secs().max(1)));
            }
            ReportStatus::Failed => report.message = Some(format!("simulated: {}", code.unwrap_or("no code"))),
            _ => {}
        }
        self.send(target.ordinal, report, out, now);
    }

    /// Reports on another update than the current one.
    pub(super) fn answer_for(
        &mut self,
        target: Target,
        status: ReportStatus,
        code: Option<&'static str>,
        out: &mut Vec<Action>,
        now: DateTime<Utc>,
    ) {
        let mut report = Report::new(target.attempt, status);
        report.code = code;
        self.send(target.ordinal, report, out, now);
    }

    /// Ends the current update.
    pub(super) fn end(
        &mut self,
        status: ReportStatus,
        code: Option<&'static str>,
        out: &mut Vec<Action>,
        now: DateTime<Utc>,
    ) {
        self.set_stage(Stage::Ended(Outcome { status, code }));
        self.tell(status, code, out, now);
        if std::mem::take(&mut self.missed) {
            out.push(Action::AskCommand);
        }
    }

    /// Sends a report that was held back.
    pub(super) fn send_held(&mut self, out: &mut Vec<Action>) {
        if let Some(held) = self.held.take() {
            self.emit(held, out);
        }
    }

    fn send(&mut self, ordinal: u64, mut report: Report, out: &mut Vec<Action>, now: DateTime<Utc>) {
        report.ts = (!self.behaviour.no_clock).then(|| now.to_rfc3339_opts(SecondsFormat::Millis, true));
        let action = Action::Report { ordinal, report };
        if !self.behaviour.reverse {
            self.emit(action, out);
        } else if self.held.is_some() {
            self.emit(action, out);
            self.send_held(out);
        } else {
            self.held = Some(action);
            out.push(Action::After { timer: Timer::SendHeld, delay: self.pace.hold_back });
        }
    }

    fn emit(&self, action: Action, out: &mut Vec<Action>) {
        if self.behaviour.duplicate {
            out.push(action.clone());
        }
        out.push(action);
    }
}

fn percent(bytes: u64, size: u64) -> u8 {
    let percent = bytes.saturating_mul(100).checked_div(size).unwrap_or(100).min(100);
    u8::try_from(percent).unwrap_or(100)
}
