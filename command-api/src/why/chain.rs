//! The chain of causes of an event, walked through the log: from the event back to the request of a person, or to what a device did by itself.
//!
//! Every record names the one that led to it (ADR 23). Records of the device itself are in memory, those of other aggregates come from the
//! archive.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::AggregateKey;
use event_store::{Entry, EventToken, Recorded};
use projections::ReadTx;
use projections::archive::{AuditEntry, entries_at};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::sentence;
use crate::http::Problem;

/// Most links of a chain. An update of a campaign has some 20, and some 5 for each further attempt.
const LINKS_MAX: usize = 500;

/// One event of a chain.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "position": "1790000000123-42.0", "type": "update.confirmed", "aggregate": "device", "aggregate_id": "d-1", "detail": "it runs 2.0.0",
    "recorded_at": "2030-03-07T22:14:09Z", "actor": "device:d-1", "correlation_id": "0198d2f3-0000-7000-8000-000000000001",
}))]
pub(crate) struct LinkBody {
    /// `{created_ms of the log}-{sequence}.{index in its record}`
    position: String,
    #[serde(rename = "type")]
    kind: String,
    aggregate: String,
    aggregate_id: String,
    /// What happened, as a sentence.
    detail: String,
    recorded_at: DateTime<Utc>,
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    correlation_id: Uuid,
}

/// A chain of causes.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ChainBody {
    /// From the first cause to the event that is explained.
    pub(super) links: Vec<LinkBody>,
    /// The first link isn't the first cause: a record before it is not known, can't be read, or the chain has more than 500 links.
    pub(super) is_cut: bool,
}

/// The events of a device, by the sequence number of their record.
pub(super) type OwnEvents = BTreeMap<u64, Vec<Recorded<Value>>>;

/// Walks the chain of causes of one event of a device.
pub(super) async fn of_event(
    tx: &mut ReadTx,
    incarnation_ms: u64,
    key: &AggregateKey,
    own: &OwnEvents,
    event: &Recorded<Value>,
) -> Result<ChainBody, Problem> {
    let mut chain = ChainBody::default();
    let mut last = event.clone();
    let mut of = key.clone();
    let mut record: Vec<Recorded<Value>> = own.get(&event.position.sequence).cloned().unwrap_or_default();
    loop {
        // Within a record each event follows from those before it, if they have the same cause.
        let is_before = |one: &&Recorded<Value>| {
            let of_thread = (one.meta.correlation_id, one.meta.causation_position);
            one.position <= last.position && of_thread == (last.meta.correlation_id, last.meta.causation_position)
        };
        chain.links.extend(record.iter().filter(is_before).rev().map(|event| link(incarnation_ms, &of, event)));
        let Some(cause) = last.meta.causation_position else {
            // Older records name a cause without its position.
            chain.is_cut = last.meta.causation_id.is_some();
            break;
        };
        if chain.links.len() >= LINKS_MAX || cause >= last.position.sequence {
            chain.is_cut = true;
            break;
        }
        if let Some(events) = own.get(&cause) {
            (of, record) = (key.clone(), events.clone());
        } else {
            let entries = entries_at(tx, &key.tenant, cause).await?;
            let events = entries.into_iter().filter_map(|AuditEntry { key, entry }| match entry {
                Entry::Event(event) => Some((key, event)),
                Entry::Unreadable(_) => None,
            });
            let (keys, events): (Vec<_>, Vec<_>) = events.unzip();
            let Some(first) = keys.into_iter().next() else {
                chain.is_cut = true;
                break;
            };
            (of, record) = (first, events);
        }
        let continues = |one: &&Recorded<Value>| one.meta.correlation_id == last.meta.correlation_id;
        let Some(next) = record.iter().rfind(continues).or(record.last()).cloned() else {
            chain.is_cut = true;
            break;
        };
        last = next;
    }
    chain.links.reverse();
    Ok(chain)
}

fn link(incarnation_ms: u64, key: &AggregateKey, event: &Recorded<Value>) -> LinkBody {
    LinkBody {
        position: EventToken { incarnation_ms, position: event.position }.to_string(),
        kind: event.event["type"].as_str().unwrap_or_default().to_owned(),
        aggregate: key.kind.to_string(),
        aggregate_id: key.id.to_string(),
        detail: sentence::of_event(&event.event),
        recorded_at: event.recorded_at,
        actor: event.meta.actor.to_string(),
        reason: event.meta.reason.as_ref().and_then(|reason| reason.plain().cloned()),
        correlation_id: event.meta.correlation_id,
    }
}
