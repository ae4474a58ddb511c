//! Records gathered into batches: bounded by count, bytes and time. A large one costs far less per record than many small ones.

use std::time::Duration;

use event_store::{Delivery, RawRecord, StoreError, Subscription};
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;

/// Most records of a batch, for a projection that lags. Larger ones cost hardly less per record, and need their memory in this process and in
/// PostgreSQL: decoded records, the rows that they touch, and the statements with these rows take some twenty times the bytes of the records.
const RECORDS_MAX: usize = 2_500;
/// Bytes after which a batch is closed.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// With this many records a batch doesn't wait for more.
const RECORDS_ENOUGH: usize = 500;

pub(crate) enum Batch {
    Records(Vec<RawRecord>),
    /// Everything up to here has been delivered.
    CaughtUp(u64),
}

pub(crate) struct Batches {
    source: Subscription,
    /// Has arrived, and isn't in a batch yet.
    arrived: Option<Result<Delivery, StoreError>>,
    /// Delivered after the last batch.
    held_back: Option<u64>,
    /// Number of callers that wait for positions.
    awaited: watch::Receiver<usize>,
    /// How long a batch waits for more records, if no caller waits for it.
    linger: Duration,
}

impl Batches {
    pub(crate) fn new(source: Subscription, awaited: watch::Receiver<usize>, linger: Duration) -> Self {
        Self { source, arrived: None, held_back: None, awaited, linger }
    }

    /// Whether a batch can begin without waiting.
    pub(crate) fn has_arrived(&mut self) -> bool {
        if self.arrived.is_none() {
            self.arrived = self.source.next().now_or_never().flatten();
        }
        self.arrived.is_some() || self.held_back.is_some()
    }

    pub(crate) async fn next(&mut self) -> Result<Batch, StoreError> {
        if let Some(position) = self.held_back.take() {
            return Ok(Batch::CaughtUp(position));
        }
        let ended = || StoreError::Unavailable("the subscription ended".to_owned());
        let arrived = match self.arrived.take() {
            Some(arrived) => Some(arrived),
            None => self.source.next().await,
        };
        let first = match arrived.ok_or_else(ended)?? {
            Delivery::Record(record) => record,
            Delivery::CaughtUp { position } => return Ok(Batch::CaughtUp(position)),
        };
        let mut bytes = first.body.len();
        let mut records = vec![first];
        let deadline = tokio::time::Instant::now() + self.linger;
        while records.len() < RECORDS_MAX && bytes < BYTES_MAX {
            let enough = records.len() >= RECORDS_ENOUGH;
            let over = async {
                if !enough {
                    let somebody_waits = self.awaited.wait_for(|count| *count > 0);
                    let _ = tokio::time::timeout_at(deadline, somebody_waits).await;
                }
            };
            let next = tokio::select! {
                biased;
                next = self.source.next() => next,
                () = over => break,
            };
            match next {
                None => return Err(ended()),
                Some(delivery) => match delivery? {
                    Delivery::Record(record) => {
                        bytes += record.body.len();
                        records.push(record);
                        self.held_back = None;
                    }
                    // More may come while this batch waits.
                    Delivery::CaughtUp { position } => self.held_back = Some(position),
                },
            }
        }
        Ok(Batch::Records(records))
    }
}
