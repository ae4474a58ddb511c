//! How a device handles a message on its `commands` topic (rules 1 to 4, 6 and 7 of the protocol).

use chrono::{DateTime, Utc};

use super::super::flash::{Job, Mishaps, Stage};
use super::super::wire::{ActivateCommand, Command, ReportStatus, Target, UpdateCommand};
use super::{Action, BUSY, Firmware, STANDBY_MISMATCH, Timer, UNSUPPORTED};

impl Firmware {
    /// Handles a command; a repeated one is harmless.
    pub fn on_command(&mut self, command: Command, now: DateTime<Utc>) -> Vec<Action> {
        let mut out = Vec::new();
        if self.hung {
            return out;
        }
        match command {
            Command::Nothing => {}
            Command::Garbage => self.garbage += 1,
            Command::Unsupported(target) => {
                if !self.is_stale(target) {
                    self.answer_for(target, ReportStatus::Rejected, Some(UNSUPPORTED), &mut out, now);
                }
            }
            Command::Update(update) => {
                if self.takes(update.target) {
                    self.on_update(*update, &mut out, now);
                }
            }
            Command::Activate(command) => {
                if self.takes(command.target) {
                    self.on_activate(command, &mut out, now);
                }
            }
            Command::Cancel(target) => {
                if self.takes(target) && !self.behaviour.ignore_cancel {
                    self.on_cancel(target, &mut out, now);
                }
            }
        }
        out
    }

    /// False for an old command. Otherwise stores its number.
    fn takes(&mut self, target: Target) -> bool {
        let fresh = !self.is_stale(target);
        if fresh {
            self.flash.seq = target.seq;
        }
        fresh
    }

    fn is_stale(&self, target: Target) -> bool {
        let known = self.flash.target().map_or((0, 0), |known| (known.ordinal, known.attempt));
        target.seq < self.flash.seq || (target.ordinal, target.attempt) < known
    }

    fn on_update(&mut self, update: UpdateCommand, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let same_pair = self.is_same_pair(update.target);
        if !same_pair && self.stage().is_some_and(Stage::is_uninterruptible) {
            self.missed = true;
        } else if self.flash.runs(&update.component, &update.version) {
            self.is_running(update, out, now);
        } else if same_pair {
            self.carry_on(update, out, now);
        } else {
            self.abandon(out);
            self.begin(update, out, now);
        }
    }

    fn is_same_pair(&self, target: Target) -> bool {
        self.flash.target().is_some_and(|known| (known.ordinal, known.attempt) == (target.ordinal, target.attempt))
    }

    /// Rule 3: the requested version runs already. If it is on trial, the trial continues.
    fn is_running(&mut self, update: UpdateCommand, out: &mut Vec<Action>, now: DateTime<Utc>) {
        if self.stage() == Some(Stage::Trial) {
            self.repeat(ReportStatus::Completed, None, out, now);
            return;
        }
        self.abandon(out);
        let mishaps = self.mishaps_for(&update);
        self.flash.job =
            Some(Job { command: update, stage: Stage::Unanswered, mishaps, download_tries: 0, refused_links: 0 });
        self.end(ReportStatus::Completed, None, out, now);
    }

    /// Stops the work for an earlier update or attempt.
    fn abandon(&mut self, out: &mut Vec<Action>) {
        if self.stage() == Some(Stage::Downloading) {
            out.push(Action::AbortDownload);
        }
    }

    /// Each mishap happens once per update, over all of its attempts.
    fn mishaps_for(&self, update: &UpdateCommand) -> Mishaps {
        match &self.flash.job {
            Some(job) if job.command.target.ordinal == update.target.ordinal => job.mishaps,
            _ => Mishaps::default(),
        }
    }

    fn begin(&mut self, update: UpdateCommand, out: &mut Vec<Action>, now: DateTime<Utc>) {
        if self.behaviour.spoils() && self.flash.spoiled.is_none() && update.kind.as_deref() != Some("rollback") {
            self.flash.spoiled = Some(update.firmware_id.clone());
        }
        let mut mishaps = self.mishaps_for(&update);
        let late = self.behaviour.late && !std::mem::replace(&mut mishaps.late, true);
        let defer = !late && self.must_defer(&mut mishaps);
        let stage = if late { Stage::Unanswered } else { Stage::Deferred };
        self.flash.job = Some(Job { command: update, stage, mishaps, download_tries: 0, refused_links: 0 });
        if late {
            out.push(Action::After { timer: Timer::Answer, delay: self.pace.late });
        } else if defer {
            self.defer(out, now);
        } else {
            self.answer(out, now);
        }
    }

