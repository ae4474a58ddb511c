//! Boots and connections (rules 8 and 9): the flash decides how the device continues.

use chrono::{DateTime, Utc};

use super::super::flash::{Outcome, Stage};
use super::super::wire::ReportStatus;
use super::{Action, BOOT_FAILED, Firmware, Timer};

impl Firmware {
    /// The device boots. Memory is lost; an update before its install resumes, one after it takes effect.
    pub fn on_boot(&mut self, boot_id: String, now: DateTime<Utc>) -> Vec<Action> {
        self.forget(boot_id);
        let mut out = Vec::new();
        self.finish_run(&mut out);
        match self.stage() {
            None | Some(Stage::Staged) => {}
            Some(Stage::Unanswered) => out.push(Action::After { timer: Timer::Answer, delay: self.pace.late }),
            Some(Stage::Deferred) => out.push(Action::After { timer: Timer::AskAgain, delay: self.pace.retry_after }),
            Some(
                Stage::Downloading
                | Stage::AwaitingLink
                | Stage::Verifying
                | Stage::AwaitingWindow
                | Stage::CancelWindow
                | Stage::Installing,
            ) => {
                self.start_download(&mut out, now);
            }
            Some(Stage::Rebooting) => self.boot_installed(&mut out, now),
            Some(Stage::Trial) => out.push(Action::After { timer: Timer::MarkGood, delay: self.pace.trial }),
            Some(Stage::Ended(outcome)) => {
                if self.behaviour.fall_back
                    && outcome.status == ReportStatus::Completed
                    && self.flash.previous.is_some()
                {
                    out.push(Action::After { timer: Timer::FallBack, delay: self.pace.fall_back });
                }
            }
        }
        out
    }

    fn forget(&mut self, boot_id: String) {
        self.flash.boots += 1;
        self.boot_id = boot_id;
        self.hung = false;
        self.announced = false;
        self.missed = false;
        self.waited = false;
        self.digest = None;
        self.progress_bytes = 0;
        self.asked_at = None;
        self.held = None;
    }

    /// The bootloader's choice after an install.
    fn boot_installed(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let Some(command) = self.flash.job.as_ref().map(|job| job.command.clone()) else { return };
        let spoiled = self.flash.is_spoiled(&command.firmware_id);
        if spoiled && self.behaviour.lie {
            self.set_stage(Stage::Ended(Outcome { status: ReportStatus::Completed, code: None }));
        } else if spoiled && self.behaviour.come_back_old {
            self.set_stage(Stage::Ended(Outcome { status: ReportStatus::Failed, code: Some(BOOT_FAILED) }));
        } else {
            self.flash.switch_to(&command.component, &command.version);
            if self.pace.trial.is_zero() {
                self.finish(out, now);
            } else {
                self.flash.trial = true;
                self.set_stage(Stage::Trial);
                out.push(Action::After { timer: Timer::MarkGood, delay: self.pace.trial });
            }
        }
    }

    /// A connection is up and subscribed: publish presence, `info` once per boot, and ask for the command.
    pub fn on_connected(&mut self) -> Vec<Action> {
        let mut out = vec![Action::PublishStatus];
        if !std::mem::replace(&mut self.announced, true) {
            out.push(Action::PublishInfo);
        }
        if !self.hung {
            out.push(Action::AskCommand);
        }
        out
    }
}
