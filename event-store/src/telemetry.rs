//! What devices say that changes no rule: contact, progress within a phase, measurements. Kept for days, not for ever.
//!
//! Stream TELEMETRY, subject `telemetry.{tenant}.{device}`. No optimistic concurrency: a message stored twice does no harm.

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
use crate::jetstream::stream_info;
use crate::log::{LogInfo, Subscription};
use crate::streams::{TELEMETRY, TELEMETRY_MAX_BYTES};

/// What a telemetry message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TelemetryKind {
    /// A sign of life; `data` is the device's `status` message or `{}`.
    Contact,
    /// Progress of an update within a phase; `data` is the device's report with the update's ordinal.
    Progress,
    /// Measurements; `data` is the device's object as sent.
    Measurements,
}

/// Body of a telemetry message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TelemetryRecord {
    /// Version of this form.
    pub v: u16,
    pub kind: TelemetryKind,
    /// When the message reached us.
    pub received_at: DateTime<Utc>,
    /// When the device says it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_time: Option<DateTime<Utc>>,
    pub data: Box<RawValue>,
}

/// Version of [`TelemetryRecord`] written today.
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

impl TelemetryMessage {
    pub fn decode(&self) -> Result<TelemetryRecord, StoreError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| StoreError::Corrupt { position: self.position, reason: error.to_string() })
    }
}

/// What is followed of telemetry: the stream TELEMETRY, or a test's own messages.
#[async_trait]
pub trait TelemetryLog: Send + Sync + 'static {
    /// Which stream it is, and where it ends: it may have been made anew, since its messages aren't kept for ever.
    async fn info(&self) -> Result<LogInfo, StoreError>;

    /// All messages from a sequence number on, as far as they are still kept, then each as it is stored; never ends.
    fn subscribe(&self, from_sequence: u64) -> Subscription<TelemetryMessage>;
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
        let body = serde_json::to_vec(record).map_err(|error| AppendError::Refused(error.to_string()))?;
        let subject = format!("telemetry.{tenant}.{device}");
        publish(&self.client, TELEMETRY, subject, HeaderMap::new(), body.into(), TELEMETRY_MAX_BYTES).await
    }
}

#[async_trait]
impl TelemetryLog for Telemetry {
    async fn info(&self) -> Result<LogInfo, StoreError> {
        let info = stream_info(&self.client, TELEMETRY).await?;
        Ok(LogInfo { incarnation_ms: info.incarnation_ms(), last_sequence: info.state.last_seq })
    }

    fn subscribe(&self, from_sequence: u64) -> Subscription<TelemetryMessage> {
        let source = reader::Source { stream: TELEMETRY, filter: "telemetry.>".to_owned(), convert };
        reader::subscribe(self.client.clone(), source, from_sequence).boxed()
    }
}

fn convert(delivered: Delivered) -> Result<TelemetryMessage, StoreError> {
    let Delivered { position, stored_at, message } = delivered;
    let (tenant, device) = parse(&message.subject).ok_or_else(|| StoreError::Corrupt {
        position,
        reason: format!("{:?} is no subject of telemetry", message.subject.as_str()),
    })?;
    Ok(TelemetryMessage { position, tenant, device, stored_at, body: message.payload })
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
        for wrong in ["telemetry.acme", "telemetry.acme.a.b", "feed.acme.a"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