    fn must_defer(&self, mishaps: &mut Mishaps) -> bool {
        self.behaviour.defer && !std::mem::replace(&mut mishaps.deferred, true)
    }

    fn defer(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        self.set_stage(Stage::Deferred);
        self.waited = false;
        self.tell(ReportStatus::Deferred, Some(BUSY), out, now);
        out.push(Action::After { timer: Timer::AskAgain, delay: self.pace.retry_after });
    }

    /// A late device answers after its delay.
    pub(super) fn answer_late(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let Some(job) = &self.flash.job else { return };
        let mut mishaps = job.mishaps;
        let defer = self.must_defer(&mut mishaps);
        if let Some(job) = &mut self.flash.job {
            job.mishaps = mishaps;
        }
        if defer { self.defer(out, now) } else { self.answer(out, now) }
    }

    /// Reports `received` and begins.
    fn answer(&mut self, out: &mut Vec<Action>, now: DateTime<Utc>) {
        self.tell(ReportStatus::Received, None, out, now);
        self.set_stage(Stage::Downloading);
        self.progress_bytes = 0;
        let dies = self.behaviour.die_after_received;
        match &mut self.flash.job {
            Some(job) if dies && !job.mishaps.died => {
                job.mishaps.died = true;
                out.push(Action::Reboot { down: self.pace.away, clean: false });
            }
            _ => self.start_download(out, now),
        }
    }

    /// Rule 2: a repeated command. Continue with the fresh link, and report the current status.
    fn carry_on(&mut self, update: UpdateCommand, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let Some(job) = &mut self.flash.job else { return };
        let stage = job.stage;
        let commanded_again = update.target.seq > job.command.target.seq;
        job.command = update;
        match stage {
            Stage::Deferred if commanded_again || self.waited => self.answer(out, now),
            Stage::AwaitingLink => self.start_download(out, now),
            Stage::AwaitingWindow => self.hear_of_window(out, now),
            _ => {
                // A command to activate has been taken back.
                self.asked_at = None;
                self.say_where_it_stands(stage, out, now);
            }
        }
    }

    fn say_where_it_stands(&mut self, stage: Stage, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let (status, code) = match stage {
            Stage::Unanswered => return,
            Stage::Deferred => {
                let known = self.flash.last_update.as_ref().and_then(|last| last.code);
                (ReportStatus::Deferred, known.or(Some(BUSY)))
            }
            Stage::Downloading | Stage::AwaitingLink => (ReportStatus::Downloading, None),
            Stage::Verifying | Stage::AwaitingWindow => (ReportStatus::Verifying, None),
            Stage::CancelWindow | Stage::Installing => (ReportStatus::Installing, None),
            Stage::Staged => (ReportStatus::Staged, None),
            Stage::Rebooting => (ReportStatus::Rebooting, None),
            Stage::Trial => (ReportStatus::Completed, None),
            Stage::Ended(outcome) => (outcome.status, outcome.code),
        };
        self.repeat(status, code, out, now);
    }

    fn on_cancel(&mut self, target: Target, out: &mut Vec<Action>, now: DateTime<Utc>) {
        if !self.is_same_pair(target) {
            self.answer_for(target, ReportStatus::Cancelled, None, out, now);
            return;
        }
        match self.stage() {
            Some(Stage::Installing | Stage::Rebooting | Stage::Trial) => {
                self.repeat(ReportStatus::CancelRefused, None, out, now)
            }
            Some(Stage::Ended(outcome)) if outcome.status == ReportStatus::Completed => {
                self.repeat(ReportStatus::CancelRefused, None, out, now);
            }
            Some(stage @ Stage::Ended(_)) => self.say_where_it_stands(stage, out, now),
            _ => {
                self.abandon(out);
                self.end(ReportStatus::Cancelled, None, out, now);
            }
        }
    }

    fn on_activate(&mut self, command: ActivateCommand, out: &mut Vec<Action>, now: DateTime<Utc>) {
        let target = command.target;
        match self.stage() {
            Some(Stage::Staged) if self.is_same_pair(target) => self.activate_in_window(command, out, now),
            Some(stage) if self.is_same_pair(target) => self.say_where_it_stands(stage, out, now),
            _ => self.answer_for(target, ReportStatus::Rejected, Some(STANDBY_MISMATCH), out, now),
        }
    }
}
