//! Follows the log for all streams of the process.

use std::time::Duration;

use event_store::{Delivery, StoreError};
use futures::StreamExt;
use tokio::time::{Instant, sleep_until, timeout};

use super::backlog::CHANGES_MAX;
use super::hub::{Hub, Shared};
use crate::http::Problem;

/// How long the opening of a stream waits until the log is followed.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// How long it waits until a position that is in the log has been read.
const REACHED_WITHIN: Duration = Duration::from_secs(2);

impl Hub {
    /// Waits until the log is followed. The first to wait starts the reader.
    pub(super) async fn followed(&self) -> Result<(), Problem> {
        let mut progress = self.0.progress.subscribe();
        let failures = progress.borrow_and_update().failures;
        if self.0.claims_reader() {
            let (hub, stopped) = (self.clone(), self.0.tasks.token().clone());
            self.0.tasks.spawn("reader of live messages", async move {
                stopped.run_until_cancelled(hub.0.read()).await;
            });
        }
        let ready = progress.wait_for(|progress| progress.is_ready || progress.failures > failures);
        match timeout(READY_WITHIN, ready).await {
            Ok(Ok(progress)) if progress.is_ready => Ok(()),
            _ => Err(Problem::unavailable("starting", "the event log is not followed yet")),
        }
    }

    /// Waits until a position that is in the log has been read.
    pub(super) async fn reached(&self, position: u64) -> Result<(), Problem> {
        let mut progress = self.0.progress.subscribe();
        let reached = progress.wait_for(|progress| progress.through >= position);
        match timeout(REACHED_WITHIN, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Problem::unavailable("behind", "the event log is not read up to this position yet")),
        }
    }
}

impl Shared {
    async fn read(&self) {
        if let Err(error) = self.follow().await {
            tracing::warn!(%error, "The log can't be followed for live messages; their streams end.");
            self.fail();
        }
    }

    /// Until there is no stream, or the log can't be followed.
    async fn follow(&self) -> Result<(), StoreError> {
        let info = self.log.info().await?;
        let head = info.last_sequence;
        let mut from = head.saturating_sub(CHANGES_MAX as u64);
        self.begin(info.incarnation_ms, from);
        let mut deliveries = self.log.subscribe(from + 1);
        let mut is_ready = from >= head;
        if is_ready {
            self.ready();
        }
        let mut due = Instant::now();
        loop {
            tokio::select! {
                delivery = deliveries.next() => {
                    from = match delivery {
                        Some(Ok(Delivery::Record(record))) => {
                            self.apply(&record, Instant::now());
                            record.position
                        }
                        Some(Ok(Delivery::CaughtUp { position })) => {
                            self.read_through(position);
                            position
                        }
                        Some(Err(error)) => return Err(error),
                        None => return Err(StoreError::Unavailable("the log is gone".to_owned())),
                    };
                    if !is_ready && from >= head {
                        is_ready = true;
                        self.ready();
                    }
                }
                () = sleep_until(due) => {}
                () = self.opened.notified() => {}
            }
            let now = Instant::now();
            due = self.send_due(now);
            if is_ready && self.ends_when_idle(now) {
                return Ok(());
            }
        }
    }
}
