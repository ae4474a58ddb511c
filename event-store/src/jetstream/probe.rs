//! Checks whether JetStream stores anything, by overwriting a few bytes.
//!
//! The log keeps everything forever, so it is not used for the check. The bucket of the leases keeps one value per key, on the same disk.

use std::time::Duration;

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::append::publish;
use super::writes::{UNACKNOWLEDGED, Writes};
use crate::error::{AppendError, StoreError};
use crate::streams;

/// A result is reused for this long.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const STREAM: &str = "KV_LEASES";
const KEY: &str = "write-probe";
const BODY: &[u8] = b"{}";

/// The last result, and its time.
#[derive(Default)]
pub(super) struct Probe(Mutex<Option<(Instant, Result<(), StoreError>)>>);

impl Probe {
    /// The result of recent appends of the log, or else of a test write.
    pub(super) async fn ask(&self, client: &Client, writes: &Writes) -> Result<(), StoreError> {
        let now = Instant::now();
        if let Some(reason) = writes.failure(now) {
            return Err(StoreError::NoSpace(reason));
        }
        if writes.last_acknowledged().is_some_and(|acknowledged| now < acknowledged + PROBE_INTERVAL) {
            return Ok(());
        }
        let mut last = self.0.lock().await;
        if let Some((asked, answer)) = &*last
            && now < *asked + PROBE_INTERVAL
        {
            return answer.clone();
        }
        let answer = write(client).await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

async fn write(client: &Client) -> Result<(), StoreError> {
    let subject = format!("$KV.{}.{KEY}", streams::LEASES);
    let written = publish(client, STREAM, subject, HeaderMap::new(), Bytes::from_static(BODY), BODY.len()).await;
    match written {
        Ok(_) => Ok(()),
        Err(AppendError::Ambiguous(_)) => Err(StoreError::NoSpace(UNACKNOWLEDGED.to_owned())),
        Err(AppendError::NoSpace(reason)) => Err(StoreError::NoSpace(reason)),
        Err(error) => Err(StoreError::Unavailable(error.to_string())),
    }
}
