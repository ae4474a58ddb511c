//! The status of each projection, for this process: written by its runners, or read from what other processes have stored.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_store::Log;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db::{Db, StoredStatus};
use crate::durable::Durable;
use crate::models;

/// Pause between two reads of projections of another process.
const FOLLOW_POLL: Duration = Duration::from_millis(100);
/// How often to check that the log is still the same one.
const LOG_POLL: Duration = Duration::from_secs(5);

/// The state of a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionState {
    Starting,
    Running,
    CaughtUp,
    /// Waits for PostgreSQL or for the log.
    Unavailable,
    /// Its rows are of an older version and are rebuilt from the log. The old ones serve meanwhile.
    Rebuilding,
    /// Can't continue with this program.
    Halted,
}

/// The status of each projection; written by the runners.
#[derive(Clone)]
pub(crate) struct StatusBoard {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
    pub(crate) news: watch::Sender<u64>,
    /// Number of callers that wait for a position of each projection over EVENTS.
    awaiting: Arc<BTreeMap<&'static str, watch::Sender<usize>>>,
}

/// A caller that waits for positions, until it is dropped.
pub(crate) struct Awaiting(Vec<watch::Sender<usize>>);

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.0.iter().for_each(|awaiting| awaiting.send_modify(|count| *count -= 1));
    }
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) state: ProjectionState,
    pub(crate) parked: usize,
    pub(crate) error: Option<String>,
    durable: Durable,
    progressed: bool,
    /// Run by this process. For projections of other processes their stored state is shown.
    pub(crate) owned: bool,
}

impl Entry {
    /// The position that survives a crash of PostgreSQL.
    pub(crate) fn durable_position(&self) -> u64 {
        self.durable.position(Instant::now().into_std())
    }
}

impl StatusBoard {
    pub(crate) fn new() -> Self {
        let awaiting = models::all().iter().map(|model| (model.name(), watch::Sender::new(0))).collect();
        Self { entries: Arc::default(), news: watch::Sender::new(0), awaiting: Arc::new(awaiting) }
    }

    /// Registers a caller that waits for a position of these projections: meanwhile they don't wait for more records.
    pub(crate) fn wait(&self, names: &[&str]) -> Awaiting {
        let awaiting: Vec<_> = names.iter().filter_map(|name| self.awaiting.get(name).cloned()).collect();
        awaiting.iter().for_each(|awaiting| awaiting.send_modify(|count| *count += 1));
        Awaiting(awaiting)
    }

    /// Number of callers that wait for a position of this projection.
    pub(crate) fn awaited(&self, name: &str) -> watch::Receiver<usize> {
        self.awaiting.get(name).map_or_else(|| watch::Sender::new(0).subscribe(), watch::Sender::subscribe)
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries();
        let entry = entries.entry(name.to_owned()).or_insert(Entry {
            position: 0,
            state: ProjectionState::Starting,
            parked: 0,
            error: None,
            durable: Durable::default(),
            progressed: false,
            owned: false,
        });
        change(entry);
        entry.durable.reaches(entry.position, Instant::now().into_std());
    }

    pub(crate) fn set_state(&self, name: &str, state: ProjectionState, error: Option<String>) {
        self.change(name, |entry| (entry.state, entry.error) = (state, error));
        self.news.send_modify(|count| *count += 1);
    }

    /// The same for all known projections.
    pub(crate) fn set_all(&self, state: ProjectionState, error: Option<String>) {
        for entry in self.entries().values_mut() {
            (entry.state, entry.error) = (state, error.clone());
        }
    }

    /// Whether this process runs the projection.
    pub(crate) fn own(&self, name: &str, owned: bool) {
        self.change(name, |entry| entry.owned = owned);
    }

    fn owns_all(&self) -> bool {
        self.entries().values().all(|entry| entry.owned)
    }

