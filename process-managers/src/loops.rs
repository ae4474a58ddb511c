//! The one loop of all process managers: tick, then wait for news or for the interval; after trouble, wait longer.

use std::sync::Arc;
use std::time::Duration;

use event_store::{ExecuteError, StoreError};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use projections::DbError;
use tokio_util::sync::CancellationToken;

use crate::{Context, Options};

/// Shortest pause between two ticks: lets a burst of events become one look.
const TICK_GAP: Duration = Duration::from_millis(20);
/// Pause after a tick that failed.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// Why a tick stopped. The next one starts over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TickError {
    #[error("the read models can't be read: {0}")]
    Db(#[from] DbError),
    #[error("the event log can't be used: {0}")]
    Store(#[from] StoreError),
    #[error("a command failed: {0}")]
    Execute(#[from] ExecuteError),
}

/// Whether there may be more to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Idle,
    Moved,
}

impl Progress {
    pub(crate) fn of(moved: bool) -> Self {
        if moved { Self::Moved } else { Self::Idle }
    }
}

/// A process manager: its name, its interval and what it does.
#[derive(Clone, Copy)]
pub(crate) struct Tick {
    pub(crate) name: &'static str,
    pub(crate) interval: fn(&Options) -> Duration,
    /// Whether news in the read models wake it.
    pub(crate) woken_by_events: bool,
    pub(crate) run: for<'a> fn(&'a Context) -> BoxFuture<'a, Result<Progress, TickError>>,
}

/// Runs a process manager until the token is cancelled.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken, tick: Tick) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = context.projections.started() => {}
    }
    let mut news = context.projections.changed();
    let interval = (tick.interval)(&context.options);
    while !stop.is_cancelled() {
        news.mark_unchanged();
        let pause = match (tick.run)(&context).await {
            Ok(Progress::Moved) => TICK_GAP,
            Ok(Progress::Idle) => interval,
            Err(error) => {
                tracing::warn!(process_manager = tick.name, %error, "A tick failed and is tried again.");
                metrics::counter!("waybill_process_manager_errors_total", "process_manager" => tick.name).increment(1);
                TROUBLE_PAUSE
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            changed = news.changed(), if tick.woken_by_events && pause == interval => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(TICK_GAP).await;
            }
        }
    }
}

/// Runs commands, at most `in_flight_max` at the same time; the first failure stops the rest.
pub(crate) async fn all(
    commands: Vec<BoxFuture<'_, Result<(), TickError>>>,
    in_flight_max: usize,
) -> Result<(), TickError> {
    futures::stream::iter(commands).buffer_unordered(in_flight_max).try_for_each(|()| async { Ok(()) }).await
}
