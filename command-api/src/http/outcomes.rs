//! Requests for many devices: each item has an outcome of its own, as if it had been sent alone.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::commands::Envelope;
use super::problem::{FieldError, Problem};
use super::reply::POSITION_HEADER;
use crate::state::App;

/// Most commands of one request under way at once.
pub(crate) const IN_FLIGHT_MAX: usize = 256;

/// Headers of a command on many devices. There is no `If-Match`, since it would apply to none of them.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Envelope` reads by hand")]
pub(crate) struct BulkHeaders {
    /// With the same devices the same key gives the first outcomes; with others 422.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// Correlates everything that follows in the audit. Without it each device's command has an id of its own.
    #[param(rename = "X-Correlation-Id")]
    correlation_id: Option<Uuid>,
}

/// The outcome of one item.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkItem {
    /// Index in the request, from 0.
    index: usize,
    /// In an import: the line of the file on which the row begins. The header is line 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<usize>,
    /// The device's id, also for a refused item; null if the request gives none.
    id: Option<String>,
    /// The update that was queued, if updates were requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    update_id: Option<String>,
    /// As if it had been sent alone: for example 201 for a new device, 200 for one that is registered with the same data.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<BulkError>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkError {
    #[serde(rename = "type")]
    kind: String,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Data of the rejection; depends on `type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<serde_json::Value>,
}

/// The outcomes of all items.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkReply {
    succeeded: usize,
    failed: usize,
    items: Vec<BulkItem>,
    /// Highest position of them; absent if no event was stored, as on a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
}

/// An item that was not refused.
pub(crate) struct Accepted {
    pub(crate) status: StatusCode,
    pub(crate) update_id: Option<String>,
    /// Sequence number of its event.
    pub(crate) sequence: u64,
}

/// What became of one item.
pub(crate) struct Outcome {
    pub(crate) id: Option<String>,
    pub(crate) row: Option<usize>,
    pub(crate) result: Result<Accepted, Problem>,
}

impl Outcome {
    /// Whether it could not be handled.
    fn is_unavailable(&self) -> bool {
        self.result.as_ref().is_err_and(|problem| problem.status() == StatusCode::SERVICE_UNAVAILABLE)
    }

    fn item(self, index: usize) -> BulkItem {
        let Self { id, row, result } = self;
        match result {
            Ok(Accepted { status, update_id, .. }) => {
                BulkItem { index, row, id, update_id, status: status.as_u16(), error: None }
            }
            Err(problem) => {
                let error = BulkError {
                    kind: format!("/problems/{}", problem.code()),
                    detail: problem.detail().to_owned(),
                    errors: problem.errors().to_vec(),
                    facts: problem.facts().cloned(),
                };
                BulkItem { index, row, id, update_id: None, status: problem.status().as_u16(), error: Some(error) }
            }
        }
    }
}

/// What became of all items.
pub(crate) struct Summary {
    pub(crate) items: Vec<BulkItem>,
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
    /// Highest sequence number of their events.
    pub(crate) sequence: Option<u64>,
}

impl Summary {
    /// 503 if no item could be handled.
    pub(crate) fn of(mut outcomes: Vec<Outcome>) -> Result<Self, Problem> {
        if outcomes.iter().all(Outcome::is_unavailable)
            && let Some(Err(problem)) = outcomes.pop().map(|outcome| outcome.result)
        {
            return Err(problem);
        }
        let sequence = |outcome: &Outcome| outcome.result.as_ref().ok().map(|accepted| accepted.sequence);
        let sequence = outcomes.iter().filter_map(sequence).max();
        let items: Vec<BulkItem> =
            outcomes.into_iter().enumerate().map(|(index, outcome)| outcome.item(index)).collect();
        let failed = items.iter().filter(|item| item.error.is_some()).count();
        Ok(Self { succeeded: items.len() - failed, failed, items, sequence })
    }
}

/// The reply with all outcomes, in the order of the items. 503 if no item could be handled.
pub(crate) async fn reply(
    app: &App,
    envelope: &Envelope,
    outcomes: Vec<Outcome>,
) -> Result<(HeaderMap, Json<BulkReply>), Problem> {
    let Summary { items, succeeded, failed, sequence } = Summary::of(outcomes)?;
    let position = match sequence {
        Some(sequence) if !envelope.dry_run => Some(app.token(sequence).await?.to_string()),
        _ => None,
    };
    let named = position.as_deref().and_then(|position| HeaderValue::from_str(position).ok());
    let headers = named.map(|position| (POSITION_HEADER, position)).into_iter().collect();
    Ok((headers, Json(BulkReply { succeeded, failed, items, position })))
}

/// Refuses `If-Match`, which applies to one resource.
pub(crate) fn without_if_match(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.contains_key(axum::http::header::IF_MATCH) {
        true => Err(Problem::bad_request("If-Match can't be used for many devices")),
        false => Ok(()),
    }
}
