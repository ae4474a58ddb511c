//! The order of a device's messages: each has a position in the broker's store, and events that follow from a message carry it.
//!
//! A mark of the same store is older when its number is smaller. A mark of another store is newer, even if that store has an earlier
//! creation time, because a clock may have been set back. Only the previous store is remembered: messages from it are late.
//!
//! Uplinks of LoRaWAN devices have a store of their own, the queue of events of network servers, which may get them in another order than
//! they were sent.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Kind of message that a mark belongs to. Each kind has its own order: a report does not make a `status` late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkTopic {
    Status,
    Info,
    Report,
    /// A `status` in an uplink.
    Uplink,
}

/// The frame of an uplink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Address of the device in its session.
    pub dev_addr: u32,
    pub f_cnt: u32,
    /// By the clocks of the network.
    pub at: DateTime<Utc>,
}

impl Frame {
    /// None where counter and time disagree, and between sessions: a device may begin again, and gateways have wrong clocks.
    fn order(self, other: Self) -> Option<Ordering> {
        let order = self.f_cnt.cmp(&other.f_cnt);
        (self.dev_addr == other.dev_addr && order.is_ne() && order == self.at.cmp(&other.at)).then_some(order)
    }
}

/// The position of a device's message in the broker's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub topic: MarkTopic,
    /// Creation time of the store, in milliseconds since 1970. The numbers of a new store start from 1.
    pub incarnation_ms: u64,
    pub sequence: u64,
    /// Of an uplink, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
}

impl Mark {
    /// Whether an uplink is newer than another: by their frames, else by the order of arrival.
    fn follows(self, other: Self) -> bool {
        match self.frame.zip(other.frame).and_then(|(own, other)| own.order(other)) {
            Some(order) => order.is_gt(),
            None => self.incarnation_ms != other.incarnation_ms || self.sequence > other.sequence,
        }
    }
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
    /// The newest uplink that was applied as a `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<Mark>,
}

impl AppliedMarks {
    /// Whether a message is late: older than one that was applied, or the same message again.
    pub fn is_late(&self, mark: Option<Mark>, applied: Option<Mark>) -> bool {
        let Some(mark) = mark else { return false };
        if mark.topic == MarkTopic::Uplink {
            return self.uplink.is_some_and(|applied| !mark.follows(applied));
        }
        if self.replaced_ms > 0 && mark.incarnation_ms == self.replaced_ms {
            return true;
        }
        applied
            .is_some_and(|applied| mark.incarnation_ms == applied.incarnation_ms && mark.sequence <= applied.sequence)
    }

    /// Records a message that was applied.
    pub(super) fn apply(&mut self, mark: Mark) {
        if mark.topic == MarkTopic::Uplink {
            self.uplink = self.uplink.filter(|known| !mark.follows(*known)).or(Some(mark));
            return;
        }
        if self.incarnation_ms != mark.incarnation_ms {
            self.replaced_ms = self.incarnation_ms;
            self.incarnation_ms = mark.incarnation_ms;
        }
        let newest = match mark.topic {
            MarkTopic::Status => &mut self.status,
            MarkTopic::Info => &mut self.info,
            MarkTopic::Report | MarkTopic::Uplink => return,
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
        Mark { topic: MarkTopic::Status, incarnation_ms, sequence, frame: None }
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

    fn uplink(sequence: u64, f_cnt: u32, second: i64) -> Mark {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        let frame = Some(Frame { dev_addr: 0x0011_2233, f_cnt, at });
        Mark { topic: MarkTopic::Uplink, frame, ..status(9, sequence) }
    }

    #[test]
    fn uplinks_are_in_the_order_of_their_frames_or_of_their_arrival() {
        let mut applied = AppliedMarks::default();
        applied.apply(status(7, 50));
        applied.apply(uplink(10, 7, 100));
        assert!(is_late(applied, uplink(10, 7, 100)), "the same again");
        assert!(is_late(applied, uplink(11, 6, 99)), "it was overtaken on its way here");
        assert!(!is_late(applied, uplink(9, 8, 101)), "it has overtaken the other");
        assert!(!is_late(applied, uplink(11, 0, 101)), "the device has begun again");
        assert!(is_late(applied, uplink(9, 8, 99)), "the clock of a gateway is wrong: arrival decides");
        assert!(!is_late(applied, uplink(11, 8, 99)));
        let joined = Frame { dev_addr: 1, f_cnt: 0, at: DateTime::UNIX_EPOCH };
        assert!(!is_late(applied, Mark { frame: Some(joined), ..uplink(11, 0, 0) }), "a new session");
        assert!(is_late(applied, Mark { frame: None, ..uplink(9, 0, 0) }));
        assert!(!is_late(applied, Mark { frame: None, incarnation_ms: 10, ..uplink(1, 0, 0) }), "a new queue");
        assert!(
            !is_late(applied, status(7, 51)) && is_late(applied, status(7, 50)),
            "a broker's store is another order"
        );
        applied.apply(uplink(9, 6, 99));
        assert_eq!(applied.uplink, Some(uplink(10, 7, 100)));
    }
}
