//! `GET /events/ws`: live messages over a WebSocket.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use runtime::lifecycle::Tasks;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::client::Client;
use super::message::Message;
use super::metrics::{self, End, Transport};
use super::opening::{StreamFilters, StreamTypes, open};
use super::stream_caller::StreamCaller;
use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::{Filters, Problem};
use crate::listen::ConnectionPlace;
use crate::state::App;

/// Largest message of a client, in bytes. Clients have nothing to say.
const RECEIVED_MAX_BYTES: usize = 4 * 1024;
/// Time between two looks whether a client is there, and so between two pings at least.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long a client may leave a ping unanswered. What it sends while it isn't listened to doesn't count against it.
const PONG_WITHIN: Duration = Duration::from_secs(45);
/// Asks the client to come back.
const TRY_AGAIN_LATER: u16 = 1_013;

/// Follow changes over a WebSocket
///
/// The messages of `GET /events/stream`, each as JSON in a text frame. A client that comes back names the last `position` in `last_event_id`. What a client sends is not
/// read. A ping comes every 15 s. With a session, a browser's page must be of this origin.
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
    place: Option<Extension<ConnectionPlace>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return no_socket() };
    match open(&app, &caller, opened_by, &headers, &filters, Transport::WebSocket).await {
        Ok(client) => begin(upgrade, place, app.tasks.clone(), move |socket| tell(socket, client)),
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

/// Hands a connection over to a task of its own. Until that ends, it counts among the open connections.
fn begin<F>(
    upgrade: WebSocketUpgrade,
    place: Option<Extension<ConnectionPlace>>,
    tasks: Tasks,
    tell: impl FnOnce(WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = upgrade.max_message_size(RECEIVED_MAX_BYTES).max_frame_size(RECEIVED_MAX_BYTES);
    upgrade.on_upgrade(move |socket| {
        let telling = tell(socket);
        tasks.spawn("live socket", async move {
            telling.await;
            drop(place);
        });
        std::future::ready(())
    })
}

/// Whether a client is there: it answers pings.
#[derive(Debug, Default)]
struct Pulse {
    /// The ping that nothing has come after.
    pinged_at: Option<Instant>,
}

/// What follows from a look at a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is to be pinged.
    Ping,
    /// It has time left to answer.
    Wait,
    /// It is gone.
    Silent,
}

impl Pulse {
    /// Something came from the client.
    fn heard(&mut self) {
        self.pinged_at = None;
    }

    /// Nobody listened to the client for a time, because something was being sent to it.
    fn unheard(&mut self, time: Duration) {
        if let Some(pinged_at) = &mut self.pinged_at {
            *pinged_at += time;
        }
    }

    fn look(&mut self, now: Instant) -> Look {
        match self.pinged_at {
            None => {
                self.pinged_at = Some(now);
                Look::Ping
            }
            Some(pinged_at) if now.saturating_duration_since(pinged_at) >= PONG_WITHIN => Look::Silent,
            Some(_) => Look::Wait,
        }
    }
}

/// A client's socket.
struct Line {
    socket: WebSocket,
    pulse: Pulse,
    looks: Interval,
}

/// How a stream goes on.
enum Step {
    Message(Arc<Message>),
    /// There is no further message.
    Over,
    /// The client answers no ping.
    Silent,
    /// The client has closed the connection, or it is broken.
    Left,
}

impl Line {
    fn new(socket: WebSocket) -> Self {
        let mut looks = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { socket, pulse: Pulse::default(), looks }
    }

    /// Waits for the next message, and meanwhile listens to the client and pings it.
    async fn next(&mut self, client: &mut Client) -> Step {
        let mut next = pin!(client.next());
        loop {
            tokio::select! {
                message = &mut next => return message.map_or(Step::Over, Step::Message),
                received = self.socket.recv() => match received {
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return Step::Left,
                    Some(Ok(_)) => self.pulse.heard(),
                },
                _ = self.looks.tick() => match self.pulse.look(Instant::now()) {
                    Look::Ping => {
                        if self.send(Frame::Ping(Bytes::new())).await.is_err() {
                            return Step::Left;
                        }
                    }
                    Look::Wait => {}
                    Look::Silent => return Step::Silent,
                },
            }
        }
    }

    /// A client that takes nothing is ended by the stream of its connection.
    async fn send(&mut self, frame: Frame) -> Result<(), axum::Error> {
        let begun_at = Instant::now();
        let sent = self.socket.send(frame).await;
        self.pulse.unheard(begun_at.elapsed());
        sent
    }
}

/// Sends messages until the stream ends or the client leaves.
async fn tell(socket: WebSocket, mut client: Client) {
    let mut line = Line::new(socket);
    loop {
        match line.next(&mut client).await {
            Step::Message(message) => {
                if line.send(Frame::Text(message.text.clone())).await.is_err() {
                    return;
                }
            }
            Step::Over => break,
            Step::Silent => {
                metrics::ended(End::Silent);
                client.ended = Some(End::Silent);
                break;
            }
            Step::Left => return,
        }
    }
    let code = match client.ended {
        Some(End::Refused) => close_code::POLICY,
        Some(End::Stopping) => close_code::RESTART,
        Some(End::Unavailable | End::Silent) | None => TRY_AGAIN_LATER,
    };
    let close = CloseFrame { code, reason: "".into() };
    // The client may have gone.
    drop(line.send(Frame::Close(Some(close))).await);
}

#[cfg(test)]
mod tests;
