//! A position in EVENTS up to which a follower has done its work. One entry in the bucket of the leases.
//!
//! Only the owner of the follower's lease writes it, so plain writes are enough.

use async_nats::Client;
use async_nats::jetstream::kv;
use event_store::{LogInfo, PositionToken, StoreError, connection, streams};

pub(crate) struct Checkpoint {
    entries: kv::Store,
    key: &'static str,
    incarnation_ms: u64,
    saved: u64,
}

impl Checkpoint {
    /// Reads it. Without one, or with one of another log, it is `first` from now on.
    pub(crate) async fn open(client: &Client, key: &'static str, log: LogInfo, first: u64) -> Result<Self, StoreError> {
        let incarnation_ms = log.incarnation_ms;
        let entries = connection::jetstream(client).get_key_value(streams::LEASES).await.map_err(unavailable)?;
        let found = entries.get(key).await.map_err(unavailable)?;
        let token = found.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse::<PositionToken>().ok());
        // A log that ends before the checkpoint has lost records.
        let of_this_log =
            |token: &PositionToken| token.incarnation_ms == incarnation_ms && token.sequence <= log.last_sequence;
        if let Some(token) = token.filter(of_this_log) {
            return Ok(Self { entries, key, incarnation_ms, saved: token.sequence });
        }
        let token = PositionToken { incarnation_ms, sequence: first };
        entries.put(key, token.to_string().into()).await.map_err(unavailable)?;
        Ok(Self { entries, key, incarnation_ms, saved: first })
    }

    /// Every record up to here is done.
    pub(crate) fn position(&self) -> u64 {
        self.saved
    }

    /// Stores that all records up to `position` are done. A failed write is repeated later.
    pub(crate) async fn save(&mut self, position: u64) {
        if position <= self.saved {
            return;
        }
        let token = PositionToken { incarnation_ms: self.incarnation_ms, sequence: position };
        match self.entries.put(self.key, token.to_string().into()).await {
            Ok(_) => self.saved = position,
            Err(error) => tracing::debug!(%error, checkpoint = self.key, "position not written"),
        }
    }
}

fn unavailable(error: impl std::error::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
