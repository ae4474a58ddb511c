//! `GET /events/ws`: live messages over a WebSocket.

use std::pin::pin;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::time::Instant;

use super::client::Client;
use super::hub::HEARTBEAT;
use super::metrics::{End, Transport};
use super::opened_by::StreamCaller;
use super::opening::{StreamFilters, StreamTypes, open};
use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::{Filters, Problem};
use crate::state::App;

/// Largest message of a client, in bytes. Clients have nothing to say.
const RECEIVED_MAX_BYTES: usize = 4 * 1024;
/// How long a client may leave pings unanswered.
const PONG_WITHIN: Duration = Duration::from_secs(3 * HEARTBEAT.as_secs());
/// Asks the client to come back.
const TRY_AGAIN_LATER: u16 = 1_013;

/// Follow changes over a WebSocket
///
/// The messages of `GET /events/stream`, each as JSON in a text frame. A client that comes back names the last `position` in `last_event_id`. What a client sends is not
/// read. A ping comes after each heartbeat. With a session, a browser's page must be of this origin.
#[utoipa::path(
    get, path = "/events/ws", tag = "events", params(StreamFilters, StreamTypes),
    responses(
        (status = 101, description = "Messages without end"),
        (status = 426, description = "The request asks for no WebSocket", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests, or too many streams of the tenant", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams of the process, or the event log is down", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn event_socket(
    State(app): State<App>,
    caller: Caller,
    opened_by: StreamCaller,
    Filters(filters): Filters<StreamFilters>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return no_socket() };
    match open(&app, &caller, opened_by, &headers, &filters, Transport::WebSocket).await {
        Ok(client) => {
            let upgrade = upgrade.max_message_size(RECEIVED_MAX_BYTES).max_frame_size(RECEIVED_MAX_BYTES);
            upgrade.on_upgrade(async move |socket| {
                let tasks = app.tasks.clone();
                tasks.spawn("live socket", tell(socket, client));
            })
        }
        Err(problem) => problem.into_response(),
    }
}

fn no_socket() -> Response {
    let detail = "this takes a WebSocket handshake; GET /events/stream gives the same messages over HTTP";
    let problem = Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// Sends messages until the stream ends or the client leaves.
async fn tell(mut socket: WebSocket, mut client: Client) {
    let mut heard_at = Instant::now();
    loop {
        let next = {
            let mut next = pin!(client.next());
            loop {
                tokio::select! {
                    message = &mut next => break message,
                    received = socket.recv() => match received {
                        Some(Ok(Frame::Close(_)) | Err(_)) | None => return,
                        Some(Ok(_)) => heard_at = Instant::now(),
                    }
                }
            }
        };
        let Some(message) = next else { break };
        if message.is_heartbeat && heard_at.elapsed() > PONG_WITHIN {
            return;
        }
        // A client that takes nothing is ended by the stream of its connection.
        if socket.send(Frame::Text(message.text.clone())).await.is_err() {
            return;
        }
        if message.is_heartbeat && socket.send(Frame::Ping(Bytes::new())).await.is_err() {
            return;
        }
    }
    let code = match client.ended {
        Some(End::Refused) => close_code::POLICY,
        Some(End::Stopping) => close_code::RESTART,
        Some(End::Unavailable) | None => TRY_AGAIN_LATER,
    };
    let close = CloseFrame { code, reason: "".into() };
    // The client may have gone.
    drop(socket.send(Frame::Close(Some(close))).await);
}
