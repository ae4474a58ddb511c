//! State of a device that survives power loss: versions, and the progress of its update.
//!
//! Invariant: (ordinal, attempt) and `seq` only grow.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::login::Credential;
use super::run_message::LastRun;
use super::wire::{LastUpdate, ReportStatus, Target, UpdateCommand};

/// Installs that are kept per device.
const MAX_INSTALLS: usize = 64;

/// How an update ended on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub status: ReportStatus,
    pub code: Option<&'static str>,
}

/// The stage of the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not answered yet (a late device).
    Unanswered,
    Deferred,
    Downloading,
    /// The link was refused; a fresh one is asked for.
    AwaitingLink,
    Verifying,
    /// Verified; whether it may be installed now is asked for.
    AwaitingWindow,
    /// `installing` is reported, and a cancel is still accepted.
    CancelWindow,
    Installing,
    Staged,
    Rebooting,
    /// The new version runs on trial, not yet marked good.
    Trial,
    Ended(Outcome),
}

impl Stage {
    /// Past the point of no return, and not ended yet.
    pub(super) fn is_uninterruptible(self) -> bool {
        matches!(self, Self::Installing | Self::Rebooting | Self::Trial)
    }

    /// Answered with `received`, and not ended yet.
    pub(super) fn is_working(self) -> bool {
        match self {
            Self::Downloading
            | Self::AwaitingLink
            | Self::Verifying
            | Self::AwaitingWindow
            | Self::CancelWindow
            | Self::Installing
            | Self::Rebooting
            | Self::Trial => true,
            Self::Unanswered | Self::Deferred | Self::Staged | Self::Ended(_) => false,
        }
    }

    /// The name under which devices are counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::Deferred => "deferred",
            Self::Downloading => "downloading",
            Self::AwaitingLink => "awaiting_link",
            Self::Verifying | Self::AwaitingWindow => "verifying",
            Self::CancelWindow | Self::Installing => "installing",
            Self::Staged => "staged",
            Self::Rebooting => "rebooting",
            Self::Trial => "trial",
            Self::Ended(outcome) => match outcome.status {
                ReportStatus::Completed => "completed",
                ReportStatus::Cancelled => "cancelled",
                ReportStatus::Rejected => "rejected",
                _ => "failed",
            },
        }
    }
}

/// Faults that have happened in this update; each happens once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mishaps {
    pub(super) late: bool,
    pub(super) deferred: bool,
    pub(super) died: bool,
    pub(super) stalled: bool,
    pub(super) rebooted: bool,
    pub(super) reconnected: bool,
}

/// The current update, or the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub command: UpdateCommand,
    pub stage: Stage,
    pub mishaps: Mishaps,
    /// Attempts to download since the last progress.
    pub download_tries: u32,
    /// Links refused in this attempt.
    pub refused_links: u32,
}

/// An image that was written and will be booted next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Install {
    pub ordinal: u64,
    pub attempt: u32,
    pub component: String,
    pub version: String,
}

/// What survives a power loss.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flash {
    /// What it logs in with, if that is its own.
    pub credential: Option<Credential>,
    /// Running versions, by component.
    pub versions: BTreeMap<String, String>,
    /// Component and version in the other slot, for a fallback.
    pub previous: Option<(String, String)>,
    pub second_slot: bool,
    pub trial: bool,
    pub boots: u32,
    /// The highest command number seen.
    pub seq: u64,
    pub job: Option<Job>,
    pub last_update: Option<LastUpdate>,
    /// The command beside updates that was run last.
    pub last_run: Option<LastRun>,
    pub installs: VecDeque<Install>,
    pub install_count: u32,
    /// Installs of a pair (ordinal, attempt) that had been installed before. A correct firmware has none.
    pub repeated_installs: u32,
    /// The firmware that this device can't run, if its behaviour has that fault.
    pub spoiled: Option<String>,
}

impl Flash {
    /// A device in factory state.
    pub fn factory(versions: BTreeMap<String, String>) -> Self {
        Self { versions, ..Self::default() }
    }

    /// The current update, or the last one.
    pub fn target(&self) -> Option<Target> {
        self.job.as_ref().map(|job| job.command.target)
    }

    pub(super) fn runs(&self, component: &str, version: &str) -> bool {
        self.versions.get(component).is_some_and(|running| running == version)
    }

    pub(super) fn is_spoiled(&self, firmware_id: &str) -> bool {
        self.spoiled.as_deref() == Some(firmware_id)
    }

    pub(super) fn record_install(&mut self, command: &UpdateCommand) {
        let Target { ordinal, attempt, .. } = command.target;
        if self.installs.iter().any(|install| (install.ordinal, install.attempt) == (ordinal, attempt)) {
            self.repeated_installs += 1;
        }
        if self.installs.len() == MAX_INSTALLS {
            self.installs.pop_front();
        }
        let (component, version) = (command.component.clone(), command.version.clone());
        self.installs.push_back(Install { ordinal, attempt, component, version });
        self.install_count += 1;
    }

    /// Makes `version` the running one and keeps the old one in the other slot.
    pub(super) fn switch_to(&mut self, component: &str, version: &str) {
        let old = self.versions.insert(component.to_owned(), version.to_owned());
        self.previous = old.map(|old| (component.to_owned(), old));
        self.second_slot = !self.second_slot;
    }

    /// Falls back to the other slot; false if it is empty.
    pub(super) fn switch_back(&mut self) -> bool {
        let Some((component, version)) = self.previous.take() else { return false };
        self.versions.insert(component, version);
        self.second_slot = !self.second_slot;
        self.trial = false;
        true
    }
}
