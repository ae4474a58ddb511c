//! The events of one aggregate, from EVENTS, page by page. Works without PostgreSQL.

use chrono::{DateTime, Utc};
use domain::events::without_hidden;
use domain::{Decider, Key};
use event_store::{Entry, EventToken, Metadata, PositionToken, Recorded, Unreadable};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::direction::{Direction, HistoryOrder};
use super::paging::{List, Paging};
use super::position::MinPosition;
use super::problem::Problem;
use crate::state::App;

/// `type` of a record that can't be read.
const UNREADABLE: &str = "unreadable";

/// One event with its position, times, actor and reason; or a record that can't be read, with what is known about it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryItem {
    /// `{created_ms of the log}-{sequence}.{index in its record}`; without index for a record that can't be read.
    #[schema(example = "1790000000123-42.0")]
    position: String,
    /// Number of the aggregate's events after this one.
    version: u64,
    /// `unreadable` for a record that this program can't read.
    #[serde(rename = "type")]
    #[schema(example = "update.confirmed")]
    kind: String,
    /// The event as stored, with its `type`, without hashes of tokens; null when it can't be read.
    #[schema(value_type = Option<Object>)]
    event: Value,
    /// Why it can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When the command was decided.
    recorded_at: Option<DateTime<Utc>>,
    /// When the log stored it, by the log's clock.
    stored_at: DateTime<Utc>,
    actor: Option<String>,
    command_id: Option<Uuid>,
    correlation_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<Uuid>,
    /// Position of the record that led to this one, `{created_ms of the log}-{sequence}`: its `command_id` is the `causation_id`. Absent if
    /// its sender is the origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1790000000123-41")]
    causation_position: Option<String>,
    /// W3C trace context of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl HistoryItem {
    pub(crate) fn of<E: Serialize>(entry: Entry<E>, incarnation_ms: u64) -> Result<Self, Problem> {
        match entry {
            Entry::Event(recorded) => Self::of_event(recorded, incarnation_ms),
            Entry::Unreadable(record) => Ok(Self::of_unreadable(record, incarnation_ms)),
        }
    }

    fn of_event<E: Serialize>(recorded: Recorded<E>, incarnation_ms: u64) -> Result<Self, Problem> {
        let event = without_hidden(serde_json::to_value(&recorded.event).map_err(Problem::internal)?);
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        let item = Self {
            position: EventToken { incarnation_ms, position: recorded.position }.to_string(),
            version: recorded.version,
            kind,
            event,
            error: None,
            recorded_at: Some(recorded.recorded_at),
            stored_at: recorded.stored_at,
            actor: None,
            command_id: Some(recorded.command_id.0),
            correlation_id: None,
            causation_id: None,
            causation_position: None,
            traceparent: None,
            reason: None,
        };
        Ok(item.by(recorded.meta, incarnation_ms))
    }

    fn of_unreadable(record: Unreadable, incarnation_ms: u64) -> Self {
        let (command_id, meta) = record.meta.unzip();
        let item = Self {
            position: PositionToken { incarnation_ms, sequence: record.sequence }.to_string(),
            version: record.version,
            kind: UNREADABLE.to_owned(),
            event: Value::Null,
            error: Some(record.error.to_string()),
            recorded_at: meta.as_ref().map(|meta| meta.recorded_at),
            stored_at: record.stored_at,
            actor: None,
            command_id: command_id.map(|id| id.0),
            correlation_id: None,
            causation_id: None,
            causation_position: None,
            traceparent: None,
            reason: None,
        };
        meta.into_iter().fold(item, |item, meta| item.by(meta, incarnation_ms))
    }

    fn by(self, meta: Metadata, incarnation_ms: u64) -> Self {
        let position = |sequence| PositionToken { incarnation_ms, sequence }.to_string();
        Self {
            actor: Some(meta.actor.to_string()),
            correlation_id: Some(meta.correlation_id),
            causation_id: meta.causation_id,
            causation_position: meta.causation_position.map(position),
            traceparent: meta.traceparent,
            reason: meta.reason.and_then(|reason| reason.plain().cloned()),
            ..self
        }
    }
}

/// A page of an aggregate's events, oldest first unless asked otherwise; 404 with the text `unknown` if it has none.
pub(crate) async fn page<A: Decider>(
    app: &App,
    key: &Key<A>,
    min_position: MinPosition,
    HistoryOrder { order }: HistoryOrder,
    paging: &Paging,
    unknown: &str,
) -> Result<List<HistoryItem>, Problem> {
    min_position.of_this_log(app).await?;
    let newest_first = order == Some(Direction::Desc);
    let (first, more) = (paging.after.as_ref().map(|_| paging.first_number()).transpose()?, paging.limit + 1);
    let mut entries = match newest_first {
        false => app.store.entries(key, first.unwrap_or(1), more).await?,
        true => app.store.latest_entries(key, first.unwrap_or(u64::MAX), more).await?,
    };
    if entries.is_empty() && first.is_none() {
        return Err(Problem::not_found(unknown));
    }
    let next = entries.get(paging.limit).map(Entry::version);
    entries.truncate(paging.limit);
    let incarnation_ms = app.incarnation_ms().await?;
    let items = entries.into_iter().map(|entry| HistoryItem::of(entry, incarnation_ms)).collect::<Result<_, _>>()?;
    let total = if paging.count { Some(app.store.entry_count(key).await?) } else { None };
    Ok(paging.numbered(items, next, total))
}
