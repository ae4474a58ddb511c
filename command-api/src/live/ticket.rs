//! `POST /auth/stream-ticket`: a ticket with which a browser or a WebSocket opens one stream, where no header can be set.
//!
//! A ticket is kept sealed in a bucket of NATS, under its keyed hash, so any process takes it. The first process that replaces its value, at the
//! revision that was read, has used it: it counts once in all processes together.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Actor, TenantId};
use event_store::sessions::SessionBucket;
use event_store::{Keyring, StoreError};
use runtime::clock;
use serde::{Deserialize, Serialize};
use trust::{Purpose, SecretValue, StreamTicket};
use utoipa::ToSchema;

use super::stream_caller::StreamCaller;
use crate::auth::Credential;
use crate::caller::{Caller, Role};
use crate::http::Problem;
use crate::http::problem::ProblemBody;
use crate::shown_token::{NOT_CACHED, ShownToken};
use crate::state::App;

/// How long a ticket lasts. Its bucket keeps it longer.
const LIFETIME: TimeDelta = TimeDelta::seconds(30);

/// Where tickets are kept, and what seals them.
#[derive(Clone)]
pub struct TicketParts {
    pub bucket: Arc<dyn SessionBucket>,
    pub keyring: Arc<Keyring>,
}

/// Who was given a ticket, as it is kept. The credential in it opens nothing.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    tenant: TenantId,
    actor: Actor,
    roles: Vec<Role>,
    is_kind_stated: bool,
    credential: Credential,
    expires_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedTicket {
    #[schema(value_type = String, example = "wbt_Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmFyYmE")]
    ticket: ShownToken,
    expires_at: DateTime<Utc>,
}

/// Get a ticket for a stream
///
/// For clients that can't set headers: `GET /events/stream?ticket=…` or `GET /events/ws?ticket=…`. It opens one stream within 30 s, with the caller's
/// rights, and that stream ends when the caller's own credential does.
#[utoipa::path(
    post, path = "/auth/stream-ticket", tag = "auth",
    responses(
        (status = 200, body = IssuedTicket),
        (status = 503, description = "NATS is down, or keeps too many tickets", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn issue_stream_ticket(
    State(app): State<App>,
    opened_by: StreamCaller,
) -> Result<impl IntoResponse, Problem> {
    let parts = parts(&app)?;
    let (ticket, expires_at) = (StreamTicket::generate(), clock::now() + LIFETIME);
    let StreamCaller { caller, credential } = opened_by;
    let Caller { tenant, actor, roles, is_kind_stated, .. } = caller;
    let kept = Kept { tenant, actor, roles, is_kind_stated, credential, expires_at };
    let text = serde_json::to_vec(&kept).map_err(Problem::internal)?;
    let key = key_of(&app, &ticket);
    let sealed = parts.keyring.current().seal_for(Purpose::StreamTicket, &[&key], &SecretValue::new(text));
    parts.bucket.create(&key, sealed.into()).await.map_err(|error| unavailable(&error))?;
    Ok((NOT_CACHED, Json(IssuedTicket { ticket: ShownToken::of(&ticket), expires_at })))
}

/// Who was given a ticket. It is used up, and counts for nobody else.
pub(super) async fn redeem(app: &App, text: &str) -> Result<StreamCaller, Problem> {
    let parts = parts(app)?;
    let ticket = StreamTicket::parse(text).ok_or_else(refused)?;
    let key = key_of(app, &ticket);
    let found = parts.bucket.get(&key).await.map_err(|error| unavailable(&error))?.ok_or_else(refused)?;
    let sealed = found.value.ok_or_else(refused)?;
    let opened = parts.keyring.open(Purpose::StreamTicket, &[&key], &sealed).await.map_err(|_| refused())?;
    let used = parts.bucket.replace(&key, found.revision, Bytes::new()).await;
    if !used.map_err(|error| unavailable(&error))? {
        return Err(refused());
    }
    let kept: Kept = serde_json::from_slice(opened.reveal()).map_err(|_| refused())?;
    if clock::now() >= kept.expires_at {
        return Err(refused());
    }
    let Kept { tenant, actor, roles, is_kind_stated, credential, .. } = kept;
    credential.must_stand(app).await?;
    let caller = Caller { tenant, actor, roles, limited: vec![], limits: None, is_kind_stated };
    Ok(StreamCaller { caller, credential })
}

fn parts(app: &App) -> Result<&TicketParts, Problem> {
    let none = || Problem::unavailable("tickets_unavailable", "this process keeps no tickets");
    app.config.tickets.as_ref().ok_or_else(none)
}

fn key_of(app: &App, ticket: &StreamTicket) -> String {
    app.config.token_hasher.hash(ticket).into()
}

/// An unknown, a used and an expired ticket look the same.
fn refused() -> Problem {
    Problem::unauthorized("the ticket is not valid: it is unknown, was used, or has expired; get another one")
}

fn unavailable(error: &StoreError) -> Problem {
    tracing::debug!(%error, "a ticket can't be kept or looked up");
    Problem::unavailable("tickets_unavailable", "tickets can't be kept now: NATS doesn't answer, or keeps too many")
}
