//! One event of a record as it is stored, and the metadata of records and events.

use chrono::{DateTime, Utc};
use domain::{Actor, Sealed};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::position::Position;
use crate::threads::Link;

/// Actor, reason, cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    pub actor: Actor,
    /// The same id for everything that follows from one request.
    pub correlation_id: Uuid,
    /// The command whose record led to this one. None if its sender is the origin, or if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// Sequence number of that record in this log; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_position: Option<u64>,
    /// The time at which the command was decided.
    pub recorded_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Sealed<String>>,
}

/// One event with the schema version it was written in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredEvent {
    pub schema: u16,
    /// Correlation and cause of the event, if they differ from the record's because it belongs to another update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<EventMetadata>,
    pub event: Box<RawValue>,
}

/// Correlation and cause of one event, instead of its record's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMetadata {
    pub correlation_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_position: Option<u64>,
}

impl Metadata {
    /// Position of the record that led to this one.
    pub fn caused_at(&self) -> Option<Position> {
        self.causation_position.map(|sequence| Position { sequence, index: 0 })
    }
}

impl From<&Link> for EventMetadata {
    fn from(link: &Link) -> Self {
        Self {
            correlation_id: link.correlation_id,
            causation_id: link.cause.map(|record| record.command_id.0),
            causation_position: link.cause.map(|record| record.position),
        }
    }
}

impl StoredEvent {
    pub(crate) fn correlation_id(&self, record: &Metadata) -> Uuid {
        self.meta.as_ref().map_or(record.correlation_id, |meta| meta.correlation_id)
    }

    /// The metadata of this event, one of a record.
    pub fn metadata(&self, record: &Metadata) -> Metadata {
        match self.meta.clone() {
            None => record.clone(),
            Some(EventMetadata { correlation_id, causation_id, causation_position }) => {
                Metadata { correlation_id, causation_id, causation_position, ..record.clone() }
            }
        }
    }
}