    /// Shows a projection of another process as stored. `incarnation_ms`: of the log that positions are measured against.
    fn show(&self, status: StoredStatus, incarnation_ms: u64) {
        let mut moved = false;
        let of_this_log = status.name == crate::PRESENCE || status.incarnation_ms == incarnation_ms;
        self.change(&status.name, |entry| {
            if entry.owned {
                return;
            }
            let position = if of_this_log { status.position } else { 0 };
            let outdated = models::version_of(&status.name).is_some_and(|wanted| status.version < wanted);
            let state = match status.state.as_str() {
                _ if outdated => ProjectionState::Rebuilding,
                "halted" => ProjectionState::Halted,
                "unavailable" => ProjectionState::Unavailable,
                "rebuilding" => ProjectionState::Rebuilding,
                _ if of_this_log => ProjectionState::Running,
                _ => ProjectionState::Starting,
            };
            moved = entry.position != position || entry.state != state;
            (entry.position, entry.state, entry.parked, entry.error) = (position, state, status.parked, status.error);
        });
        if moved {
            self.news.send_modify(|count| *count += 1);
        }
    }

    /// The same for all projections of other processes.
    fn set_others(&self, state: ProjectionState, error: &str) {
        for entry in self.entries().values_mut().filter(|entry| !entry.owned) {
            (entry.state, entry.error) = (state, Some(error.to_owned()));
        }
    }

    pub(crate) fn set_running(&self, name: &str, position: u64, parked: usize) {
        self.change(name, |entry| {
            (entry.position, entry.parked, entry.error) = (position, parked, None);
            entry.state = ProjectionState::Running;
        });
        self.news.send_modify(|count| *count += 1);
    }

    pub(crate) fn advance(&self, name: &str, position: u64, parked: usize) {
        self.change(name, |entry| {
            (entry.position, entry.parked, entry.progressed) = (position, parked, true);
            (entry.state, entry.error) = (ProjectionState::Running, None);
        });
        self.news.send_modify(|count| *count += 1);
    }

    /// It has written the rows of a deferred record. Its position is the same as before.
    pub(crate) fn wrote_beside(&self, name: &str, parked: usize) {
        self.change(name, |entry| (entry.parked, entry.progressed) = (parked, true));
        self.news.send_modify(|count| *count += 1);
    }

    pub(crate) fn caught_up(&self, name: &str, position: u64) {
        let mut moved = false;
        self.change(name, |entry| {
            moved = entry.position != position;
            (entry.position, entry.progressed) = (position, true);
            (entry.state, entry.error) = (ProjectionState::CaughtUp, None);
        });
        if moved {
            self.news.send_modify(|count| *count += 1);
        }
    }

    /// Whether the projection has moved since the previous call.
    pub(crate) fn made_progress(&self, name: &str) -> bool {
        let mut progressed = false;
        self.change(name, |entry| progressed = std::mem::take(&mut entry.progressed));
        progressed
    }
}

/// Shows the projections that other processes run, as long as there are any. A stop waits for a query under way: PostgreSQL would
/// log its broken connection.
pub(crate) async fn show_others(db: Db, log: Arc<dyn Log>, board: StatusBoard, stop: CancellationToken) {
    let mut log_seen: Option<(Instant, u64)> = None;
    while !stop.is_cancelled() {
        if !board.owns_all() {
            show_once(&db, &log, &board, &mut log_seen).await;
        }
        stop.run_until_cancelled(tokio::time::sleep(FOLLOW_POLL)).await;
    }
}

async fn show_once(db: &Db, log: &Arc<dyn Log>, board: &StatusBoard, log_seen: &mut Option<(Instant, u64)>) {
    if log_seen.is_none_or(|(at, _)| at.elapsed() >= LOG_POLL)
        && let Ok(info) = log.info().await
    {
        *log_seen = Some((Instant::now(), info.incarnation_ms));
    }
    let Some((_, incarnation_ms)) = *log_seen else { return };
    match db.projections().await {
        Ok(found) => found.into_iter().for_each(|status| board.show(status, incarnation_ms)),
        Err(error) => board.set_others(ProjectionState::Unavailable, &error.to_string()),
    }
}
