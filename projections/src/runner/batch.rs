//! Records gathered into batches: bounded by count, bytes and time.

use std::time::Duration;

use event_store::{Delivery, RawRecord, StoreError, Subscription};
use futures::StreamExt;

/// Most records of a batch.
const RECORDS_MAX: usize = 2_000;
/// Bytes after which a batch is closed.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a batch waits for more records.
const LINGER: Duration = Duration::from_millis(5);

pub(crate) enum Batch {
    Records(Vec<RawRecord>),
    /// Everything up to here has been delivered.
    CaughtUp(u64),
}

pub(crate) struct Batches {
    source: Subscription,
    /// Delivered behind the last batch.
    held_back: Option<u64>,
}

impl Batches {
    pub(crate) fn new(source: Subscription) -> Self {
        Self { source, held_back: None }
    }

    pub(crate) async fn next(&mut self) -> Result<Batch, StoreError> {
        if let Some(position) = self.held_back.take() {
            return Ok(Batch::CaughtUp(position));
        }
        let ended = || StoreError::Unavailable("the subscription ended".to_owned());
        let first = match self.source.next().await.ok_or_else(ended)?? {
            Delivery::Record(record) => record,
            Delivery::CaughtUp { position } => return Ok(Batch::CaughtUp(position)),
        };
        let mut bytes = first.body.len();
        let mut records = vec![first];
        let deadline = tokio::time::Instant::now() + LINGER;
        while records.len() < RECORDS_MAX && bytes < BYTES_MAX {
            match tokio::time::timeout_at(deadline, self.source.next()).await {
                Err(_) => break,
                Ok(None) => return Err(ended()),
                Ok(Some(delivery)) => match delivery? {
                    Delivery::Record(record) => {
                        bytes += record.body.len();
                        records.push(record);
                    }
                    Delivery::CaughtUp { position } => {
                        self.held_back = Some(position);
                        break;
                    }
                },
            }
        }
        Ok(Batch::Records(records))
    }
}
