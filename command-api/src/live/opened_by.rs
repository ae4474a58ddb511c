//! Who opens a stream: a caller as of any request, or the holder of a ticket.

use axum::http::header;
use axum::http::request::Parts;

use super::stream_caller::StreamCaller;
use super::ticket;
use crate::auth::{Credential, has_header, identify};
use crate::http::{Problem, query};
use crate::sign_in;
use crate::state::App;

/// The parameter that shows a ticket.
pub(super) const TICKET: &str = "ticket";

/// Who opens a stream. A ticket counts alone, and is used up.
pub(crate) async fn opened_by(app: &App, parts: &Parts) -> Result<StreamCaller, Problem> {
    let shown = query::pairs(parts)?.into_iter().find(|(name, _)| name == TICKET).map(|(_, ticket)| ticket);
    if let Some(shown) = shown {
        if has_header(parts) {
            return Err(Problem::bad_request("a ticket and a header both say who calls: give one of them"));
        }
        let opened_by = ticket::redeem(app, &shown).await?;
        app.throttle.admit(&parts.extensions, &opened_by.caller.tenant, &opened_by.caller.actor)?;
        return Ok(opened_by);
    }
    let is_socket = parts.headers.contains_key(header::SEC_WEBSOCKET_KEY);
    let (caller, credential) = identify(app, parts).await?;
    if is_socket && matches!(credential, Credential::Session { .. }) {
        sign_in::must_be_opened_here(app, parts)?;
    }
    Ok(StreamCaller { caller, credential })
}
