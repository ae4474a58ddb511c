//! Chains of causes, walked through the log: from an event back to the request of a person, or to what a device did by itself.
//!
//! Every record names the one that led to it (ADR 23). Records of the device itself are in memory, those of other aggregates come from the
//! archive.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::AggregateKey;
use event_store::{Entry, EventToken, Position, Recorded};
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

/// Chains of causes, joined, in the order of the log.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ChainBody {
    /// From the first cause to the event that is explained.
    pub(super) links: Vec<LinkBody>,
    /// The first link isn't the first cause: a record before it is not known, can't be read, or the chain has more than 500 links.
    pub(super) is_cut: bool,
}

/// The events of a device, by the sequence number of their record.
pub(super) type OwnEvents = BTreeMap<u64, Vec<Recorded<Value>>>;

/// The device whose events are explained.
pub(super) struct Walked<'a> {
    pub(super) incarnation_ms: u64,
    pub(super) key: &'a AggregateKey,
    pub(super) own: &'a OwnEvents,
}

impl Walked<'_> {
    /// Walks the chains of causes of some events of the device, and joins them: causes are shared by most.
    pub(super) async fn chain_of(&self, tx: &mut ReadTx, events: &[Recorded<Value>]) -> Result<ChainBody, Problem> {
        let (mut links, mut is_cut) = (BTreeMap::new(), false);
        for event in events.iter().rev() {
            is_cut |= self.walk(tx, event, &mut links).await?;
        }
        Ok(ChainBody { links: links.into_values().collect(), is_cut })
    }

    /// Walks from one event until a cause is known already. Returns whether the first cause was not reached.
    async fn walk(
        &self,
        tx: &mut ReadTx,
        event: &Recorded<Value>,
        links: &mut BTreeMap<Position, LinkBody>,
    ) -> Result<bool, Problem> {
        let mut last = event.clone();
        let mut of = self.key.clone();
        let mut record = self.own.get(&event.position.sequence).cloned().unwrap_or_default();
        while !links.contains_key(&last.position) {
            // Within a record each event follows from those before it, if they have the same cause.
            let is_before = |one: &&Recorded<Value>| {
                let of_thread = (one.meta.correlation_id, one.meta.causation_position);
                one.position <= last.position && of_thread == (last.meta.correlation_id, last.meta.causation_position)
            };
            let before = record.iter().filter(is_before);
            links.extend(before.map(|event| (event.position, link(self.incarnation_ms, &of, event))));
            let Some(cause) = last.meta.causation_position else {
                // Older records name a cause without its position.
                return Ok(last.meta.causation_id.is_some());
            };
            if links.len() >= LINKS_MAX || cause >= last.position.sequence {
                return Ok(true);
            }
            match self.record_at(tx, cause).await? {
                Some(found) => (of, record) = found,
                None => return Ok(true),
            }
            let continues = |one: &&Recorded<Value>| one.meta.correlation_id == last.meta.correlation_id;
            let Some(next) = record.iter().rfind(continues).or(record.last()).cloned() else { return Ok(true) };
            last = next;
        }
        Ok(false)
    }

    /// What can be read of a record, with the aggregate that it is of.
    async fn record_at(
        &self,
        tx: &mut ReadTx,
        sequence: u64,
    ) -> Result<Option<(AggregateKey, Vec<Recorded<Value>>)>, Problem> {
        if let Some(events) = self.own.get(&sequence) {
            return Ok(Some((self.key.clone(), events.clone())));
        }
        let entries = entries_at(tx, &self.key.tenant, sequence).await?;
        let events = entries.into_iter().filter_map(|AuditEntry { key, entry }| match entry {
            Entry::Event(event) => Some((key, event)),
            Entry::Unreadable(_) => None,
        });
        let (keys, events): (Vec<_>, Vec<_>) = events.unzip();
        Ok(keys.into_iter().next().map(|key| (key, events)))
    }
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
