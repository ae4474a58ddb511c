//! Tests of the device protocol's rules, on the state machine alone: [`rules`], [`runs`] and [`windows`] for a correct device, [`mishaps`] for the others. A
//! [`Bench`] carries out the firmware's actions at once.

mod mishaps;
mod rules;
mod runs;
mod windows;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::super::behaviour::Behaviour;
use super::super::flash::Flash;
use super::super::pace::Pace;
use super::super::run_message::{Run, RunCommand, RunStatus};
use super::super::wire::{ActivateCommand, Command, ReportStatus, Target, UpdateCommand};
use super::*;
use ReportStatus::{Completed, Downloading, Installing, Rebooting, Received, Verifying};

const SHA: &str = "ab";
const HAPPY: [ReportStatus; 6] = [Received, Downloading, Verifying, Installing, Rebooting, Completed];

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn update(seq: u64, ordinal: u64, attempt: u32) -> UpdateCommand {
    UpdateCommand {
        target: Target { seq, ordinal, attempt },
        kind: Some("update".to_owned()),
        component: "firmware".to_owned(),
        firmware_id: "f-2".to_owned(),
        version: "2.0.0".to_owned(),
        size: 1_000,
        sha256: SHA.to_owned(),
        url: "http://host/d/1".to_owned(),
        activate: true,
        install_within_s: None,
        opens_in_s: None,
    }
}

/// An update that stops at `staged`.
fn stage(seq: u64) -> Command {
    Command::Update(Box::new(UpdateCommand { activate: false, ..update(seq, 1, 1) }))
}

fn activate(seq: u64, ordinal: u64) -> Command {
    let target = Target { seq, ordinal, attempt: 1 };
    Command::Activate(ActivateCommand { target, install_within_s: None, opens_in_s: None })
}

fn command(seq: u64, ordinal: u64, attempt: u32) -> Command {
    Command::Update(Box::new(update(seq, ordinal, attempt)))
}

/// A device on a bench: carries out the firmware's actions at once, and records its reports.
struct Bench {
    firmware: Firmware,
    reports: Vec<(u64, u32, ReportStatus)>,
    codes: Vec<&'static str>,
    asked: usize,
    downloads: Vec<Option<u64>>,
    reconnects: usize,
    /// Timers of this kind wait until the test fires them.
    hold: Option<Timer>,
    waiting: Option<Timer>,
    fetch: Vec<Fetched>,
    boots: u32,
    runs: Vec<(u64, RunStatus)>,
    logs: usize,
}

impl Bench {
    fn new(behaviour: Behaviour) -> Self {
        Self::with_pace(behaviour, Pace::default())
    }

    fn with_pace(behaviour: Behaviour, pace: Pace) -> Self {
        let flash = Flash::factory(BTreeMap::from([("firmware".to_owned(), "1.0.0".to_owned())]));
        let mut bench = Self {
            firmware: Firmware::new(flash, behaviour, pace, "1".to_owned()),
            reports: Vec::new(),
            codes: Vec::new(),
            asked: 0,
            downloads: Vec::new(),
            reconnects: 0,
            hold: None,
            waiting: None,
            fetch: Vec::new(),
            boots: 0,
            runs: Vec::new(),
            logs: 0,
        };
        bench.boot();
        bench
    }

    fn boot(&mut self) {
        self.boots += 1;
        self.waiting = None;
        let actions = self.firmware.on_boot(format!("boot-{}", self.boots), now());
        self.perform(actions);
    }

    fn gets(&mut self, command: Command) -> &mut Self {
        let actions = self.firmware.on_command(command, now());
        self.perform(actions);
        self
    }

    /// Stops at the next timer of this kind.
    fn holds(&mut self, timer: Timer) -> &mut Self {
        self.hold = Some(timer);
        self
    }

    fn lets_go(&mut self) {
        self.hold = None;
        let timer = self.waiting.take().expect("a timer was set");
        let actions = self.firmware.on_timer(timer, now());
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Report { ordinal, report } => {
                    self.codes.extend(report.code);
                    self.reports.push((ordinal, report.attempt, report.status));
                }
                Action::RunReport { n, report } => self.runs.push((n, report.status)),
                Action::Log { .. } => self.logs += 1,
                Action::AskCommand => self.asked += 1,
                Action::After { timer, .. } if self.hold == Some(timer) => self.waiting = Some(timer),
                // Repeating timers and timers far in the future are fired only by the tests about them.
                Action::After {
                    timer: Timer::Progress | Timer::AskAgain | Timer::Answer | Timer::FallBack | Timer::SendHeld,
                    ..
                } => {}
                Action::After { timer, .. } => {
                    let actions = self.firmware.on_timer(timer, now());
                    self.perform(actions);
                }
                Action::Download { stop_at, .. } => {
                    self.downloads.push(stop_at);
                    let complete = Fetched::Complete { sha256: SHA.to_owned() };
                    let fetched =
                        if stop_at.is_some() { Fetched::Stopped } else { self.fetch.pop().unwrap_or(complete) };
                    let actions = self.firmware.on_fetched(fetched, now());
                    self.perform(actions);
                }
                Action::Reboot { .. } => self.boot(),
                Action::Reconnect => self.reconnects += 1,
                Action::PublishStatus | Action::PublishInfo | Action::AbortDownload | Action::ErasePartial => {}
            }
        }
    }

    fn statuses(&self) -> Vec<ReportStatus> {
        self.reports.iter().map(|(_, _, status)| *status).collect()
    }

    fn installs(&self) -> u32 {
        self.firmware.flash().install_count
    }

    fn version(&self) -> String {
        self.firmware.presence("s").firmware_version.expect("a device with firmware alone")
    }

    fn timer(&mut self, timer: Timer) {
        let actions = self.firmware.on_timer(timer, now());
        self.perform(actions);
    }
}

fn good() -> Bench {
    Bench::new(Behaviour::default())
}
