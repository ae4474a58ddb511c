//! Messages of devices that no rule depends on: contact, progress within a phase, measurements. Kept for days, not forever.
//!
//! Stream TELEMETRY, subject `telemetry.{tenant}.{device}`. No optimistic concurrency: a message that is stored twice does no harm. Between
//! the messages are watermarks (`telemetry.heard`). A watermark says up to which time messages of devices have been processed. Everything
//! that follows from those messages is stored before it.

mod page;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::{DeviceId, TenantId};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{AppendError, StoreError};
use crate::jetstream::append::publish;
use crate::jetstream::reader::{self, Delivered};
use crate::jetstream_api::stream_info;
use crate::log::{LogInfo, Subscription};
use crate::streams::{TELEMETRY, TELEMETRY_MAX_BYTES};

pub use page::{LOOKED_AT_MAX, PageStart, TelemetryPage};

/// Kind of a telemetry message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TelemetryKind {
    /// Contact; `data` is the device's `status` message or `{}`.
    Contact,
    /// Progress of an update within a phase; `data` is the device's report with the update's ordinal.
    Progress,
    /// Measurements; `data` is the device's object as sent.
    Measurements,
    /// A piece of the log of an update; `data` has the update's ordinal and the text.
    Log,
    /// What the network server said about the device. It is no contact of the device itself.
    Notice,
}

/// Body of a telemetry message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TelemetryRecord {
    /// Version of this form.
    pub v: u16,
    pub kind: TelemetryKind,
    /// When Waybill received the message.
    pub received_at: DateTime<Utc>,
    /// Time according to the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_time: Option<DateTime<Utc>>,
    /// Position of the device's message in the broker's order; absent if the broker has none, and in old messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<BrokerPlace>,
    pub data: Box<RawValue>,
}

/// A message's position in the broker's store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerPlace {
    /// Creation time of the store, in milliseconds since 1970. The numbers of a new store start from 1.
    pub incarnation_ms: u64,
    pub sequence: u64,
}

/// Subject of the watermarks: one token less than that of any device.
const MARKS: &str = "telemetry.heard";

/// Version of [`TelemetryRecord`] and [`WatermarkRecord`] written today.
pub const TELEMETRY_FORMAT: u16 = 1;

/// A telemetry message as stored. The body is a [`TelemetryRecord`], not yet decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryMessage {
    /// Sequence number in TELEMETRY.
    pub position: u64,
    pub tenant: TenantId,
    pub device: DeviceId,
    pub stored_at: DateTime<Utc>,
    pub body: Bytes,
}

/// Body of a watermark: until when messages of devices have been processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkRecord {
    /// Version of this form.
    pub v: u16,
    /// When the bridge made it, by the bridge's clock.
    pub at: DateTime<Utc>,
    /// Everything that devices had sent by then is processed and stored; by the same clock.
    pub heard_until: DateTime<Utc>,
}

/// An entry of TELEMETRY.
#[derive(Debug, Clone, PartialEq)]
pub enum TelemetryEntry {
    Message(TelemetryMessage),
    /// None: written by another program, in an unknown form.
    Mark {
        position: u64,
        mark: Option<WatermarkRecord>,
    },
}

impl TelemetryEntry {
    /// Sequence number in TELEMETRY.
    pub fn position(&self) -> u64 {
        match self {
            Self::Message(message) => message.position,
            Self::Mark { position, .. } => *position,
        }
    }
}

impl TelemetryMessage {
    pub fn decode(&self) -> Result<TelemetryRecord, StoreError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| StoreError::Corrupt { position: self.position, reason: error.to_string() })
    }
}

/// Source of telemetry: the stream TELEMETRY, or messages of a test.
#[async_trait]
pub trait TelemetryLog: Send + Sync + 'static {
    /// Which stream it is, and where it ends. It may have been created again, because its messages are not kept forever.
    async fn info(&self) -> Result<LogInfo, StoreError>;

    /// All entries from a sequence number on, as far as they are still kept, then each as it is stored; never ends.
    fn subscribe(&self, from_sequence: u64) -> Subscription<TelemetryEntry>;
}

