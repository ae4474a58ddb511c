//! `GET /events/stream`: live messages as server-sent events.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;

use super::metrics::Transport;
use super::opening::{StreamFilters, StreamTypes, open};
use super::stream_caller::StreamCaller;
use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::{Filters, Problem};
use crate::state::App;

/// Asks a proxy to hand over each message at once.
const UNBUFFERED: (&str, HeaderValue) = ("x-accel-buffering", HeaderValue::from_static("no"));

/// Follow changes
///
/// Server-sent events of a campaign, a device or the whole tenant. A message says what changed at which position, never the rows: read what you show
/// again with `min_position`. `changes` comes at most four times a second, `heartbeat` after 15 s of silence. `resync` says that changes are missing:
/// read everything again; after reason `too_slow` the stream is closed. `end` comes before the service closes it. Come back with `Last-Event-ID`, which is a position.
#[utoipa::path(
    get, path = "/events/stream", tag = "events", params(StreamFilters, StreamTypes, ("Last-Event-ID" = Option<String>, Header, description = "The position up to which the client has everything")),
    responses(
        (status = 200, description = "Messages without end", body = String, content_type = "text/event-stream"),
        (status = 429, description = "Too many requests, or too many streams of the tenant", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams of the process, or the event log is down", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn event_stream(
    State(app): State<App>,
    caller: Caller,
    opened_by: StreamCaller,
    Filters(filters): Filters<StreamFilters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let client = open(&app, &caller, opened_by, &headers, &filters, Transport::Events).await?;
    let events = stream::unfold(client, async |mut client| {
        let message = client.next().await?;
        Some((Ok::<_, Infallible>(message.event.clone()), client))
    });
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(([kind], [UNBUFFERED], Body::from_stream(events)).into_response())
}
