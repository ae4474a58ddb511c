//! A small aggregate for the tests, with every kind of outcome on request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use domain::thread::{Aim, Point, Step, StepKind, Thread};
use domain::{Actor, CommandId, CommandOf, Decider, Key, Rejection, TenantId};
use event_store::{EventStore, ExecuteError, Log, Request};
use runtime::clock;
use serde::{Deserialize, Serialize};

/// Longest outage that a test waits out.
const INSIST_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(super) enum TallyEvent {
    #[serde(rename = "tally.added")]
    Added { by: u64, note: String },
    #[serde(rename = "tally.closed")]
    Closed {},
    #[serde(rename = "tally.opened")]
    Opened {},
}

domain::event_types!(TallyEvent {
    Added => "tally.added" v 1,
    Closed => "tally.closed" v 1,
    Opened => "tally.opened" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(super) enum TallyCommand {
    /// One event for each number; refused when closed.
    Add {
        by: Vec<u64>,
        note: String,
    },
    Close,
    Open,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) total: u64,
    pub(super) events: u64,
    pub(super) closed: bool,
}

domain::aggregate!(Tally, "tally", TallyCommand, TallyEvent);

impl Tally {
    fn apply(&mut self, event: &TallyEvent) {
        self.events += 1;
        match event {
            TallyEvent::Added { by, .. } => self.total += by,
            TallyEvent::Closed {} => self.closed = true,
            TallyEvent::Opened {} => self.closed = false,
        }
    }
}

impl Decider for Tally {
    type Command = TallyCommand;
    type Id = String;

    fn decide(&self, _now: DateTime<Utc>, command: &TallyCommand) -> Result<Vec<TallyEvent>, Rejection> {
        match command {
            TallyCommand::Add { .. } if self.closed => {
                Err(Rejection::Invalid { field: "tally".into(), reason: "is closed".into() })
            }
            TallyCommand::Add { by, note } => {
                Ok(by.iter().map(|by| TallyEvent::Added { by: *by, note: note.clone() }).collect())
            }
            TallyCommand::Close if self.closed => Ok(vec![]),
            TallyCommand::Close => Ok(vec![TallyEvent::Closed {}]),
            TallyCommand::Open if self.closed => Ok(vec![TallyEvent::Opened {}]),
            TallyCommand::Open => Ok(vec![]),
        }
    }

    fn exists(&self) -> bool {
        self.events > 0
    }

    /// With a note each number is a thread of its own; 103 is thread 3, which continues thread 1.
    fn step_of(event: &TallyEvent) -> Option<Step> {
        match event {
            TallyEvent::Added { note, .. } if note.is_empty() => None,
            TallyEvent::Added { by, .. } => {
                let (from, thread) = (Thread(*by as u32 / 100), Thread(*by as u32 % 100));
                let kind = if from == Thread(0) { StepKind::GoesOn } else { StepKind::TakesOver(from) };
                Some(Step { thread, kind })
            }
            TallyEvent::Closed {} | TallyEvent::Opened {} => None,
        }
    }

    fn points_of(&self, event: &TallyEvent) -> Vec<(Thread, Point)> {
        if matches!(event, TallyEvent::Closed {}) { vec![(CLOSING, Point(0))] } else { vec![] }
    }

    /// An order is for the thread of its first number; a report is for all its threads.
    fn aim_of(&self, command: &TallyCommand) -> Aim {
        match command {
            TallyCommand::Add { note, .. } if note == REPORT => Aim::any(),
            TallyCommand::Add { by, .. } => Aim::at(by.first().map(|by| Thread(*by as u32)).into_iter().collect()),
            TallyCommand::Open => Aim::any().from(CLOSING, &[Point(0)]),
            TallyCommand::Close => Aim::whole(),
        }
    }

    fn knows_thread(&self, thread: Thread) -> bool {
        thread < FORGOTTEN
    }
}

/// The point at which it was closed.
const CLOSING: Thread = Thread(0);
/// Threads from this one on aren't remembered.
pub(super) const FORGOTTEN: Thread = Thread(50);
/// Note of a report.
pub(super) const REPORT: &str = "report";

pub(super) fn key(tenant: &str, id: &str) -> Key<Tally> {
    Key::new(&TenantId::new(tenant).unwrap(), &id.to_owned())
}

pub(super) fn add(by: u64) -> TallyCommand {
    TallyCommand::Add { by: vec![by], note: String::new() }
}

pub(super) fn request(command: TallyCommand) -> Request<TallyCommand> {
    request_as(CommandId(clock::new_id()), command)
}

pub(super) fn request_as(id: CommandId, command: TallyCommand) -> Request<TallyCommand> {
    Request::new(id, Actor::new("test").unwrap(), command)
}

pub(super) fn store(log: &Arc<dyn Log>) -> EventStore {
    EventStore::new(log.clone())
}

/// Executes until it succeeds. An outage may last for [`INSIST_MAX`]; a refusal by the rules is a failure.
pub(super) async fn insist<A: Decider>(store: &EventStore, key: &Key<A>, request: Request<CommandOf<A>>) -> u64 {
    let deadline = Instant::now() + INSIST_MAX;
    loop {
        match store.execute(key, request.clone()).await {
            Ok(committed) => return committed.position,
            Err(ExecuteError::Conflict) => {}
            Err(ExecuteError::Store(error)) if error.is_unavailable() => {
                assert!(Instant::now() < deadline, "not stored within {INSIST_MAX:?}: {error}");
                tokio::time::sleep(POLL).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}
