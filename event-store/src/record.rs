//! The commit record: what one command stored, as JSON.
//!
//! It has the events as the domain writes them, internally tagged with their stable name, each with its schema version. Metadata has the
//! actor, the reason and the cause. `v` is the version of this format; `enc` and `hash` are reserved for encryption and a hash chain.
//! Golden files in `golden/record` have every form ever written and are never edited.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::decider::EventTypes;
use domain::{Actor, CommandId, Sealed};
use serde::{Deserialize, Serialize};

use crate::command_hash::CommandHash;
use crate::error::StoreError;
use crate::request::Request;
use crate::stored_event::{EventMetadata, Metadata, StoredEvent};
use crate::threads::Links;
use crate::upcast;

/// Version of the record format written today.
pub const FORMAT: u16 = 1;

/// The events of one command, in order, none of them decoded.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format.
    pub v: u16,
    /// Version of the aggregate after the first event: 1 for a new one.
    pub version: u64,
    pub command_id: CommandId,
    /// Hexadecimal digest of the command.
    pub command_hash: String,
    pub meta: Metadata,
    pub events: Vec<StoredEvent>,
    /// Reserved: how the events are encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enc: Option<String>,
    /// Reserved: link to the record before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

impl Record {
    /// The record in a message's body; `position` names it in errors.
    pub fn decode(position: u64, body: &[u8]) -> Result<Self, StoreError> {
        let corrupt = |reason: String| StoreError::Corrupt { position, reason };
        let record: Self = serde_json::from_slice(body).map_err(|error| corrupt(error.to_string()))?;
        match &record {
            Record { v, .. } if *v > FORMAT => {
                Err(StoreError::UnknownEvent { event_type: "record".to_owned(), schema: *v, position })
            }
            Record { enc: Some(enc), .. } => {
                Err(corrupt(format!("encrypted with {enc:?}, which this program cannot read")))
            }
            Record { events, .. } if events.is_empty() => Err(corrupt("no events".to_owned())),
            _ => Ok(record),
        }
    }

    /// The events of this record, upcast to today's schemas.
    pub fn decode_events<E: EventTypes>(&self, position: u64) -> Result<Vec<E>, StoreError> {
        self.events.iter().map(|stored| upcast::decode(stored, position)).collect()
    }

    /// Version of the aggregate after the first event.
    pub fn first_version(&self) -> u64 {
        self.version
    }

    /// Version of the aggregate after the last event.
    pub fn last_version(&self) -> u64 {
        self.version + self.events.len() as u64 - 1
    }
}

/// The same as [`Record`], with typed events, so that they are serialized directly.
#[derive(Serialize)]
#[serde(bound = "E: EventTypes")]
struct Outgoing<'a, E> {
    v: u16,
    version: u64,
    command_id: CommandId,
    command_hash: &'a str,
    meta: OutgoingMetadata<'a>,
    events: OutgoingEvents<'a, E>,
}

#[derive(Serialize)]
struct OutgoingMetadata<'a> {
    actor: &'a Actor,
    #[serde(flatten)]
    link: EventMetadata,
    recorded_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Sealed<String>>,
}

struct OutgoingEvents<'a, E> {
    events: &'a [E],
    links: &'a Links,
}

impl<E: EventTypes> Serialize for OutgoingEvents<'_, E> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct One<'a, E> {
            schema: u16,
            #[serde(skip_serializing_if = "Option::is_none")]
            meta: Option<EventMetadata>,
            event: &'a E,
        }
        serializer.collect_seq(self.events.iter().zip(&self.links.events).map(|(event, link)| {
            let meta = (*link != self.links.record).then(|| link.into());
            One { schema: event.schema_version(), meta, event }
        }))
    }
}

/// The body of the message that stores `events`, the first of which makes the aggregate's `version`.
pub(crate) fn encode<C, E: EventTypes>(
    request: &Request<C>,
    links: &Links,
    command_hash: &CommandHash,
    version: u64,
    events: &[E],
) -> Result<Bytes, serde_json::Error> {
    let outgoing = Outgoing {
        v: FORMAT,
        version,
        command_id: request.id,
        command_hash: &command_hash.to_hex(),
        meta: OutgoingMetadata {
            actor: &request.actor,
            link: (&links.record).into(),
            recorded_at: request.now,
            traceparent: request.traceparent.as_deref(),
            reason: request.reason.as_ref(),
        },
        events: OutgoingEvents { events, links },
    };
    serde_json::to_vec(&outgoing).map(Bytes::from)
}
