//! The projections of a process: starts them, waits for positions, reports their state.

use std::sync::Arc;
use std::time::Duration;

use event_store::Log;
use event_store::telemetry::TelemetryLog;
use runtime::lifecycle::Tasks;
use serde::Serialize;
use tokio::sync::watch;

use crate::db::{Db, DbError};
use crate::runner::telemetry::PRESENCE_VERSION;
pub use crate::status_board::ProjectionState;
use crate::status_board::{Entry, StatusBoard, show_others};
use crate::{models, runner};

const MIGRATION_PAUSE: Duration = Duration::from_secs(1);
/// Longest time until a waiting caller notices that a read model doesn't move.
const TROUBLE_POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectionStatus {
    pub name: String,
    /// Version of the read model's form that this program writes.
    pub version: i32,
    pub position: u64,
    /// End of the log at its last check.
    pub head: u64,
    /// Positions between the read model and that end.
    pub lag: u64,
    pub state: ProjectionState,
    /// Aggregates that could not be applied.
    pub parked: usize,
    pub error: Option<String>,
}

/// Why waiting for a read model failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WaitError {
    #[error("read model {name} has reached {position}, not yet {wanted}")]
    Behind { name: String, position: u64, wanted: u64 },
    #[error("PostgreSQL is not available: {0}")]
    Unavailable(String),
}

/// Handle to the projections. Clones share it.
#[derive(Clone)]
pub struct Projections {
    board: StatusBoard,
    db: Db,
    log: Arc<dyn Log>,
}

impl Projections {
    /// Runs all projections in this process. They wait while PostgreSQL is down.
    pub fn start(db: Db, log: Arc<dyn Log>, telemetry: Option<Arc<dyn TelemetryLog>>, tasks: &Tasks) -> Self {
        let board = StatusBoard::new();
        for model in models::all() {
            board.set_state(model.name(), ProjectionState::Starting, None);
        }
        let this = Self { board: board.clone(), db: db.clone(), log: log.clone() };
        db.watch(tasks);
        let (starting, parts) = (tasks.clone(), (db, log, board));
        tasks.spawn("migrations", async move {
            let (db, log, board) = parts;
            while let Err(error) = db.migrate().await {
                tracing::warn!(%error, "The read models' tables can't be brought up to date yet.");
                board.set_all(ProjectionState::Starting, Some(error.to_string()));
                tokio::select! {
                    () = starting.token().cancelled() => return,
                    () = tokio::time::sleep(MIGRATION_PAUSE) => {}
                }
            }
            starting.spawn(
                "projection followers",
                show_others(db.clone(), log.clone(), board.clone(), starting.token().clone()),
            );
            for model in models::all() {
                let run = runner::run(db.clone(), log.clone(), model, board.clone(), starting.clone());
                starting.spawn(model.name(), run);
            }
            if let Some(telemetry) = telemetry {
                let run = runner::telemetry::run(db, telemetry, board, starting.token().clone());
                starting.spawn(crate::PRESENCE, run);
            }
        });
        this
    }

    /// Shows projections that another process runs.
    pub fn follow(db: Db, log: Arc<dyn Log>, tasks: &Tasks) -> Self {
        let board = StatusBoard::new();
        for model in models::all() {
            board.set_state(model.name(), ProjectionState::Starting, None);
        }
        let this = Self { board: board.clone(), db: db.clone(), log: log.clone() };
        db.watch(tasks);
        tasks.spawn("projection followers", show_others(db, log, board, tasks.token().clone()));
        this
    }

    /// Waits until the named read models have reached a position. Meanwhile they don't gather larger batches.
    pub async fn wait_for(&self, names: &[&str], wanted: u64, timeout: Duration) -> Result<(), WaitError> {
        let _waiting = (!timeout.is_zero() && self.behind(names, wanted).is_some()).then(|| self.board.wait(names));
        self.wait_while(names, wanted, timeout, || true).await
    }

    /// Waits until the named read models have reached a position once. They may gather large batches meanwhile. A crash of PostgreSQL may
    /// have taken them back since, so a reader compares the position of what it read.
    pub async fn wait_patiently(&self, names: &[&str], wanted: u64, timeout: Duration) -> Result<(), WaitError> {
        let mut news = self.board.news.subscribe();
        let arrival = async { while self.behind(names, wanted).is_some() && news.changed().await.is_ok() {} };
        if tokio::time::timeout(timeout, arrival).await.is_ok() {
            return Ok(());
        }
        self.behind(names, wanted).map_or(Ok(()), Err)
    }

    /// Waits until the named read models have reached a position, up to a time limit, and only while all of them run.
    pub async fn wait_if_running(&self, names: &[&str], wanted: u64, timeout: Duration) -> Result<(), WaitError> {
        let _waiting = self.behind(names, wanted).is_some().then(|| self.board.wait(names));
        self.wait_while(names, wanted, timeout, || self.all_run(names)).await
    }

