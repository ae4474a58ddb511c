//! The order of a device's messages: each has a position in the broker's store, and events that follow from a message carry it.
//!
//! A mark of the same store is older when its number is smaller. A mark of another store is newer, even if that store has an earlier
//! creation time, because a clock may have been set back. Only the previous store is remembered: messages from it are late.

use serde::{Deserialize, Serialize};

/// Kind of message that a mark belongs to. Each kind has its own order: a report does not make a `status` late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkTopic {
    Status,
    Info,
    Report,
}

/// The position of a device's message in the broker's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub topic: MarkTopic,
    /// Creation time of the store, in milliseconds since 1970. The numbers of a new store start from 1.
    pub incarnation_ms: u64,
    pub sequence: u64,
}

/// How a message of a device arrived. It is not part of the message's content, so it is not part of the command's digest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// None if the broker does not number messages.
    pub mark: Option<Mark>,
    /// An older message of the same topic may still arrive: the mark is recorded even if nothing else changes.
    pub overtakes: bool,
    /// The maintenance window of the update that it is about is closed. Only looked up for a deferral because of that.
    pub window_closed: bool,
}

/// The newest messages of a device that were applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedMarks {
    /// The broker's current store; 0 if none is known.
    incarnation_ms: u64,
    /// The store that it replaced.
    replaced_ms: u64,
    /// The newest `status` that was applied.
    pub status: Option<Mark>,
    /// The newest `info` that was applied.
    pub info: Option<Mark>,
}

impl AppliedMarks {
    /// Whether a message is late: older than one that was applied, or the same message again.
    pub fn is_late(&self, mark: Option<Mark>, applied: Option<Mark>) -> bool {
        let Some(mark) = mark else { return false };
        if self.replaced_ms > 0 && mark.incarnation_ms == self.replaced_ms {
            return true;
        }
        applied
            .is_some_and(|applied| mark.incarnation_ms == applied.incarnation_ms && mark.sequence <= applied.sequence)
    }

    /// Records a message that was applied.
    pub(super) fn apply(&mut self, mark: Mark) {
        if self.incarnation_ms != mark.incarnation_ms {
            self.replaced_ms = self.incarnation_ms;
            self.incarnation_ms = mark.incarnation_ms;
        }
        let newest = match mark.topic {
            MarkTopic::Status => &mut self.status,
            MarkTopic::Info => &mut self.info,
            MarkTopic::Report => return,
        };
        *newest = newer(*newest, mark);
    }
}

/// The newer of two marks. The second is of the current store.
pub(super) fn newer(known: Option<Mark>, mark: Mark) -> Option<Mark> {
    let known = known.filter(|known| known.incarnation_ms == mark.incarnation_ms && known.sequence > mark.sequence);
    Some(known.unwrap_or(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(incarnation_ms: u64, sequence: u64) -> Mark {
        Mark { topic: MarkTopic::Status, incarnation_ms, sequence }
    }

    fn is_late(applied: AppliedMarks, mark: Mark) -> bool {
        applied.is_late(Some(mark), applied.status)
    }

    #[test]
    fn within_one_store_the_number_decides() {
        let mut applied = AppliedMarks::default();
        assert!(!is_late(applied, status(7, 1)), "no message was applied before");
        applied.apply(status(7, 20));
        applied.apply(status(7, 10));
        assert_eq!(applied.status, Some(status(7, 20)));
        assert!(is_late(applied, status(7, 19)) && is_late(applied, status(7, 20)) && !is_late(applied, status(7, 21)));
        assert!(!applied.is_late(None, applied.status), "a message without a number counts as newer");
    }

    #[test]
    fn a_store_made_anew_counts_as_newer_also_with_a_clock_set_back() {
        for (old, new) in [(7_000, 8_000), (8_000, 7_000)] {
            let mut applied = AppliedMarks::default();
            applied.apply(status(old, 900));
            assert!(!is_late(applied, status(new, 1)));
            applied.apply(status(new, 1));
            assert!(is_late(applied, status(old, 901)), "a late message of the store that was replaced");
            assert!(is_late(applied, status(new, 1)) && !is_late(applied, status(new, 2)));
        }
    }

    #[test]
    fn each_topic_has_an_order_of_its_own() {
        let mut applied = AppliedMarks::default();
        applied.apply(Mark { topic: MarkTopic::Info, ..status(7, 50) });
        applied.apply(Mark { topic: MarkTopic::Report, ..status(7, 60) });
        assert!(!is_late(applied, status(7, 40)));
        assert!(applied.is_late(Some(status(7, 40)), applied.info));
    }
}