/// The stream TELEMETRY.
#[derive(Clone)]
pub struct Telemetry {
    client: Client,
}

impl Telemetry {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Stores a message; returns its sequence number once it is stored.
    pub async fn publish(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        record: &TelemetryRecord,
    ) -> Result<u64, AppendError> {
        self.publish_once(tenant, device, record, None).await
    }

    /// The same; a message with the id of one that was stored a short time ago isn't stored again.
    pub async fn publish_once(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        record: &TelemetryRecord,
        id: Option<&str>,
    ) -> Result<u64, AppendError> {
        let mut headers = HeaderMap::new();
        if let Some(id) = id {
            headers.insert(NATS_MESSAGE_ID, id);
        }
        self.store(format!("telemetry.{tenant}.{device}"), headers, record).await
    }

    /// Messages of a device in the order in which they were stored, as far as they are kept: up to `limit` for which `wanted` gives something, until
    /// one was stored after `until`. A page looks at [`LOOKED_AT_MAX`] messages at most.
    pub async fn page<T>(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        from: PageStart,
        until: Option<DateTime<Utc>>,
        limit: usize,
        wanted: impl Fn(&TelemetryMessage, TelemetryRecord) -> Option<T>,
    ) -> Result<TelemetryPage<T>, StoreError> {
        page::read(&self.client, (tenant, device), from, until, limit, wanted).await
    }

    /// Stores a watermark after the messages that it covers.
    pub async fn mark(&self, mark: WatermarkRecord) -> Result<u64, AppendError> {
        self.store(MARKS.to_owned(), HeaderMap::new(), &mark).await
    }

    async fn store(&self, subject: String, headers: HeaderMap, body: &impl Serialize) -> Result<u64, AppendError> {
        let body = serde_json::to_vec(body).map_err(|error| AppendError::Refused(error.to_string()))?;
        publish(&self.client, TELEMETRY, subject, headers, body.into(), TELEMETRY_MAX_BYTES).await
    }
}

#[async_trait]
impl TelemetryLog for Telemetry {
    async fn info(&self) -> Result<LogInfo, StoreError> {
        let info = stream_info(&self.client, TELEMETRY).await?;
        Ok(LogInfo { incarnation_ms: info.incarnation_ms(), last_sequence: info.state.last_seq })
    }

    fn subscribe(&self, from_sequence: u64) -> Subscription<TelemetryEntry> {
        let source = reader::Source { stream: TELEMETRY, filter: "telemetry.>".to_owned(), convert };
        reader::subscribe(self.client.clone(), source, from_sequence).boxed()
    }
}

fn convert(delivered: Delivered) -> Result<TelemetryEntry, StoreError> {
    let Delivered { position, stored_at, message } = delivered;
    if message.subject.as_str() == MARKS {
        return Ok(TelemetryEntry::Mark { position, mark: serde_json::from_slice(&message.payload).ok() });
    }
    let (tenant, device) = parse(&message.subject).ok_or_else(|| StoreError::Corrupt {
        position,
        reason: format!("{:?} is not a subject of telemetry", message.subject.as_str()),
    })?;
    Ok(TelemetryEntry::Message(TelemetryMessage { position, tenant, device, stored_at, body: message.payload }))
}

fn parse(subject: &str) -> Option<(TenantId, DeviceId)> {
    let (tenant, device) = subject.strip_prefix("telemetry.")?.split_once('.')?;
    Some((TenantId::new(tenant).ok()?, DeviceId::new(device).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_name_tenant_and_device() {
        let (tenant, device) = parse("telemetry.acme.AA:BB").unwrap();
        assert_eq!((tenant.as_str(), device.as_str()), ("acme", "AA:BB"));
        for wrong in ["telemetry.acme", "telemetry.acme.a.b", "feed.acme.a", MARKS] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
