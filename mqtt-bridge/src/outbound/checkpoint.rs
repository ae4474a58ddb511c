//! Checkpoint of outbound: the position in EVENTS up to which all hints have been followed. One entry in the bucket of the leases.
//!
//! Only the owner of outbound writes it, so plain writes are enough. Without it, or with one of another log, all hints are followed again,
//! which is slow but harmless.

use async_nats::Client;
use async_nats::jetstream::kv;
use event_store::{LogInfo, PositionToken, StoreError, connection, streams};

const KEY: &str = "mqtt-outbound-position";

pub(super) struct Checkpoint {
    entries: kv::Store,
    incarnation_ms: u64,
    saved: u64,
}

impl Checkpoint {
    pub(super) async fn open(client: &Client, log: LogInfo) -> Result<Self, StoreError> {
        let incarnation_ms = log.incarnation_ms;
        let entries = connection::jetstream(client).get_key_value(streams::LEASES).await.map_err(unavailable)?;
        let found = entries.get(KEY).await.map_err(unavailable)?;
        let token = found.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse::<PositionToken>().ok());
        // A log that ends before the checkpoint has lost records.
        let of_this_log =
            |token: &PositionToken| token.incarnation_ms == incarnation_ms && token.sequence <= log.last_sequence;
        let saved = token.filter(of_this_log).map_or(0, |token| token.sequence);
        Ok(Self { entries, incarnation_ms, saved })
    }

    /// Every record up to here has been followed.
    pub(super) fn position(&self) -> u64 {
        self.saved
    }

    /// Stores that all records up to `position` have been followed. A failed write is repeated later.
    pub(super) async fn save(&mut self, position: u64) {
        if position <= self.saved {
            return;
        }
        let token = PositionToken { incarnation_ms: self.incarnation_ms, sequence: position };
        match self.entries.put(KEY, token.to_string().into()).await {
            Ok(_) => self.saved = position,
            Err(error) => tracing::debug!(%error, "position of outbound not written"),
        }
    }
}

fn unavailable(error: impl std::error::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
