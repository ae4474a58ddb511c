//! Maintenance windows: before it installs or activates, a device asks whether it may, and for how long (rule 10).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::flash::Stage;
use super::super::wire::{ActivateCommand, ReportStatus};
use super::{Action, Firmware, Timer, WINDOW_CLOSED};

impl Firmware {
    /// Asks. Seconds count from the first question without an answer.
    pub(super) fn ask_for_window(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        self.set_stage(Stage::AwaitingWindow);
        self.asked_at.get_or_insert(now);
        self.ask_again(self.pace.http_retry, out);
    }

    /// A command came while the device waits for its answer. One that answers no question allows nothing.
    pub(super) fn hear_of_window(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let Some(job) = &self.flash.job else { return };
        match (job.command.install_within_s, job.command.opens_in_s) {
            (None, _) => self.begin_install(out, now),
            (Some(0), Some(opens_in_s)) => self.wait_for_window(opens_in_s, out, now),
            (Some(0), None) => {}
            (Some(seconds), _) => {
                if self.is_permitted(seconds, now) {
                    self.begin_install(out, now);
                }
            }
        }
    }

    /// Whether the device may still begin, `seconds` being what the answer allows from the question on. An answer to no question allows nothing.
    fn is_permitted(&mut self, seconds: u64, now: DateTime<Utc>) -> bool {
        let seconds = TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000));
        self.asked_at.take().is_some_and(|asked_at| now < asked_at + seconds)
    }

    /// A command to activate what is staged: a question is asked and answered as before an install.
    pub(super) fn activate_in_window(&mut self, command: ActivateCommand, out: &mut Vec<Action>, now: DateTime<Utc>) {
        match (command.install_within_s, command.opens_in_s) {
            (None, _) => self.activate(out, now),
            (Some(0), Some(opens_in_s)) => {
                self.asked_at = None;
                if let Some(job) = &mut self.flash.job {
                    job.command.opens_in_s = Some(opens_in_s);
                }
                self.repeat(ReportStatus::Deferred, Some(WINDOW_CLOSED), out, now);
            }
            (Some(seconds), _) if self.is_permitted(seconds, now) => self.activate(out, now),
            (Some(_), _) => self.ask_to_activate(out, now),
        }
    }

    pub(super) fn ask_to_activate(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        self.asked_at.get_or_insert(now);
        self.ask_again(self.pace.http_retry, out);
    }

    fn wait_for_window(&mut self, opens_in_s: u64, out: &mut Vec<Action>, now: DateTime<Utc>) {
        self.asked_at = None;
        self.set_stage(Stage::Deferred);
        self.waited = false;
        self.tell(ReportStatus::Deferred, Some(WINDOW_CLOSED), out, now);
        out.push(Action::After { timer: Timer::AskAgain, delay: Duration::from_secs(opens_in_s) });
    }

    pub(super) fn begin_install(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        self.asked_at = None;
        self.set_stage(Stage::CancelWindow);
        self.tell(ReportStatus::Installing, None, out, now);
        out.push(Action::After { timer: Timer::WindowOver, delay: self.pace.cancel_window });
    }
}
