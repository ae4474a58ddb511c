//! One projector: a subscription, a checkpoint, batches in one transaction each.
//!
//! Rows and checkpoint change together, and only if the checkpoint is still the one that this owner knows: a second owner fails and starts
//! over. Three kinds of errors: the database's (retried without end), an unknown event (this program is too old: halt), and an event
//! that can't be applied (its aggregate is parked with all its later records, the others go on).

mod batch;
mod checkpoint;
mod deferred;
mod owner;
mod ownership;
pub(crate) mod parking;
pub(crate) mod statistics;
pub(crate) mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use event_store::{Log, StoreError};
use futures::future::BoxFuture;
use runtime::lifecycle::Tasks;
use tokio_util::sync::CancellationToken;

pub(crate) use checkpoint::Checkpoint;
use parking::{Parked, ParkedRecord};
pub use parking::{Unparked, unpark};

use crate::db::{Db, DbError};
use crate::decode::Decoded;
use crate::memory::Memory;
use crate::read_model::ReadModel;
use crate::status_board::ProjectionState;
use crate::status_board::StatusBoard;
use batch::{Batch, Batches};
use deferred::Deferred;
use owner::Owner;
use ownership::Ownership;
use statistics::Statistics;

/// Pause after an error of the database, doubled up to the longest.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often an owner without records checks that it still has its lock.
const OWNERSHIP_LOOK: Duration = Duration::from_secs(1);
/// Pause before a halted projection checks whether it may go on.
const HALTED_PAUSE: Duration = Duration::from_secs(5);

/// A deferred record counts as this many others for statistics: it adds many rows.
const ROWS_OF_DEFERRED: usize = 1_000;

/// Why a run over the subscription ended.
pub(crate) enum RunEnd {
    /// Another owner has taken over, or the database has failed: start over.
    Again(DbError),
    /// This program can't go on.
    Halted(String),
    /// The rows are of an older version than this program writes: they are rebuilt from the log.
    Outdated { found: i32 },
}

impl From<DbError> for RunEnd {
    fn from(error: DbError) -> Self {
        Self::Again(error)
    }
}

/// Runs a projector until the tasks are stopped.
pub(crate) async fn run(db: Db, log: Arc<dyn Log>, model: &'static dyn ReadModel, board: StatusBoard, tasks: Tasks) {
    let mut ownership = Ownership::none(model.name());
    run_until(&tasks, &db, &log, model, &board, &mut ownership).await;
    ownership.release().await;
}

async fn run_until(
    tasks: &Tasks,
    db: &Db,
    log: &Arc<dyn Log>,
    model: &'static dyn ReadModel,
    board: &StatusBoard,
    ownership: &mut Ownership,
) {
    let (mut pause, stop) = (RETRY_PAUSE, tasks.token());
    while !stop.is_cancelled() {
        // A stop never interrupts a transaction: sqlx loses count of a transaction that is cancelled while it begins or ends.
        let run = run_once(db, log, model, board, ownership, tasks);
        let end = db.line().carry(async { Ok(run.await) }).await.unwrap_or_else(RunEnd::Again);
        if stop.is_cancelled() {
            return;
        }
        let waited = match end {
            RunEnd::Again(error) => {
                if error.is_unavailable() {
                    tracing::debug!(projection = model.name(), %error, "A projection starts over.");
                } else {
                    tracing::error!(projection = model.name(), %error, "A projection can't write and tries again.");
                }
                board.set_state(model.name(), ProjectionState::Unavailable, Some(error.to_string()));
                if !error.is_unavailable() {
                    Checkpoint::note_trouble(db, model.name(), "unavailable", &error.to_string()).await;
                }
                pause
            }
            RunEnd::Outdated { found } => {
                // May be interrupted: it starts over.
                let line = db.line();
                let upgrading = line.carry(upgrade(db, log, model, found, board));
                let Some(upgraded) = stop.run_until_cancelled(upgrading).await else { return };
                let Err(error) = upgraded else { continue };
                tracing::warn!(projection = model.name(), %error, "A read model can't be rebuilt yet.");
                board.set_state(model.name(), ProjectionState::Rebuilding, Some(error.to_string()));
                pause
            }
            RunEnd::Halted(reason) => {
                tracing::error!(projection = model.name(), reason, "A projection is halted.");
                Checkpoint::note_trouble(db, model.name(), "halted", &reason).await;
                board.set_state(model.name(), ProjectionState::Halted, Some(reason));
                ownership.give_up(board);
                HALTED_PAUSE
            }
        };
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
        if board.made_progress(model.name()) {
            pause = RETRY_PAUSE;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(waited) => {}
        }
    }
}

