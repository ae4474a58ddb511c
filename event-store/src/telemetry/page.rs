//! Messages of one device in the order in which they were stored, a page at a time, read from the stream itself.

use std::time::Duration;

use async_nats::{Client, Message};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::{DeviceId, TenantId};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{TelemetryMessage, TelemetryRecord};
use crate::connection::REQUEST_TIMEOUT;
use crate::error::StoreError;
use crate::jetstream::read::{BatchEnd, batch_end};
use crate::jetstream_api::connected;
use crate::streams::TELEMETRY;

/// Most messages that are looked at for one page.
pub const LOOKED_AT_MAX: usize = 2_000;
/// Messages of one batch.
const BATCH_MAX: usize = 500;
/// Bytes of one batch.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How long the next message of a batch may take.
const MESSAGE_TIMEOUT: Duration = REQUEST_TIMEOUT;

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageStart {
    /// At the first message that was stored at this time or later.
    Time(DateTime<Utc>),
    /// After this sequence number; 0: at the first message that is kept.
    After(u64),
}

/// Messages of a device that were wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryPage<T> {
    pub items: Vec<T>,
    /// After which sequence number the next page begins; none at the end.
    pub next: Option<u64>,
}

/// Reads up to `limit` messages for which `wanted` gives something, until a message was stored after `until`. A page ends early when it has looked
/// at [`LOOKED_AT_MAX`].
pub(super) async fn read<T>(
    client: &Client,
    (tenant, device): (&TenantId, &DeviceId),
    from: PageStart,
    until: Option<DateTime<Utc>>,
    limit: usize,
    wanted: impl Fn(&TelemetryMessage, TelemetryRecord) -> Option<T>,
) -> Result<TelemetryPage<T>, StoreError> {
    connected(client)?;
    let subject = format!("telemetry.{tenant}.{device}");
    let (mut items, mut looked_at, mut start) = (Vec::new(), 0, start_of(from));
    loop {
        let batch = batch(client, &subject, start, BATCH_MAX.min(LOOKED_AT_MAX - looked_at)).await?;
        let mut last = None;
        for message in &batch.messages {
            let message = telemetry(message, tenant, device)?;
            if until.is_some_and(|until| message.stored_at > until) {
                return Ok(TelemetryPage { items, next: None });
            }
            looked_at += 1;
            last = Some(message.position);
            // A message that can't be decoded was written by another program or a newer version.
            items.extend(message.decode().ok().and_then(|record| wanted(&message, record)));
            if items.len() == limit || looked_at == LOOKED_AT_MAX {
                return Ok(TelemetryPage { items, next: last });
            }
        }
        match last {
            Some(last) if batch.pending > 0 => start = json!({ "seq": last + 1 }),
            _ => return Ok(TelemetryPage { items, next: None }),
        }
    }
}

fn start_of(from: PageStart) -> Value {
    match from {
        PageStart::Time(time) => json!({ "start_time": time.to_rfc3339() }),
        PageStart::After(sequence) => json!({ "seq": sequence + 1 }),
    }
}

struct Batch {
    messages: Vec<Message>,
    /// How many more follow the last one.
    pending: u64,
}

async fn batch(client: &Client, subject: &str, from: Value, number: usize) -> Result<Batch, StoreError> {
    let mut request = from;
    request["next_by_subj"] = subject.into();
    request["batch"] = number.into();
    request["max_bytes"] = BATCH_BYTES.into();
    let reply = client.new_inbox();
    let mut replies = client.subscribe(reply.clone()).await.map_err(unavailable)?;
    let api = format!("$JS.API.DIRECT.GET.{TELEMETRY}");
    client.publish_with_reply(api, reply, Bytes::from(request.to_string())).await.map_err(unavailable)?;
    let mut messages = Vec::new();
    loop {
        let message = timeout(MESSAGE_TIMEOUT, replies.next()).await.ok().flatten();
        let message = message.ok_or_else(|| StoreError::Unavailable("JetStream gave no answer in time".into()))?;
        match batch_end(&message)? {
            None => messages.push(message),
            Some(BatchEnd { last, pending }) => {
                let came = messages.last().and_then(sequence);
                if last.is_some() && last != came {
                    return Err(StoreError::Unavailable("replies were lost".to_owned()));
                }
                return Ok(Batch { messages, pending });
            }
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    Some(message.headers.as_ref()?.get(name)?.as_str())
}

fn sequence(message: &Message) -> Option<u64> {
    header(message, "Nats-Sequence")?.parse().ok()
}

fn telemetry(message: &Message, tenant: &TenantId, device: &DeviceId) -> Result<TelemetryMessage, StoreError> {
    let position = sequence(message).unwrap_or(0);
    let stored_at = header(message, "Nats-Time-Stamp").and_then(|text| text.parse().ok());
    let stored_at = stored_at.ok_or_else(|| StoreError::Corrupt { position, reason: "no time".to_owned() })?;
    let (tenant, device, body) = (tenant.clone(), device.clone(), message.payload.clone());
    Ok(TelemetryMessage { position, tenant, device, stored_at, body })
}
