//! Events of network servers as they came, until they are handled.
//!
//! Stream NETWORK, subject `net.{tenant}`. It is a queue: a message is gone once it is acknowledged. An event with an id is kept once within
//! [`crate::streams::NETWORK_DUPLICATES_WITHIN`], even if it comes by webhook and by MQTT. The stream refuses further messages
//! ([`AppendError::NoSpace`]) when it is full, and those of a tenant that has the most that may wait: that is the back-pressure to the sender.
//! The bytes of a tenant are estimated here, so that a tenant with large events doesn't fill the queue for all others.

mod memory;
mod share;

use std::collections::BTreeMap;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use bytes::Bytes;
use domain::TenantId;

use self::share::{Shares, Waiting};
use crate::error::{AppendError, StoreError};
use crate::header_text::header_text;
use crate::jetstream::append::publish;
use crate::jetstream_api::{ApiError, ask};
use crate::streams::{NETWORK, NETWORK_BODY_MAX_BYTES};

pub use memory::MemoryRawEvents;

/// Header: how it came.
const SOURCE_HEADER: &str = "Waybill-Source";
/// Header: the kind of event that the sender has named.
const EVENT_HEADER: &str = "Waybill-Event";
/// Header: the last part of the webhook's route, if it has one.
const ROUTE_HEADER: &str = "Waybill-Route";
/// Header: topic or route, for people.
const ORIGIN_HEADER: &str = "Waybill-Origin";
const PREFIX: &str = "net.";

/// How an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawSource {
    Webhook,
    Mqtt,
}

/// An event of a network server as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct RawEvent {
    pub tenant: TenantId,
    pub source: RawSource,
    /// The kind of event that the sender has named: `?event=` or a level of the topic.
    pub event: Option<String>,
    /// The last part of the webhook's route, if it has one.
    pub route: Option<String>,
    /// Topic or route, for people.
    pub origin: String,
    /// Names it within its tenant, the same for each copy. None if the body has no such name.
    pub id: Option<String>,
    pub body: Bytes,
}

/// Where these events wait.
#[async_trait]
pub trait RawEvents: Send + Sync + 'static {
    /// Returns once the event, or an earlier copy of it, is stored.
    async fn keep(&self, event: &RawEvent) -> Result<(), AppendError>;
}

/// The stream NETWORK.
#[derive(Clone)]
pub struct JetStreamRawEvents {
    client: Client,
    shares: Shares,
}

/// The part of the stream's state that is used here.
#[derive(serde::Deserialize)]
struct Counted {
    state: Subjects,
}

#[derive(serde::Deserialize)]
struct Subjects {
    /// Messages of each subject that has any.
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

impl RawSource {
    pub fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Mqtt => "mqtt",
        }
    }
}

impl JetStreamRawEvents {
    /// The client is one of account WAYBILL.
    pub fn new(client: Client) -> Self {
        Self { client, shares: Shares::new() }
    }
}

#[async_trait]
impl RawEvents for JetStreamRawEvents {
    async fn keep(&self, event: &RawEvent) -> Result<(), AppendError> {
        let (subject, headers, bytes) = (subject(&event.tenant), event.headers(), event.body.len());
        self.shares.admit(&event.tenant, bytes, self).await?;
        publish(&self.client, NETWORK, subject, headers, event.body.clone(), NETWORK_BODY_MAX_BYTES).await?;
        self.shares.stored(&event.tenant, bytes);
        Ok(())
    }
}

#[async_trait]
impl Waiting for JetStreamRawEvents {
    async fn waiting(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let subject = subject(tenant);
        let body = serde_json::json!({"subjects_filter": subject}).to_string().into();
        let counted = ask::<Counted>(&self.client, format!("$JS.API.STREAM.INFO.{NETWORK}"), body).await?;
        let subjects = counted.map_err(ApiError::into_store_error)?.state.subjects;
        Ok(subjects.and_then(|subjects| subjects.get(&subject).copied()).unwrap_or(0))
    }
}

fn subject(tenant: &TenantId) -> String {
    format!("{PREFIX}{tenant}")
}

impl RawEvent {
    /// The id among all tenants.
    fn message_id(&self) -> Option<String> {
        self.id.as_ref().map(|id| format!("{}:{}", self.tenant, header_text(id)))
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SOURCE_HEADER, self.source.word());
        headers.insert(ORIGIN_HEADER, header_text(&self.origin));
        if let Some(id) = self.message_id() {
            headers.insert(NATS_MESSAGE_ID, id);
        }
        for (name, value) in [(EVENT_HEADER, &self.event), (ROUTE_HEADER, &self.route)] {
            if let Some(value) = value {
                headers.insert(name, header_text(value));
            }
        }
        headers
    }

    /// The event in a message of the stream; none if another program wrote it.
    pub fn of_message(subject: &str, headers: Option<&HeaderMap>, body: Bytes) -> Option<Self> {
        let tenant = TenantId::new(subject.strip_prefix(PREFIX)?).ok()?;
        let header = |name: &str| Some(headers?.get(name)?.as_str().to_owned()).filter(|text| !text.is_empty());
        let source =
            if header(SOURCE_HEADER)? == RawSource::Mqtt.word() { RawSource::Mqtt } else { RawSource::Webhook };
        let id = header(NATS_MESSAGE_ID.as_ref());
        Some(Self {
            id: id.and_then(|id| id.split_once(':').map(|(_, id)| id.to_owned())),
            event: header(EVENT_HEADER),
            route: header(ROUTE_HEADER),
            origin: header(ORIGIN_HEADER).unwrap_or_default(),
            tenant,
            source,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_from_its_message() {
        let event = RawEvent {
            tenant: TenantId::new("acme").unwrap(),
            source: RawSource::Mqtt,
            event: Some("up".to_owned()),
            route: None,
            origin: "application/1/device/0102030405060708/event/up".to_owned(),
            id: Some("up-1".to_owned()),
            body: Bytes::from_static(b"{}"),
        };
        let headers = event.headers();
        assert_eq!(headers.get(NATS_MESSAGE_ID).unwrap().as_str(), "acme:up-1", "ids of tenants are their own");
        assert_eq!(RawEvent::of_message("net.acme", Some(&headers), event.body.clone()), Some(event.clone()));
        let odd = RawEvent { event: Some("a\r\nb".to_owned()), route: Some("status".to_owned()), id: None, ..event };
        let read = RawEvent::of_message("net.acme", Some(&odd.headers()), odd.body.clone()).unwrap();
        assert_eq!((read.event.as_deref(), read.route.as_deref(), read.id), (Some("a??b"), Some("status"), None));
        for subject in ["net.", "net.Acme", "net.acme.x", "feed.acme"] {
            assert_eq!(RawEvent::of_message(subject, Some(&headers), Bytes::new()), None, "{subject}");
        }
        assert_eq!(RawEvent::of_message("net.acme", None, Bytes::new()), None);
    }
}
