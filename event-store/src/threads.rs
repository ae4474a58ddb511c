//! Correlation and causation of each event: its correlation id, and the record that led to it.
//!
//! Both are taken from the log. While an aggregate is folded, [`Threads`] keeps the correlation id and the last record of each thread. A
//! command that comes without them (a device's report, a clock) takes them from the thread that its events belong to. So they do not depend
//! on a process, and the sender of the command needs no code for them.
//!
//! Invariants: an event of a thread carries the thread's correlation id, unless a command on that thread brought another one, which then
//! applies to that record only; a causation names a record that was stored before, by its command id and its position.

use std::collections::BTreeMap;

use domain::thread::{Point, StepKind, Thread};
use domain::{CommandId, Decider};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names a record: by the id of the command that stored it, and by its position in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRef {
    pub command_id: CommandId,
    /// Sequence number in the log.
    pub position: u64,
}

/// Cause of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// Its sender: a person, or a program that calls the API.
    Sender,
    /// This record.
    Record(RecordRef),
    /// Taken from the aggregate's threads: the last record of the same thread, or the one that set the clock. None if there is no such
    /// record, as for the first message of a device.
    #[default]
    Thread,
}

/// Correlation and cause of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub correlation_id: Uuid,
    pub cause: Option<RecordRef>,
}

/// The links of a record, and of each of its events.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    pub(crate) record: Link,
    pub(crate) events: Vec<Link>,
}

/// State of a thread, or of a point in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub correlation_id: Uuid,
    /// The last record of the thread, or the record that set the point.
    pub record: RecordRef,
}

/// The threads of one aggregate, as its records left them.
#[derive(Debug, Clone, Default)]
pub struct Threads {
    last: BTreeMap<Thread, Standing>,
    points: BTreeMap<(Thread, Point), Standing>,
}

impl Threads {
    /// The correlation id of a thread and its last record.
    pub fn last(&self, thread: Thread) -> Option<Standing> {
        self.last.get(&thread).copied()
    }

    /// The newest record that set one of these points.
    pub fn newest(&self, places: &[(Thread, Point)]) -> Option<Standing> {
        places
            .iter()
            .filter_map(|place| self.points.get(place).copied())
            .max_by_key(|standing| standing.record.position)
    }

    /// How many threads and points are kept.
    pub(crate) fn len(&self) -> usize {
        self.last.len() + self.points.len()
    }

    /// Applies an event of `record` with its `correlation_id`; `aggregate` is the state before the event.
    pub(crate) fn apply<A: Decider>(
        &mut self,
        aggregate: &A,
        event: &A::Event,
        correlation_id: Uuid,
        record: RecordRef,
    ) {
        let here = Standing { correlation_id, record };
        if let Some(step) = A::step_of(event) {
            let standing = self.last.entry(step.thread).or_insert(here);
            standing.record = record;
            if step.kind == StepKind::Restarts {
                standing.correlation_id = correlation_id;
            }
        }
        self.points.extend(aggregate.points_of(event).into_iter().map(|place| (place, here)));
    }

    /// Removes threads without further events.
    pub(crate) fn retain<A: Decider>(&mut self, aggregate: &A) {
        self.last.retain(|thread, _| aggregate.knows_thread(*thread));
        self.points.retain(|(thread, _), _| aggregate.knows_thread(*thread));
    }
}
