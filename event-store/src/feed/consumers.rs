//! Pull consumers on FEED that a tenant asks for: durable, filtered to that tenant's subjects, few.
//!
//! Analysts can't make consumers (ADR 6), so the service makes them, each named `{tenant}_{name}`: a tenant id has no `_`, so no two
//! tenants share a name. JetStream remembers what is read and acknowledged.

use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::TenantId;
use domain::events::{CampaignEvent, DeviceEvent, FirmwareEvent};
use domain::plan::PlanEvent;
use serde::Deserialize;
use serde_json::json;

use crate::error::StoreError;
use crate::jetstream_api::{ApiError, ask};
use crate::streams::FEED;

/// Most consumers of one tenant.
pub const CONSUMERS_MAX: usize = 16;
/// Longest name, in bytes.
pub const NAME_MAX_BYTES: usize = 32;
/// After this long without an acknowledgement a message is delivered again.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages that are delivered and not acknowledged, at most.
pub const ACK_PENDING_MAX: u32 = 1_000;

const CONSUMER_NOT_FOUND: u64 = 10_014;
const CONSUMER_EXISTS: u64 = 10_148;

/// Events of FEED below a tenant: `>`, `update.*`, `*.confirmed`, `campaign.finished`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedFilter(String);

/// Form of a filter, for error texts.
pub const FILTER_FORM: &str = "an event of FEED such as campaign.finished, with * for any aggregate or event, or > for everything; at least one event must match";

impl FeedFilter {
    /// The filter, if at least one event of FEED matches it.
    pub fn parse(text: &str) -> Option<Self> {
        let kinds = || {
            let types = [DeviceEvent::TYPES, CampaignEvent::TYPES, FirmwareEvent::TYPES, PlanEvent::TYPES];
            types.into_iter().flatten().filter_map(|(name, _)| name.split_once('.'))
        };
        let fits = match text.split_once('.') {
            None => text == ">",
            Some((aggregate, event)) => kinds().any(|(known_aggregate, known_event)| {
                (aggregate == "*" || aggregate == known_aggregate)
                    && (event == "*" || event == ">" || event == known_event)
            }),
        };
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text can name a consumer: lower-case letters, digits and `-`.
pub fn is_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_MAX_BYTES).contains(&text.len()) && text.bytes().all(inside) && !text.starts_with('-')
}

/// A tenant's consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedConsumer {
    /// Its name within the tenant.
    pub name: String,
    /// Its name in JetStream.
    pub durable: String,
    /// The subjects that it delivers.
    pub subject: String,
    pub created_at: DateTime<Utc>,
    /// Messages that wait to be delivered.
    pub pending: u64,
    /// Messages that are delivered and not acknowledged.
    pub ack_pending: u64,
}

/// Why a consumer can't be created.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    #[error("there is a consumer of this name with another filter")]
    Exists,
    #[error("there are {CONSUMERS_MAX} consumers already; delete one first")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Deserialize)]
struct Info {
    name: String,
    created: DateTime<Utc>,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    filter_subject: String,
}

/// The consumers on FEED that tenants have requested.
#[derive(Clone)]
pub struct FeedConsumers {
    client: Client,
}

impl FeedConsumers {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes a consumer that begins with the oldest message kept, or returns the existing one; true if it is new.
    pub async fn create(
        &self,
        tenant: &TenantId,
        name: &str,
        filter: &FeedFilter,
    ) -> Result<(FeedConsumer, bool), ConsumerError> {
        let subject = subject(tenant, filter);
        if let Some(found) = self.get(tenant, name).await? {
            return if found.subject == subject { Ok((found, false)) } else { Err(ConsumerError::Exists) };
        }
        if self.list(tenant).await?.len() >= CONSUMERS_MAX {
            return Err(ConsumerError::TooMany);
        }
        let durable = durable(tenant, name);
        let config = json!({
            "durable_name": durable,
            "name": durable,
            "description": "asked for by a tenant",
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": u64::try_from(ACK_WAIT.as_nanos()).unwrap_or(u64::MAX),
            "max_ack_pending": ACK_PENDING_MAX,
            "replay_policy": "instant",
            "filter_subject": subject,
        });
        let body = json!({ "stream_name": FEED, "config": config, "action": "create" });
        let api = format!("$JS.API.CONSUMER.CREATE.{FEED}.{durable}");
        match ask::<Info>(&self.client, api, body.to_string().into()).await? {
            Ok(info) => Ok((consumer(tenant, info), true)),
            Err(ApiError { err_code: CONSUMER_EXISTS, .. }) => Err(ConsumerError::Exists),
            Err(error) => Err(error.into_store_error().into()),
        }
    }

