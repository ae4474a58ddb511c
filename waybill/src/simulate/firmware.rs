//! The firmware of a simulated device, as a pure state machine.
//!
//! Commands, timers, downloads, connections and boots go in with the time; [`Action`]s come out. It has no IO, clock or randomness, so
//! every rule of the device protocol can be tested alone. State that survives a boot is in [`Flash`]; the rest of [`Firmware`] is memory.
//!
//! Invariant: one pair (ordinal, attempt) is installed at most once, unless power failed while it was being installed.

mod boot;
mod orders;
mod reports;
mod run;
#[cfg(test)]
mod tests;
mod window;
mod work;

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::behaviour::Behaviour;
use super::flash::{Flash, Stage};
use super::login::Credential;
use super::pace::Pace;
use super::run_message::RunReport;
use super::wire::{FIRMWARE, Info, Presence, Report};

pub(super) const BOOT_FAILED: &str = "boot_failed";
pub(super) const BUSY: &str = "busy";
pub(super) const DIGEST_MISMATCH: &str = "digest_mismatch";
pub(super) const DOWNLOAD_FAILED: &str = "download_failed";
pub(super) const INSTALL_FAILED: &str = "install_failed";
pub(super) const STANDBY_MISMATCH: &str = "standby_mismatch";
pub(super) const UNSUPPORTED: &str = "unsupported";
pub(super) const URL_EXPIRED: &str = "url_expired";
pub(super) const VERSION_REGRESSED: &str = "version_regressed";
pub(super) const WINDOW_CLOSED: &str = "window_closed";

/// An action for the hardware around the firmware.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Report {
        ordinal: u64,
        report: Report,
    },
    /// A report on a command that isn't an update's.
    RunReport {
        n: u64,
        report: RunReport,
    },
    /// A piece of the log of an update.
    Log {
        ordinal: u64,
        text: String,
    },
    /// Publish `status`, if connected; every connection begins with one.
    PublishStatus,
    PublishInfo,
    /// Publish `commands/get`, if connected.
    AskCommand,
    /// Set this timer; replaces an earlier one of its kind.
    After {
        timer: Timer,
        delay: Duration,
    },
    /// Download the image, resuming a part with the same digest; stop and report at `stop_at`.
    Download {
        url: String,
        size: u64,
        sha256: String,
        stop_at: Option<u64>,
    },
    AbortDownload,
    ErasePartial,
    /// Shut down and boot again after a while; `clean` sends queued messages first, otherwise power fails at once.
    Reboot {
        down: Duration,
        clean: bool,
    },
    /// Break the connection and make a new one.
    Reconnect,
}

/// Kinds of timers. A timer that fires when it no longer applies does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    Answer,
    AskAgain,
    Progress,
    Retry,
    Verified,
    WindowOver,
    Installed,
    MarkGood,
    FallBack,
    SendHeld,
}

/// How a download ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// All bytes are downloaded; their digest in hex.
    Complete {
        sha256: String,
    },
    /// It reached `stop_at`.
    Stopped,
    /// The server answered with this status.
    Refused {
        status: u16,
    },
    Failed {
        reason: String,
    },
}

/// One device's firmware: its flash, and its memory since the last boot.
#[derive(Debug, Clone)]
pub struct Firmware {
    flash: Flash,
    behaviour: Behaviour,
    pace: Pace,
    hardware_version: String,
    // Memory from here on: lost at a boot.
    boot_id: String,
    /// The updater no longer runs; only a boot helps.
    hung: bool,
    announced: bool,
    /// A command could not be accepted when it came; ask for it at the end.
    missed: bool,
    /// A deferred update has waited for the announced time.
    waited: bool,
    digest: Option<String>,
    progress_bytes: u64,
    /// When it first asked whether it may install, and has had no answer since.
    asked_at: Option<DateTime<Utc>>,
    held: Option<Action>,
    garbage: u64,
}

impl Firmware {
    /// A device that was never switched on.
    pub fn new(flash: Flash, behaviour: Behaviour, pace: Pace, hardware_version: String) -> Self {
        Self {
            flash,
            behaviour,
            pace,
            hardware_version,
            boot_id: String::new(),
            hung: false,
            announced: false,
            missed: false,
            waited: false,
            digest: None,
            progress_bytes: 0,
            asked_at: None,
            held: None,
            garbage: 0,
        }
    }

    pub fn flash(&self) -> &Flash {
        &self.flash
    }

    /// Keeps what it logs in with from now on.
    pub(super) fn keep_credential(&mut self, credential: Credential) {
        self.flash.credential = Some(credential);
    }

    pub(super) fn forget_credential(&mut self) {
        self.flash.credential = None;
    }

    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Messages on the command topic that could not be parsed.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    /// True while an update is accepted and has not ended, as far as the device knows.
    pub fn is_working(&self) -> bool {
        !self.hung && self.stage().is_some_and(Stage::is_working)
    }

    /// The name of the device's state, for counting.
    pub fn stage_name(&self) -> &'static str {
        match self.stage() {
            _ if self.hung => "hung",
            None => "idle",
            Some(stage) => stage.name(),
        }
    }

    /// The payload of `status` for this connection.
    pub fn presence(&self, session: &str) -> Presence {
        let versions = &self.flash.versions;
        let only_firmware = versions.len() == 1 && versions.contains_key(FIRMWARE);
        Presence {
            status: "online",
            session: session.to_owned(),
            boot_id: self.boot_id.clone(),
            firmware_version: versions.get(FIRMWARE).filter(|_| only_firmware).cloned(),
            versions: (!only_firmware).then(|| versions.clone()),
            trial: self.flash.trial,
            slot: if self.flash.second_slot { "b" } else { "a" },
            battery_level: 100,
            signal_strength: -60,
            last_update: self.flash.last_update.clone(),
        }
    }

    /// The payload of `info`.
    pub fn info(&self) -> Info {
        Info::new(self.flash.versions.clone(), self.hardware_version.clone())
    }

    /// Downloaded bytes of the image, as far as the firmware knows.
    pub fn on_progress(&mut self, bytes: u64, now: DateTime<Utc>) -> Vec<Action> {
        self.progress_bytes = bytes;
        self.on_timer(Timer::Progress, now)
    }

    fn stage(&self) -> Option<Stage> {
        self.flash.job.as_ref().map(|job| job.stage)
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(job) = &mut self.flash.job {
            job.stage = stage;
        }
    }
}
