//! One attempt, from its download to the reboot (rules 5 to 7).

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::super::flash::{Outcome, Stage};
use super::super::wire::{FIRMWARE, ReportStatus};
use super::{Action, DIGEST_MISMATCH, DOWNLOAD_FAILED, Fetched, Firmware, INSTALL_FAILED, Timer, URL_EXPIRED};

/// Attempts to download before a failure is reported.
const MAX_DOWNLOAD_TRIES: u32 = 5;
/// Refused links in one attempt before a failure is reported.
const MAX_REFUSED_LINKS: u32 = 5;
/// HTTP statuses after which the device asks for a fresh link (rule 6).
const LINK_REFUSED: [u16; 4] = [401, 403, 404, 410];
/// Components that take effect with a reboot.
const REBOOTING: [&str; 2] = [FIRMWARE, "bootloader"];

impl Firmware {
    /// A timer has fired.
    pub fn on_timer(&mut self, timer: Timer, now: DateTime<Utc>) -> Vec<Action> {
        let mut out = Vec::new();
        if self.hung {
            return out;
        }
        match (timer, self.stage()) {
            (Timer::SendHeld, _) => self.send_held(&mut out),
            (Timer::Answer, Some(Stage::Unanswered)) => self.answer_late(&mut out, now),
            (Timer::AskAgain, Some(Stage::Deferred)) => {
                self.waited = true;
                self.ask_again(self.pace.retry_after, &mut out);
            }
            (Timer::AskAgain, Some(Stage::AwaitingWindow)) => self.ask_for_window(&mut out, now),
            (Timer::AskAgain, Some(Stage::Staged)) if self.asked_at.is_some() => self.ask_to_activate(&mut out, now),
            (Timer::AskAgain, Some(Stage::AwaitingLink)) => self.ask_again(self.pace.http_retry, &mut out),
            (Timer::Progress, Some(Stage::Downloading)) => {
                self.tell(ReportStatus::Downloading, None, &mut out, now);
                out.push(Action::After { timer: Timer::Progress, delay: self.pace.progress });
            }
            (Timer::Retry, Some(Stage::Downloading)) => self.resume_download(&mut out),
            (Timer::Verified, Some(Stage::Verifying)) => self.verified(&mut out, now),
            (Timer::WindowOver, Some(Stage::CancelWindow)) => self.install(&mut out),
            (Timer::Installed, Some(Stage::Installing)) => self.installed(&mut out, now),
            (Timer::MarkGood, Some(Stage::Trial)) => self.mark_good(&mut out, now),
            (Timer::FallBack, Some(Stage::Ended(_))) => self.fall_back(&mut out),
            _ => {}
        }
        out
    }

    pub(super) fn ask_again(&self, delay: Duration, out: &mut Vec<Action>) {
        out.push(Action::AskCommand);
        out.push(Action::After { timer: Timer::AskAgain, delay });
    }

    /// Begins or resumes the download, and reports it.
    pub(super) fn start_download(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        self.set_stage(Stage::Downloading);
        self.tell(ReportStatus::Downloading, None, out, now);
        self.resume_download(out);
        out.push(Action::After { timer: Timer::Progress, delay: self.pace.progress });
    }

    fn resume_download(&self, out: &mut Vec<Action>) {
        let Some(job) = &self.flash.job else { return };
        let stalls = self.behaviour.stall && !job.mishaps.stalled;
        let reboots = self.behaviour.reboot_mid_download && !job.mishaps.rebooted;
        out.push(Action::Download {
            url: job.command.url.clone(),
            size: job.command.size,
            sha256: job.command.sha256.clone(),
            stop_at: (stalls || reboots).then_some(job.command.size / 2),
        });
    }

    /// The download has ended.
    pub fn on_fetched(&mut self, fetched: Fetched, now: DateTime<Utc>) -> Vec<Action> {
        let mut out = Vec::new();
        if self.hung || self.stage() != Some(Stage::Downloading) {
            return out;
        }
        match fetched {
            Fetched::Complete { sha256 } => {
                self.digest = Some(sha256);
                self.set_stage(Stage::Verifying);
                self.tell(ReportStatus::Verifying, None, &mut out, now);
                out.push(Action::After { timer: Timer::Verified, delay: self.pace.verify });
            }
            Fetched::Stopped => self.stopped_half_way(&mut out),
            Fetched::Refused { status } if LINK_REFUSED.contains(&status) => self.link_refused(&mut out, now),
            Fetched::Refused { .. } | Fetched::Failed { .. } => self.download_broke(&mut out, now),
        }
        out
    }