    async fn wait_while(
        &self,
        names: &[&str],
        wanted: u64,
        timeout: Duration,
        worthwhile: impl Fn() -> bool,
    ) -> Result<(), WaitError> {
        let mut news = self.board.news.subscribe();
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let behind = match self.behind(names, wanted) {
                None => match self.confirm(names, wanted).await {
                    Ok(()) => return Ok(()),
                    Err(lost) => lost,
                },
                Some(behind) => behind,
            };
            if timeout.is_zero() || !worthwhile() || tokio::time::Instant::now() >= deadline {
                return Err(behind);
            }
            let until = deadline.min(tokio::time::Instant::now() + TROUBLE_POLL);
            let _ = tokio::time::timeout_at(until, news.changed()).await;
        }
    }

    /// Reads from PostgreSQL a position that a crash could have taken back.
    async fn confirm(&self, names: &[&str], wanted: u64) -> Result<(), WaitError> {
        let stays = {
            let entries = self.board.entries();
            names.iter().all(|name| entries.get(*name).is_none_or(|entry| entry.durable_position() >= wanted))
        };
        if stays {
            return Ok(());
        }
        let stored = self.db.positions().await.map_err(|error| WaitError::Unavailable(error.to_string()))?;
        match stored.into_iter().find(|(name, position)| names.contains(&name.as_str()) && *position < wanted) {
            Some((name, position)) => Err(WaitError::Behind { name, position, wanted }),
            None => Ok(()),
        }
    }

    fn all_run(&self, names: &[&str]) -> bool {
        let entries = self.board.entries();
        names.iter().filter_map(|name| entries.get(*name)).all(|entry| {
            matches!(entry.state, ProjectionState::Running | ProjectionState::CaughtUp) && entry.error.is_none()
        })
    }

    /// The first of the named read models that hasn't reached a position.
    fn behind(&self, names: &[&str], wanted: u64) -> Option<WaitError> {
        let entries = self.board.entries();
        names.iter().find_map(|name| {
            let entry = entries.get(*name);
            let position = entry.map_or(0, |entry| entry.position);
            (position < wanted).then(|| match entry.and_then(|entry| entry.error.clone()) {
                Some(error) => WaitError::Unavailable(error),
                None => WaitError::Behind { name: (*name).to_owned(), position, wanted },
            })
        })
    }

    /// Tries the parked records of a projection again.
    pub async fn unpark(&self, name: &str) -> Result<runner::Unparked, DbError> {
        runner::unpark(&self.db, self.log.clone(), name).await
    }

    /// Waits until every projection has its tables.
    pub async fn started(&self) {
        self.leave(&[ProjectionState::Starting]).await;
    }

    /// Waits until the rows of every projection are of this program's version.
    pub async fn up_to_date(&self) {
        self.leave(&[ProjectionState::Starting, ProjectionState::Rebuilding]).await;
    }

    /// Waits until no projection is in one of these states.
    async fn leave(&self, states: &[ProjectionState]) {
        let mut news = self.board.news.subscribe();
        loop {
            let waits = |entry: &Entry| states.contains(&entry.state);
            let waiting = {
                let entries = self.board.entries();
                entries.is_empty() || entries.values().any(waits)
            };
            if !waiting || news.changed().await.is_err() {
                return;
            }
        }
    }

    /// The state of each projection, measured against the end of the log.
    pub async fn status(&self) -> Result<Vec<ProjectionStatus>, DbError> {
        let entries = self.board.entries().clone();
        // While the log is unavailable, its end is at least the position of the foremost reader.
        let foremost =
            entries.iter().filter(|(name, _)| *name != crate::PRESENCE).map(|(_, entry)| entry.position).max();
        let head = self.log.info().await.map(|info| info.last_sequence).unwrap_or(foremost.unwrap_or(0));
        Ok(entries
            .into_iter()
            .map(|(name, entry)| {
                let head = if name == crate::PRESENCE { entry.position } else { head };
                let lag = head.saturating_sub(entry.position);
                let at_end = !entry.owned && entry.state == ProjectionState::Running && lag == 0;
                metrics::gauge!("waybill_projection_lag_positions", "projection" => name.clone()).set(lag as f64);
                metrics::gauge!("waybill_projection_parked_aggregates", "projection" => name.clone())
                    .set(entry.parked as f64);
                ProjectionStatus {
                    version: models::version_of(&name).unwrap_or(PRESENCE_VERSION),
                    name,
                    position: entry.position,
                    head,
                    lag,
                    state: if at_end { ProjectionState::CaughtUp } else { entry.state },
                    parked: entry.parked,
                    error: entry.error,
                }
            })
            .collect())
    }

    /// Changes whenever a read model has moved.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.board.news.subscribe()
    }
}