/// Rebuilds a read model whose rows are of an older version. They serve meanwhile. An interrupted rebuild starts over at the next start.
async fn upgrade(
    db: &Db,
    log: &Arc<dyn Log>,
    model: &'static dyn ReadModel,
    found: i32,
    board: &StatusBoard,
) -> Result<(), DbError> {
    let (name, wanted) = (model.name(), model.version());
    tracing::info!(projection = name, found, wanted, "The rows are of an older version; the read model is rebuilt.");
    board.set_state(name, ProjectionState::Rebuilding, Some("its rebuild begins".to_owned()));
    Checkpoint::note_trouble(db, name, "rebuilding", "rows of an older version are rebuilt").await;
    let progress = |position: u64, head: u64| {
        let text = format!("rebuilt up to position {position} of {head}");
        board.set_state(name, ProjectionState::Rebuilding, Some(text));
    };
    let position = crate::rebuild::rebuild(db, log.clone(), name, progress).await?;
    tracing::info!(projection = name, position, "The read model is rebuilt.");
    Ok(())
}

async fn run_once(
    db: &Db,
    log: &Arc<dyn Log>,
    model: &'static dyn ReadModel,
    board: &StatusBoard,
    ownership: &mut Ownership,
    tasks: &Tasks,
) -> RunEnd {
    if let Err(error) = ownership.take(db, board, tasks.token()).await {
        return RunEnd::Again(error);
    }
    match follow(db, log, model, board, ownership, tasks).await {
        Ok(()) => RunEnd::Again(DbError::Unavailable("the subscription ended".to_owned())),
        Err(end) => end,
    }
}

/// Boxed: the compiler can't check the borrows of a spawned task otherwise.
fn follow<'a>(
    db: &'a Db,
    log: &'a Arc<dyn Log>,
    model: &'static dyn ReadModel,
    board: &'a StatusBoard,
    ownership: &'a mut Ownership,
    tasks: &'a Tasks,
) -> BoxFuture<'a, Result<(), RunEnd>> {
    Box::pin(async move {
        let stop = tasks.token();
        let info = log.info().await.map_err(|error| DbError::Unavailable(error.to_string()))?;
        let checkpoint = Checkpoint::claim(db, model.name(), model.version(), info.incarnation_ms).await?;
        if checkpoint.position > info.last_sequence {
            return Err(RunEnd::Halted(format!(
                "the read model stands for position {}, but the log ends at {}: it was cut off or restored; rebuild the read model",
                checkpoint.position, info.last_sequence
            )));
        }
        let parked = Parked::load(db, model.name()).await?;
        let deferred = Deferred::load(db, model.name()).await?;
        let memory = Memory::default();
        let mut owner = Owner { db, log, model, checkpoint, parked, deferred, memory, stop };
        let mut statistics = Statistics::default();
        let decode = if model.reads_events() { Decoded::decode } else { Decoded::envelope };
        board.set_running(model.name(), owner.checkpoint.position, owner.parked.count());
        let mut batches =
            Batches::new(log.subscribe(owner.checkpoint.position + 1), board.awaited(model.name()), model.linger());
        while !stop.is_cancelled() {
            // Deferred records take turns with batches, and use the time without any.
            if !owner.deferred.is_empty() && owner.write_deferred(None).await? {
                board.wrote_beside(model.name(), owner.parked.count());
                statistics.follow_beside(tasks, db, model, ROWS_OF_DEFERRED);
                if !batches.has_arrived() {
                    continue;
                }
            }
            let Some(batch) = next_while_owned(&mut batches, ownership, stop).await else { break };
            match batch? {
                Batch::Records(raw) => {
                    let count = raw.len();
                    let mut records = Vec::with_capacity(count);
                    for raw in raw {
                        match decode(raw) {
                            Ok(record) => records.push(record),
                            Err(unreadable) => {
                                owner.take(std::mem::take(&mut records)).await?;
                                owner.take_unreadable(*unreadable).await?;
                            }
                        }
                    }
                    owner.take(records).await?;
                    board.advance(model.name(), owner.checkpoint.position, owner.parked.count());
                    statistics.follow_beside(tasks, db, model, count);
                }
                Batch::CaughtUp(position) => {
                    if position > owner.checkpoint.position {
                        owner.checkpoint.advance(db, position).await?;
                    }
                    board.caught_up(model.name(), owner.checkpoint.position);
                }
            }
        }
        Ok(())
    })
}

/// The next batch; none at a stop. An owner without records checks that it still has its lock. A stop doesn't interrupt that check:
/// PostgreSQL would log its broken connection.
async fn next_while_owned(
    batches: &mut Batches,
    ownership: &mut Ownership,
    stop: &CancellationToken,
) -> Option<Result<Batch, RunEnd>> {
    let mut next = std::pin::pin!(batches.next());
    loop {
        match stop.run_until_cancelled(tokio::time::timeout(OWNERSHIP_LOOK, &mut next)).await? {
            Ok(batch) => return Some(batch.map_err(halt)),
            Err(_) if ownership.stands().await => {}
            Err(_) => {
                return Some(Err(DbError::Unavailable("the connection with the lock broke".to_owned()).into()));
            }
        }
    }
}

fn halt(error: StoreError) -> RunEnd {
    match error {
        StoreError::Unavailable(reason) => RunEnd::Again(DbError::Unavailable(reason)),
        other => RunEnd::Halted(other.to_string()),
    }
}
