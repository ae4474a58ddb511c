//! The loop of all process managers: run, then wait for new events or for the interval; after an error, wait longer.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Actor, AggregateKey, Decider};
use event_store::{Committed, ExecuteError, StoreError};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use projections::DbError;
use runtime::clock;
use tokio_util::sync::CancellationToken;

use crate::{Context, Options};

/// Shortest pause between two runs, so that a burst of events causes one run.
const LOOK_GAP: Duration = Duration::from_millis(20);
/// Longest pause between two runs while there is more to do. A run is followed by a pause as long as itself, so that looking takes at most
/// half of the time.
const LOOK_GAP_MAX: Duration = Duration::from_millis(250);
/// Pause after a failed run.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// Why a run stopped. The next one starts over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    #[error("the read models can't be read: {0}")]
    Db(#[from] DbError),
    #[error("the event log can't be used: {0}")]
    Store(#[from] StoreError),
    #[error("a command failed: {0}")]
    Execute(#[from] ExecuteError),
}

impl ReconcileError {
    /// A server is down, so no command can be sent.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Db(error) => matches!(error, DbError::Unavailable(_)),
            Self::Store(error) | Self::Execute(ExecuteError::Store(error)) => error.is_unavailable(),
            Self::Execute(_) => false,
        }
    }
}

/// Whether there may be more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Idle,
    /// More is due at this time, even without new events.
    DueAt(DateTime<Utc>),
    Moved,
}

impl Progress {
    pub(crate) fn of(moved: bool) -> Self {
        if moved { Self::Moved } else { Self::Idle }
    }

    /// Combines the progress of two steps.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Moved, _) | (_, Self::Moved) => Self::Moved,
            (Self::DueAt(one), Self::DueAt(other)) => Self::DueAt(one.min(other)),
            (Self::Idle, other) | (other, Self::Idle) => other,
        }
    }

    /// Pause before the next run.
    fn pause(self, interval: Duration, now: DateTime<Utc>, gap: Duration) -> Duration {
        match self {
            Self::Idle => interval,
            Self::DueAt(due) => (due - now).to_std().unwrap_or_default().max(gap).min(interval),
            Self::Moved => gap,
        }
    }
}

/// Pause after a run of this length, before the next one may look.
fn gap_after(run: Duration) -> Duration {
    run.clamp(LOOK_GAP, LOOK_GAP_MAX)
}

/// A process manager: its name, its interval and its function.
#[derive(Clone, Copy)]
pub(crate) struct Reconciler {
    pub(crate) name: &'static str,
    pub(crate) interval: fn(&Options) -> Duration,
    /// Whether new events in the read models start a run.
    pub(crate) woken_by_events: bool,
    pub(crate) run: for<'a> fn(&'a Context) -> BoxFuture<'a, Result<Progress, ReconcileError>>,
}

impl Reconciler {
    /// The sender of its commands.
    pub(crate) fn actor(&self) -> Actor {
        actor(self.name)
    }
}

pub(crate) fn actor(name: &str) -> Actor {
    Actor::new(format!("process-manager:{name}")).unwrap_or_else(|_| unreachable!("a valid actor"))
}

/// Runs a process manager until the token is cancelled.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken, reconciler: Reconciler) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = context.projections.up_to_date() => {}
    }
    let mut news = context.projections.changed();
    let interval = (reconciler.interval)(&context.options);
    while !stop.is_cancelled() {
        news.mark_unchanged();
        context.pulse.begins(reconciler.name);
        let began = tokio::time::Instant::now();
        let outcome = (reconciler.run)(&context).await;
        let gap = gap_after(began.elapsed());
        context.pulse.ended(reconciler.name, outcome.as_ref().err().map(ToString::to_string));
        let rests = matches!(outcome, Ok(Progress::Idle | Progress::DueAt(_)));
        let pause = match outcome {
            Ok(progress) => progress.pause(interval, clock::now(), gap),
            Err(error) => {
                tracing::warn!(process_manager = reconciler.name, %error, "A run failed and is repeated.");
                metrics::counter!("waybill_process_manager_errors_total", "process_manager" => reconciler.name)
                    .increment(1);
                TROUBLE_PAUSE
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            changed = news.changed(), if reconciler.woken_by_events && rests => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(gap).await;
            }
        }
    }
}

/// Handles the outcome of a command to one aggregate. Only if the log itself is down the run ends: an error of one aggregate must not delay
/// the others.
pub(crate) fn log_and_continue<A: Decider>(
    outcome: Result<Committed<A>, ExecuteError>,
    key: &AggregateKey,
) -> Result<(), ReconcileError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(ExecuteError::Store(error)) if error.is_unavailable() => Err(error.into()),
        Err(ExecuteError::Store(error)) => {
            tracing::error!(aggregate = %key, %error, "A command can't be carried out.");
            metrics::counter!("waybill_process_manager_errors_total", "process_manager" => "aggregate").increment(1);
            Ok(())
        }
        // Refused, out of date, or another process was faster: the next run decides again.
        Err(
            ExecuteError::Rejected(_)
            | ExecuteError::VersionDiffers { .. }
            | ExecuteError::Conflict
            | ExecuteError::CommandIdReused,
        ) => Ok(()),
    }
}

/// Runs commands, at most `in_flight_max` at the same time; the first failure stops the rest.
pub(crate) async fn run_bounded(
    commands: Vec<BoxFuture<'_, Result<(), ReconcileError>>>,
    in_flight_max: usize,
) -> Result<(), ReconcileError> {
    futures::stream::iter(commands).buffer_unordered(in_flight_max).try_for_each(|()| async { Ok(()) }).await
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    #[test]
    fn the_next_tick_comes_when_the_first_of_all_is_due_and_never_behind_the_interval() {
        let now = DateTime::UNIX_EPOCH;
        let due = |ms: i64| Progress::DueAt(now + TimeDelta::milliseconds(ms));
        let pauses = |progress: Progress| progress.pause(INTERVAL, now, LOOK_GAP);
        assert_eq!(pauses(Progress::Idle.and(Progress::Idle)), INTERVAL);
        assert_eq!(pauses(Progress::Idle.and(due(300)).and(due(700))), Duration::from_millis(300));
        assert_eq!(pauses(due(700).and(due(300)).and(Progress::Idle)), Duration::from_millis(300));
        assert_eq!(pauses(due(300).and(Progress::Moved)), LOOK_GAP);
        assert_eq!((pauses(due(6_000)), pauses(due(-5))), (INTERVAL, LOOK_GAP));
    }

    #[test]
    fn a_run_is_followed_by_a_pause_as_long_as_itself_within_bounds() {
        let ms = Duration::from_millis;
        assert_eq!([1, 100, 9_000].map(|run| gap_after(ms(run))), [LOOK_GAP, ms(100), LOOK_GAP_MAX]);
    }
}