    fn stopped_half_way(&mut self, out: &mut Vec<Action>) {
        let (stalls, down) = (self.behaviour.stall, self.pace.reboot);
        let Some(job) = &mut self.flash.job else { return };
        if stalls && !job.mishaps.stalled {
            job.mishaps.stalled = true;
            self.hung = true;
        } else {
            job.mishaps.rebooted = true;
            out.push(Action::Reboot { down, clean: false });
        }
    }

    fn link_refused(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let Some(job) = &mut self.flash.job else { return };
        job.refused_links += 1;
        if job.refused_links > MAX_REFUSED_LINKS {
            self.end(ReportStatus::Failed, Some(URL_EXPIRED), out, now);
        } else {
            self.set_stage(Stage::AwaitingLink);
            self.ask_again(self.pace.http_retry, out);
        }
    }

    fn download_broke(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let Some(job) = &mut self.flash.job else { return };
        job.download_tries += 1;
        let tries = job.download_tries;
        if tries >= MAX_DOWNLOAD_TRIES {
            self.end(ReportStatus::Failed, Some(DOWNLOAD_FAILED), out, now);
        } else {
            out.push(Action::After { timer: Timer::Retry, delay: self.pace.http_retry * tries });
        }
    }

    fn verified(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let Some(job) = &self.flash.job else { return };
        if self.digest.as_deref().is_some_and(|digest| digest.eq_ignore_ascii_case(&job.command.sha256)) {
            match job.command.install_within_s {
                None => self.begin_install(out, now),
                Some(_) => self.ask_for_window(out, now),
            }
        } else {
            out.push(Action::ErasePartial);
            self.end(ReportStatus::Failed, Some(DIGEST_MISMATCH), out, now);
        }
    }

    fn install(&mut self, out: &mut Vec<Action>) {
        self.set_stage(Stage::Installing);
        out.push(Action::After { timer: Timer::Installed, delay: self.pace.install });
        let reconnects = self.behaviour.reconnect_mid_install;
        if let Some(job) = &mut self.flash.job
            && reconnects
            && !std::mem::replace(&mut job.mishaps.reconnected, true)
        {
            out.push(Action::Reconnect);
        }
    }

    fn installed(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let Some(command) = self.flash.job.as_ref().map(|job| job.command.clone()) else { return };
        if self.behaviour.fail && self.flash.is_spoiled(&command.firmware_id) {
            self.end(ReportStatus::Failed, Some(INSTALL_FAILED), out, now);
            return;
        }
        self.flash.record_install(&command);
        if command.activate {
            self.activate(out, now);
        } else {
            self.set_stage(Stage::Staged);
            self.tell(ReportStatus::Staged, None, out, now);
        }
    }

    /// Makes the installed image the running one: by a reboot, if the component needs it.
    pub(super) fn activate(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let Some(command) = self.flash.job.as_ref().map(|job| job.command.clone()) else { return };
        let spoiled = self.flash.is_spoiled(&command.firmware_id);
        if !REBOOTING.contains(&command.component.as_str()) {
            self.flash.versions.insert(command.component, command.version);
            self.end(ReportStatus::Completed, None, out, now);
            out.push(Action::PublishStatus);
            return;
        }
        self.set_stage(Stage::Rebooting);
        let claim = if spoiled && self.behaviour.lie { ReportStatus::Completed } else { ReportStatus::Rebooting };
        self.tell(claim, None, out, now);
        self.send_held(out);
        let away = spoiled && self.behaviour.come_back_old;
        let down = if away { self.pace.away } else { self.pace.reboot };
        out.push(Action::Reboot { down, clean: true });
    }

    fn mark_good(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        self.flash.trial = false;
        out.push(Action::PublishStatus);
        self.finish(out, now);
    }

    /// The new version is marked good.
    pub(super) fn finish(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        self.end(ReportStatus::Completed, None, out, now);
        if self.behaviour.fall_back {
            out.push(Action::After { timer: Timer::FallBack, delay: self.pace.fall_back });
        }
    }

    /// Boots the version in the other slot, without a command and without a report.
    pub fn fall_back_now(&mut self) -> Vec<Action> {
        let mut out = Vec::new();
        self.fall_back(&mut out);
        out
    }

    fn fall_back(&mut self, out: &mut Vec<Action>) {
        if self.flash.switch_back() {
            let code = Some(super::VERSION_REGRESSED);
            self.set_stage(Stage::Ended(Outcome { status: ReportStatus::Failed, code }));
            out.push(Action::Reboot { down: self.pace.reboot, clean: false });
        }
    }
}