    pub async fn get(&self, tenant: &TenantId, name: &str) -> Result<Option<FeedConsumer>, StoreError> {
        let api = format!("$JS.API.CONSUMER.INFO.{FEED}.{}", durable(tenant, name));
        match ask::<Info>(&self.client, api, Bytes::new()).await? {
            Ok(info) => Ok(Some(consumer(tenant, info))),
            Err(ApiError { err_code: CONSUMER_NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error.into_store_error()),
        }
    }

    /// All consumers of a tenant, by name.
    pub async fn list(&self, tenant: &TenantId) -> Result<Vec<FeedConsumer>, StoreError> {
        #[derive(Deserialize)]
        struct Page {
            total: usize,
            #[serde(default)]
            consumers: Option<Vec<Info>>,
        }
        let (mut found, mut offset) = (Vec::new(), 0);
        loop {
            let body = json!({ "offset": offset }).to_string();
            let page = ask::<Page>(&self.client, format!("$JS.API.CONSUMER.LIST.{FEED}"), body.into()).await?;
            let Page { total, consumers } = page.map_err(ApiError::into_store_error)?;
            let consumers = consumers.unwrap_or_default();
            offset += consumers.len();
            let done = consumers.is_empty() || offset >= total;
            let prefix = durable(tenant, "");
            found.extend(consumers.into_iter().filter(|info| info.name.starts_with(&prefix)));
            if done {
                break;
            }
        }
        let mut found: Vec<_> = found.into_iter().map(|info| consumer(tenant, info)).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Deletes a consumer; false if there is none.
    pub async fn delete(&self, tenant: &TenantId, name: &str) -> Result<bool, StoreError> {
        let api = format!("$JS.API.CONSUMER.DELETE.{FEED}.{}", durable(tenant, name));
        match ask::<serde::de::IgnoredAny>(&self.client, api, Bytes::new()).await? {
            Ok(_) => Ok(true),
            Err(ApiError { err_code: CONSUMER_NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error.into_store_error()),
        }
    }
}

fn durable(tenant: &TenantId, name: &str) -> String {
    format!("{tenant}_{name}")
}

fn subject(tenant: &TenantId, filter: &FeedFilter) -> String {
    format!("feed.{tenant}.{}", filter.as_str())
}

fn consumer(tenant: &TenantId, info: Info) -> FeedConsumer {
    FeedConsumer {
        name: info.name.strip_prefix(&durable(tenant, "")).unwrap_or(&info.name).to_owned(),
        durable: info.name,
        subject: info.config.filter_subject,
        created_at: info.created,
        pending: info.num_pending,
        ack_pending: info.num_ack_pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_lets_some_event_of_feed_through() {
        for good in [">", "update.*", "update.>", "*.confirmed", "campaign.finished", "*.*", "device.version_regressed"]
        {
            assert!(FeedFilter::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "*",
            "campain.*",
            "update.finished",
            "slots.granted",
            "claim.*",
            "update.confirmed.x",
            "a b",
            ">.>",
            "update.",
            ".*",
        ] {
            assert!(FeedFilter::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn names_are_one_token_and_no_tenants_share_one() {
        for bad in ["", "A", "a_b", "a.b", "-a", "a*", "a>", &"a".repeat(33)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_name("reports-2"));
        let tenant = |text: &str| TenantId::new(text).unwrap();
        assert_ne!(durable(&tenant("a-b"), "c"), durable(&tenant("a"), "b-c"));
    }
}
