//! Phases of an update.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The reason why an update waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WaitReason {
    /// The device is not reachable over its transport.
    Offline,
    /// Another update of the device is live.
    Busy,
    /// Between two attempts.
    Backoff,
    /// The command was sent, but the device never answered.
    Unresponsive,
    /// Its campaign was paused before the device answered.
    Withdrawn,
    /// It continues as soon as a slot is granted.
    Slot,
    /// The device is held.
    Held,
    /// Its preconditions are not met, as far as is known.
    Precondition,
    /// The maintenance window of its campaign is closed. Only shown: no event says it.
    Window,
}

/// How an update ended. It never changes afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    Confirmed,
    Failed,
    TimedOut,
    Rejected,
    Expired,
    Superseded,
    Cancelled,
}

/// Phase of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Phase {
    Queued,
    Waiting(WaitReason),
    Dispatched,
    Accepted,
    Deferred,
    Downloading,
    Verifying,
    Installing,
    Staged,
    /// Told to run what it has staged, and has not answered.
    Activating,
    Rebooting,
    Cancelling,
    Ended(Outcome),
}

impl Phase {
    /// Phases that no reason or outcome belongs to.
    const PLAIN: [Self; 11] = [
        Self::Queued,
        Self::Dispatched,
        Self::Accepted,
        Self::Deferred,
        Self::Downloading,
        Self::Verifying,
        Self::Installing,
        Self::Staged,
        Self::Activating,
        Self::Rebooting,
        Self::Cancelling,
    ];

    /// Its name in events, rows and replies. The reason to wait has a name of its own.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ended(outcome) => outcome.word(),
            other => other.into(),
        }
    }

    /// The phase of these names.
    pub fn from_words(word: &str, wait_reason: Option<&str>) -> Option<Self> {
        if word == Self::Waiting(WaitReason::Slot).word() {
            return wait_reason.and_then(WaitReason::from_word).map(Self::Waiting);
        }
        let plain = Self::PLAIN.into_iter().find(|phase| phase.word() == word);
        plain.or_else(|| Outcome::from_word(word).map(Self::Ended))
    }

    /// Whether it is the name of a phase.
    pub fn is_word(word: &str) -> bool {
        Self::from_words(word, Some(WaitReason::Slot.word())).is_some()
    }

    /// Why it waits, if it does.
    pub fn wait_reason(self) -> Option<WaitReason> {
        match self {
            Self::Waiting(reason) => Some(reason),
            _ => None,
        }
    }

    pub fn is_ended(self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// Whether the update is in the queue: neither begun nor ended.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::Waiting(_))
    }

    /// Whether the update has begun and not ended. A device has at most one such update.
    pub fn is_live(self) -> bool {
        !self.is_waiting() && !self.is_ended()
    }

    /// Whether the device has answered and is working: the working clock runs.
    pub fn is_working(self) -> bool {
        self.work_order().is_some()
    }

    /// Order of the working phases. A report never moves an attempt to an earlier phase.
    pub fn work_order(self) -> Option<u8> {
        match self {
            Self::Accepted => Some(0),
            Self::Downloading => Some(1),
            Self::Verifying => Some(2),
            Self::Installing => Some(3),
            Self::Rebooting => Some(4),
            Self::Queued
            | Self::Waiting(_)
            | Self::Dispatched
            | Self::Deferred
            | Self::Staged
            | Self::Activating
            | Self::Cancelling
            | Self::Ended(_) => None,
        }
    }
}
