//! An aggregate that was read from the log: its state, its position in the log, and its latest commands.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent as _;
use domain::{Actor, CommandId, Decider};

use crate::command_hash::CommandHash;
use crate::threads::Threads;

/// Commands remembered per aggregate. A command that is sent again after more than this many others is treated as a new one.
pub const RECENT_COMMANDS_MAX: usize = 1_024;

/// An aggregate with its position in the log.
#[derive(Debug, Clone)]
pub struct Loaded<A: Decider> {
    pub aggregate: Arc<A>,
    /// Number of its events; 0 when it does not exist.
    pub version: u64,
    /// Sequence number of its last record; 0 when it does not exist.
    pub last_sequence: u64,
    /// How it began; none when it does not exist.
    pub origin: Option<Arc<Origin>>,
    pub times: Times,
    pub recent: RecentCommands,
    /// The state of its threads.
    pub threads: Threads,
    /// Bytes of its records, which is what the cache counts.
    pub(crate) bytes: usize,
}

impl<A: Decider> Default for Loaded<A> {
    fn default() -> Self {
        Self {
            aggregate: Arc::new(A::default()),
            version: 0,
            last_sequence: 0,
            origin: None,
            times: Times::default(),
            recent: RecentCommands::default(),
            threads: Threads::default(),
            bytes: 0,
        }
    }
}

/// Who stored the first record of an aggregate, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The time at which its command was decided.
    pub at: DateTime<Utc>,
    pub by: Actor,
}

/// When events of the types in [`Decider::DATED`] were last decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times(Vec<(&'static str, DateTime<Utc>)>);

impl Times {
    pub fn of(&self, event_type: &str) -> Option<DateTime<Utc>> {
        self.0.iter().find(|(name, _)| *name == event_type).map(|(_, at)| *at)
    }

    pub(crate) fn apply<A: Decider>(&mut self, event: &A::Event, at: DateTime<Utc>) {
        if A::DATED.is_empty() {
            return;
        }
        let kind = event.event_type();
        if let Some(name) = A::DATED.iter().find(|name| **name == kind) {
            self.0.retain(|(known, _)| known != name);
            self.0.push((name, at));
        }
    }
}

/// The last commands of an aggregate that stored events, oldest first.
#[derive(Debug, Clone, Default)]
pub struct RecentCommands(VecDeque<CommandOutcome>);

/// What a command stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandOutcome {
    pub id: CommandId,
    pub hash: CommandHash,
    /// Sequence number of its record.
    pub sequence: u64,
    /// Number of events of the aggregate after its record.
    pub version: u64,
    pub event_count: u32,
}

impl RecentCommands {
    /// What the command with this id stored, if it is among the remembered ones.
    pub fn find(&self, id: CommandId) -> Option<&CommandOutcome> {
        self.0.iter().rev().find(|outcome| outcome.id == id)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, outcome: CommandOutcome) {
        if self.0.len() == RECENT_COMMANDS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(outcome);
    }
}
