//! How much Waybill's streams hold, for those who run the installation.

use async_nats::Client;
use bytes::Bytes;
use serde::Deserialize;

use crate::error::StoreError;
use crate::jetstream_api::{ApiError, ask};
use crate::streams::{DEAD_LETTERS, EVENTS, FEED, LEASES, NETWORK, SECRETS, SESSIONS, TELEMETRY, TICKETS};

/// A stream, and how much it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSize {
    pub name: String,
    pub messages: u64,
    pub bytes: u64,
    pub first_sequence: u64,
    pub last_sequence: u64,
    /// How much it may hold; none if it has no limit.
    pub max_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Info {
    config: Config,
    state: State,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    max_bytes: i64,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
}

/// Asks JetStream about the streams. Clones share the connection.
#[derive(Clone)]
pub struct StreamSizes {
    client: Client,
}

impl StreamSizes {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// All streams that there are.
    pub async fn read(&self) -> Result<Vec<StreamSize>, StoreError> {
        let streams = [EVENTS, FEED, TELEMETRY, DEAD_LETTERS, NETWORK].map(str::to_owned);
        let buckets = [LEASES, SECRETS, SESSIONS, TICKETS].map(|bucket| format!("KV_{bucket}"));
        let all = streams.into_iter().chain(buckets).map(|name| self.size_of(name));
        let sizes = futures::future::try_join_all(all).await?;
        Ok(sizes.into_iter().flatten().collect())
    }

    /// None if there is no such stream.
    async fn size_of(&self, name: String) -> Result<Option<StreamSize>, StoreError> {
        let asked = ask::<Info>(&self.client, format!("$JS.API.STREAM.INFO.{name}"), Bytes::new()).await?;
        let Info { config, state } = match asked {
            Ok(info) => info,
            Err(ApiError { code: 404, .. }) => return Ok(None),
            Err(error) => return Err(error.into_store_error()),
        };
        Ok(Some(StreamSize {
            name,
            messages: state.messages,
            bytes: state.bytes,
            first_sequence: state.first_seq,
            last_sequence: state.last_seq,
            max_bytes: u64::try_from(config.max_bytes).ok().filter(|limit| *limit > 0),
        }))
    }
}
