//! A request to execute a command, and its outcome.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{Actor, CommandId, Decider, Sealed};
use uuid::Uuid;

use crate::command_hash::CommandHash;
use crate::context::{Origin, Times};
use crate::threads::Cause;
use runtime::clock;

/// A command with everything that the log keeps about its sender and reason.
#[derive(Debug, Clone)]
pub struct Request<C> {
    /// The same id with the same command means that the command is repeated.
    pub id: CommandId,
    pub actor: Actor,
    /// Correlation id of everything that follows from one request. If absent: the id of the thread that the command continues, or the
    /// command's own id if it continues none.
    pub correlation_id: Option<Uuid>,
    /// Cause of the command.
    pub cause: Cause,
    pub reason: Option<Sealed<String>>,
    /// W3C trace context of the request that brought the command. Later commands that follow from it have none.
    pub traceparent: Option<String>,
    /// The time at which the command is decided.
    pub now: DateTime<Utc>,
    /// Version of the aggregate that the sender expects; at another version the command is not decided.
    pub expected_version: Option<ExpectedVersion>,
    /// Digest of the sender's request, if the command was computed from more than the request. It is compared instead of the command's
    /// digest when the command is repeated.
    pub request_digest: Option<CommandHash>,
    pub command: C,
}

/// Versions of an aggregate at which a command may be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Any version, as long as the aggregate exists.
    Existing,
    OneOf(Vec<u64>),
}

impl ExpectedVersion {
    pub(crate) fn includes(&self, version: u64) -> bool {
        match self {
            Self::Existing => version > 0,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

impl<C> Request<C> {
    /// A request decided now, with nothing optional.
    pub fn new(id: CommandId, actor: Actor, command: C) -> Self {
        Self {
            id,
            actor,
            correlation_id: None,
            cause: Cause::Thread,
            reason: None,
            traceparent: None,
            now: clock::now(),
            expected_version: None,
            request_digest: None,
            command,
        }
    }
}

/// The outcome of a command that was not refused.
#[derive(Debug, Clone)]
pub struct Committed<A: Decider> {
    /// Sequence number of the record that holds the events; of the aggregate's last record when the command had no effect.
    pub position: u64,
    /// Number of events of the aggregate now. For a repeated command it may be higher than after that record.
    pub version: u64,
    /// The aggregate as of now.
    pub aggregate: Arc<A>,
    /// How the aggregate began; none when it does not exist.
    pub origin: Option<Arc<Origin>>,
    /// When its dated events were decided last.
    pub times: Times,
    /// What the command stored; empty when it had no effect.
    pub events: Vec<A::Event>,
    /// Whether this is the outcome of the same command, sent earlier.
    pub repeated: bool,
}

/// What a command would do.
#[derive(Debug, Clone)]
pub struct Checked<A: Decider> {
    /// Sequence number of the aggregate's last record, 0 when it has none.
    pub position: u64,
    /// Number of events in the aggregate today.
    pub version: u64,
    /// The aggregate as the events would leave it.
    pub aggregate: A,
    /// How the aggregate began; none when it does not exist.
    pub origin: Option<Arc<Origin>>,
    /// When its dated events were decided last.
    pub times: Times,
    /// What the command would store.
    pub events: Vec<A::Event>,
}
