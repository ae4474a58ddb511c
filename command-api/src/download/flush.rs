//! Adds the counts to PostgreSQL, each second and once more at the end.
//!
//! Invariant: no count is lost while the process runs, and none is added twice. A flush whose outcome is not known is sent again under its
//! number; newer counts go into the next one. A process that is killed loses at most the counts since its latest flush.

use std::time::Duration;

use projections::DbError;
use projections::downloads::{self, Counted, Flush};
use runtime::clock;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::counters::Counters;
use crate::state::App;

const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for PostgreSQL to store a flush.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Flushes until the last request is answered, which is when `served` ends, then once more.
pub(crate) async fn keep_flushing(app: App, mut served: oneshot::Receiver<()>) {
    let mut flusher = Flusher::new(clock::new_id());
    let mut serving = true;
    while serving {
        tokio::select! {
            _ended = &mut served => serving = false,
            () = tokio::time::sleep(FLUSH_INTERVAL) => {}
            () = app.downloads.crowded() => {}
        }
        let outcome = flush(&app, &mut flusher).await;
        flusher.tell(&outcome);
    }
}

/// Sends the flush that was not stored last time, then the counts since.
async fn flush(app: &App, flusher: &mut Flusher) -> Result<(), DbError> {
    add(app, flusher).await?;
    flusher.take(&app.downloads);
    add(app, flusher).await
}

async fn add(app: &App, flusher: &mut Flusher) -> Result<(), DbError> {
    if flusher.unstored.is_empty() {
        return Ok(());
    }
    let added = tokio::time::timeout(FLUSH_TIMEOUT, downloads::add(&app.db, flusher.latest, &flusher.unstored)).await;
    added.unwrap_or_else(|_| Err(DbError::Unavailable(format!("no answer within {FLUSH_TIMEOUT:?}"))))?;
    flusher.unstored.clear();
    Ok(())
}

/// The latest flush of one process and the counts after it.
struct Flusher {
    /// The latest flush that was begun.
    latest: Flush,
    /// Its counts; empty once it is stored.
    unstored: Vec<Counted>,
    failing: bool,
}

impl Flusher {
    fn new(writer: Uuid) -> Self {
        Self { latest: Flush { writer, number: 0 }, unstored: Vec::new(), failing: false }
    }

    /// Begins the next flush, if the latest one is stored.
    fn take(&mut self, counters: &Counters) {
        if self.unstored.is_empty() {
            self.unstored = counters.take();
            self.latest.number += u64::from(!self.unstored.is_empty());
        }
    }

    /// Logs the first failure in a row and its end.
    fn tell(&mut self, outcome: &Result<(), DbError>) {
        match outcome {
            Ok(()) if self.failing => tracing::info!("Counts of downloads are stored again."),
            Err(error) if !self.failing => {
                tracing::warn!(%error, "Counts of downloads can't be stored; they are kept and sent again.");
            }
            Ok(()) | Err(_) => {}
        }
        self.failing = outcome.is_err();
    }
}

#[cfg(test)]
mod tests {
    use domain::{FirmwareId, TenantId};

    use super::super::counters::CountedBy;
    use super::*;

    fn count(counters: &Counters, bytes: u64) {
        let (tenant, firmware) = (TenantId::new("acme").unwrap(), FirmwareId(Uuid::from_u128(1)));
        counters.tally(CountedBy { tenant, firmware, campaign: None, device: None }).sent(bytes);
    }

    fn flush_of(flusher: &Flusher) -> (u64, u64) {
        (flusher.latest.number, flusher.unstored.iter().map(|row| row.downloads.bytes).sum())
    }

    #[test]
    fn what_was_not_stored_is_sent_again_unchanged() {
        let (counters, mut flusher) = (Counters::default(), Flusher::new(Uuid::nil()));
        flusher.take(&counters);
        assert_eq!(flush_of(&flusher), (0, 0), "nothing to send");
        count(&counters, 10);
        flusher.take(&counters);
        assert_eq!(flush_of(&flusher), (1, 10));
        count(&counters, 1);
        flusher.take(&counters);
        assert_eq!(flush_of(&flusher), (1, 10), "not stored yet");
        flusher.unstored.clear();
        count(&counters, 2);
        flusher.take(&counters);
        assert_eq!(flush_of(&flusher), (2, 3));
    }

    #[tokio::test]
    async fn a_failed_flush_keeps_what_it_could_not_store() {
        let api = crate::tests::Api::new();
        let mut flusher = Flusher::new(Uuid::nil());
        count(&api.app.downloads, 10);
        for _ in 0..2 {
            let outcome = flush(&api.app, &mut flusher).await;
            assert!(matches!(outcome, Err(DbError::Unavailable(_))), "{outcome:?}");
            assert_eq!(flush_of(&flusher), (1, 10));
            count(&api.app.downloads, 1);
        }
        flusher.unstored.clear();
        flusher.take(&api.app.downloads);
        assert_eq!(flush_of(&flusher), (2, 2));
    }
}
