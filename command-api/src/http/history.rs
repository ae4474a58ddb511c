//! The events of one aggregate, from EVENTS, page by page: works without PostgreSQL.

use chrono::{DateTime, Utc};
use domain::{Decider, Key};
use event_store::Recorded;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::paging::{List, Paging};
use super::position::MinPosition;
use super::problem::Problem;
use crate::state::App;

/// One event with where, when, by whom and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryItem {
    /// `{sequence in the log}-{index in its record}`
    #[schema(example = "42-0")]
    position: String,
    /// Number of the aggregate's events behind this one.
    version: u64,
    #[serde(rename = "type")]
    #[schema(example = "update.confirmed")]
    kind: String,
    /// The event as stored, with its `type`.
    #[schema(value_type = Object)]
    event: Value,
    /// When the command was decided.
    recorded_at: DateTime<Utc>,
    /// When the log stored it, by the log's clock.
    stored_at: DateTime<Utc>,
    actor: String,
    command_id: Uuid,
    correlation_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl HistoryItem {
    fn of<E: Serialize>(recorded: Recorded<E>) -> Result<Self, Problem> {
        let event = serde_json::to_value(&recorded.event).map_err(Problem::internal)?;
        Ok(Self {
            position: recorded.position.to_string(),
            version: recorded.version,
            kind: event["type"].as_str().unwrap_or_default().to_owned(),
            event,
            recorded_at: recorded.recorded_at,
            stored_at: recorded.stored_at,
            actor: recorded.meta.actor.to_string(),
            command_id: recorded.command_id.0,
            correlation_id: recorded.meta.correlation_id,
            causation_id: recorded.meta.causation_id,
            reason: recorded.meta.reason.and_then(|reason| reason.plain().cloned()),
        })
    }
}

/// A page of an aggregate's events, oldest first; `unknown` when it has none.
pub(crate) async fn page<A: Decider>(
    app: &App,
    key: &Key<A>,
    min_position: MinPosition,
    paging: &Paging,
    unknown: &str,
) -> Result<List<HistoryItem>, Problem> {
    min_position.of_this_log(app).await?;
    let first = paging.first_number()?;
    let mut events = app.store.history(key, first, paging.limit + 1).await?;
    if events.is_empty() && first == 1 {
        return Err(Problem::not_found(unknown));
    }
    let next = (events.len() > paging.limit).then(|| first + paging.limit as u64);
    events.truncate(paging.limit);
    let items = events.into_iter().map(HistoryItem::of).collect::<Result<_, _>>()?;
    let total = if paging.count { Some(app.store.load_fresh(key).await?.version) } else { None };
    Ok(paging.numbered(items, next, total))
}
