//! What each event goes back to: its correlation id, and the record that led to it.
//!
//! Both are taken from the log. While an aggregate is folded, [`Threads`] keeps where each of its threads stands: which correlation id it
//! carries, and which record was the last of it. A command that comes without its own (a device's report, a clock) takes them from the
//! thread that its events belong to, so they outlive any process and need no code where the command came from.
//!
//! Invariants: an event of a thread carries the thread's correlation id, unless somebody's command on that very thread brought another
//! one, which is then that record's alone; a causation names a record that was stored before, by its command id and its position.

use std::collections::BTreeMap;

use domain::thread::{Point, StepKind, Thread};
use domain::{CommandId, Decider};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names a record: by the id of the command that stored it, and by its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRef {
    pub command_id: CommandId,
    /// Sequence number in the log.
    pub position: u64,
}

/// What led to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// Nothing but its sender: a person, or a program that calls the API.
    Sender,
    /// What this record stored.
    Record(RecordRef),
    /// What the aggregate's own threads say: the last record on the same matter, or the one that set the clock. Nothing when there is
    /// none, as for the first word of a device.
    #[default]
    Thread,
}

/// What one event goes back to.
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

/// Where a thread stands, or a place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub correlation_id: Uuid,
    /// The last record of the thread; the one that set the place.
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

    /// The newest record that set one of these places.
    pub fn newest(&self, places: &[(Thread, Point)]) -> Option<Standing> {
        places
            .iter()
            .filter_map(|place| self.points.get(place).copied())
            .max_by_key(|standing| standing.record.position)
    }

    /// How many threads and places are kept.
    pub(crate) fn len(&self) -> usize {
        self.last.len() + self.points.len()
    }

    /// Takes in an event that goes with `correlation_id` and stands in `record`; `aggregate` is as it was before.
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

    /// Forgets what can't go on.
    pub(crate) fn retain<A: Decider>(&mut self, aggregate: &A) {
        self.last.retain(|thread, _| aggregate.knows_thread(*thread));
        self.points.retain(|(thread, _), _| aggregate.knows_thread(*thread));
    }
}
