//! The public feed of Waybill: one CloudEvents 1.0 message per public event.
//!
//! Subject `feed.{tenant}.{aggregate}.{event}`, NATS binding, binary mode. The content of each message is mapped by hand in `data`: no free
//! text except names of campaigns, no reasons, no hashes of tokens, nothing internal (slots, claims, registration tokens). Names and shapes are a stable contract: `golden/feed` has
//! one file per type and version, which is never edited. If fields were added, a further file names the addition (`…v1.name.json`).
//! [`forwarder`] writes the messages to the stream.

mod campaign;
mod command;
pub mod consumers;
mod data;
mod device;
mod firmware;
pub mod forwarder;
mod plan;
mod update;

use async_nats::HeaderMap;
use bytes::Bytes;
use domain::decider::EventTypes;
use domain::events::{CampaignEvent, DeviceEvent, FirmwareEvent};
use domain::plan::PlanEvent;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::error::StoreError;
use crate::history::{Recorded, recorded_events};
use crate::log::RawRecord;
use crate::position::Position;
use crate::record::Record;

/// Header: position of the event in the log, `{sequence}-{index}`; the forwarder's own checkpoint.
pub const POSITION_HEADER: &str = "Waybill-Position";

/// Header: W3C trace context of the request that led to the event; absent if no request led to it directly.
pub const TRACE_HEADER: &str = "ce-traceparent";

/// One message of FEED.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedMessage {
    pub position: Position,
    pub subject: String,
    /// In the order in which they are written.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl FeedMessage {
    pub(crate) fn header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            map.insert(*name, value.as_str());
        }
        map
    }
}

/// Body of a message: the aggregate, time, actor, and the data of the event.
#[derive(Serialize)]
struct Body<'a> {
    tenant: &'a str,
    /// Id of the aggregate.
    id: &'a str,
    /// Number of events of the aggregate after this one.
    version: u64,
    actor: &'a str,
    correlation_id: Uuid,
    causation_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_position: Option<String>,
    data: Value,
}

/// The public part of an event: version of the form, and content. `None` for an internal event.
pub(crate) trait Public: EventTypes {
    /// The version of an event type is raised when a field is removed or changes its meaning.
    fn public(&self, id: &str) -> Option<(u16, Value)>;
}

/// The messages of one record; none when it is internal.
pub fn messages(raw: &RawRecord) -> Result<Vec<FeedMessage>, StoreError> {
    use cqrs_es::Aggregate;
    let kind = raw.key.kind.as_str();
    if kind == domain::device::Device::TYPE {
        messages_of::<DeviceEvent>(raw)
    } else if kind == domain::campaign::Campaign::TYPE {
        messages_of::<CampaignEvent>(raw)
    } else if kind == domain::firmware::Firmware::TYPE {
        messages_of::<FirmwareEvent>(raw)
    } else if kind == domain::plan::PlanChunk::TYPE {
        messages_of::<PlanEvent>(raw)
    } else {
        Ok(Vec::new())
    }
}

fn messages_of<E: Public>(raw: &RawRecord) -> Result<Vec<FeedMessage>, StoreError> {
    let record = Record::decode(raw.position, &raw.body)?;
    let recorded = recorded_events::<E>(raw, &record)?;
    recorded.iter().filter_map(|event| message(raw, event).transpose()).collect()
}

fn message<E: Public>(raw: &RawRecord, recorded: &Recorded<E>) -> Result<Option<FeedMessage>, StoreError> {
    let key = &raw.key;
    let Some((version, data)) = recorded.event.public(&key.id) else { return Ok(None) };
    let name = recorded.event.event_type();
    let body = Body {
        tenant: key.tenant.as_str(),
        id: &key.id,
        version: recorded.version,
        actor: recorded.meta.actor.as_str(),
        correlation_id: recorded.meta.correlation_id,
        causation_id: recorded.meta.causation_id,
        causation_position: recorded.meta.caused_at().map(|position| position.to_string()),
        data,
    };
    let body = serde_json::to_vec(&body).map_err(|error| StoreError::Refused(error.to_string()))?;
    let time = recorded.recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut headers = vec![
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", recorded.position.to_string()),
        ("ce-type", format!("waybill.{name}.v{version}")),
        ("ce-source", format!("/waybill/{}", key.tenant)),
        ("ce-subject", key.id.clone()),
        ("ce-time", time),
        ("content-type", "application/json".to_owned()),
        (POSITION_HEADER, recorded.position.to_string()),
    ];
    headers.extend(recorded.meta.traceparent.clone().map(|traceparent| (TRACE_HEADER, traceparent)));
    let subject = format!("feed.{}.{name}", key.tenant);
    Ok(Some(FeedMessage { position: recorded.position, subject, headers, body: body.into() }))
}
