//! `GET /dead-letters` and `GET /devices/{id}/dead-letters`: messages of devices that could not be processed, or only in part.
//!
//! They are read from the stream of dead letters: neither the read models nor PostgreSQL are needed.

use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use domain::device::Device;
use domain::tenant::Kept;
use domain::{DeviceId, Key};
use event_store::dead_letters::{DeadLetterReason, DeadLetters, LetterFilter, StoredLetter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::query::refused;
use crate::http::{FilterSet, Filters, List, MinPosition, PageParams, Paging, Path, Problem};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LetterFilters {
    /// The device that sent the message, or that it named as its sender; it may be unregistered.
    device_id: Option<String>,
    /// One of the reasons below.
    #[param(example = "malformed")]
    reason: Option<String>,
    /// Only dead letters from this time on.
    since: Option<DateTime<Utc>>,
}

impl FilterSet for LetterFilters {}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceLetterFilters {
    /// One of the reasons below.
    #[param(example = "malformed")]
    reason: Option<String>,
    /// Only dead letters from this time on.
    since: Option<DateTime<Utc>>,
}

impl FilterSet for DeviceLetterFilters {}

/// A message of a device that could not be processed, or only in part.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterBody {
    /// Its number among all dead letters.
    id: u64,
    at: DateTime<Utc>,
    /// Null if the topic names no device.
    device_id: Option<String>,
    /// The reason: `malformed`, `unknown_topic`, `no_such_device`, `device_decommissioned`, `no_such_update`, `no_such_attempt`, `no_such_command`,
    /// `partly_ignored`, `qos_0`, `retained`, `boot_loop`, `too_many`, `rejected`, `broken`; more may be added. Null for dead letters of
    /// earlier versions.
    reason: Option<&'static str>,
    /// The reason as a sentence.
    detail: String,
    /// Where it came from: `mqtt`, or `chirpstack` for events of a network server.
    source: String,
    /// The topic of the message, or by which way and route an event of a network server came.
    #[schema(example = "default/devices/d-1/update/1/status")]
    topic: String,
    /// At most 4,096 bytes of it.
    payload: String,
    /// `text`, or `base64` if the payload is not text.
    payload_encoding: &'static str,
    /// Length of the whole payload.
    payload_bytes: u64,
    /// Whether the payload is cut.
    payload_truncated: bool,
}

impl From<StoredLetter> for LetterBody {
    fn from(letter: StoredLetter) -> Self {
        let payload_truncated = letter.payload_bytes > letter.payload.len() as u64;
        let (payload, payload_encoding) = match text(&letter.payload, payload_truncated) {
            Some(text) => (text.to_owned(), "text"),
            None => (STANDARD.encode(&letter.payload), "base64"),
        };
        Self {
            id: letter.sequence,
            at: letter.stored_at,
            device_id: letter.device.map(|device| device.to_string()),
            reason: letter.reason.map(DeadLetterReason::word),
            detail: letter.detail,
            source: letter.source,
            topic: letter.origin,
            payload,
            payload_encoding,
            payload_bytes: letter.payload_bytes,
            payload_truncated,
        }
    }
}

/// The payload as text, if it is; a character that is cut at its end is left out.
fn text(payload: &[u8], truncated: bool) -> Option<&str> {
    let text = match std::str::from_utf8(payload) {
        Ok(text) => text,
        Err(error) if truncated && error.error_len().is_none() => {
            std::str::from_utf8(&payload[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    printable.then_some(text)
}

/// List dead letters
///
/// Messages of devices that could not be processed, or only in part, newest first. They are kept for 30 days, or for as many as the tenant
/// has set (`retention.dead_letter_days`); the rate per device is limited. Reasons are `malformed`, `unknown_topic`, `no_such_device`, `device_decommissioned`, `no_such_update`, `no_such_attempt`, `no_such_command`,
/// `partly_ignored`, `qos_0`, `retained`, `boot_loop`, `too_many`, `rejected` and `broken`.
#[utoipa::path(
    get, path = "/dead-letters", tag = "devices", params(LetterFilters, PageParams),
    responses(
        (status = 200, body = List<LetterBody>),
        (status = 400, description = "A filter or a cursor is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_dead_letters(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<LetterFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<LetterBody>>, Problem> {
    let device = filters.device_id.map(DeviceId::new).transpose();
    let device = device.map_err(|error| refused("device_id", &error.to_string()))?;
    min_position.of_this_log(&app).await?;
    let since = since_kept(&app, &caller, filters.since).await?;
    let filter = letter_filter(&caller, device, filters.reason.as_deref(), since)?;
    page(&app, &filter, &paging).await.map(Json)
}

/// List a device's dead letters
///
/// The same for one device, also for an unregistered one while dead letters of it are kept.
#[utoipa::path(
    get, path = "/devices/{device_id}/dead-letters", tag = "devices", params(DevicePath, DeviceLetterFilters, PageParams),
    responses(
        (status = 200, body = List<LetterBody>),
        (status = 400, description = "A filter or a cursor is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such device, and no dead letter of one", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn device_dead_letters(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(filters): Filters<DeviceLetterFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<LetterBody>>, Problem> {
    min_position.of_this_log(&app).await?;
    let any = letter_filter(&caller, Some(path.device_id.clone()), None, since_kept(&app, &caller, None).await?)?;
    let since = since_kept(&app, &caller, filters.since).await?;
    let filter = letter_filter(&caller, Some(path.device_id.clone()), filters.reason.as_deref(), since)?;
    let registered = app.store.load(&Key::<Device>::new(&caller.tenant, &path.device_id)).await?.version > 0;
    if !registered && letters(&app)?.count(&any).await? == 0 {
        return Err(Problem::not_found("no such device"));
    }
    page(&app, &filter, &paging).await.map(Json)
}

/// From when on dead letters are shown. None: all that there are.
async fn since_kept(
    app: &App,
    caller: &Caller,
    wanted: Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, Problem> {
    Ok(wanted.max(app.tenants.set_to_keep_since(&caller.tenant, Kept::DeadLetters).await?))
}

fn letter_filter(
    caller: &Caller,
    device: Option<DeviceId>,
    reason: Option<&str>,
    since: Option<DateTime<Utc>>,
) -> Result<LetterFilter, Problem> {
    let known = |word: &str| {
        DeadLetterReason::parse(word).ok_or_else(|| {
            let words: Vec<&str> = DeadLetterReason::ALL.iter().map(|reason| reason.word()).collect();
            refused("reason", &format!("one of {}", words.join(", ")))
        })
    };
    Ok(LetterFilter { tenant: caller.tenant.clone(), device, reason: reason.map(known).transpose()?, since })
}

async fn page(app: &App, filter: &LetterFilter, paging: &Paging) -> Result<List<LetterBody>, Problem> {
    let before = paging.keys::<1>()?.map(|[number]| Paging::number::<i64>(number)).transpose()?;
    let before = before.map(|number| u64::try_from(number).unwrap_or(0));
    let letters = letters(app)?;
    let found = letters.page(filter, before, paging.limit).await?;
    let total = if paging.count { Some(letters.count(filter).await?) } else { None };
    let next = found.letters.last().filter(|_| found.more).map(|last| last.sequence);
    Ok(paging.numbered(found.letters.into_iter().map(LetterBody::from).collect(), next, total))
}

fn letters(app: &App) -> Result<&DeadLetters, Problem> {
    app.dead_letters.as_ref().ok_or_else(|| Problem::unavailable("event_log_unavailable", "dead letters can't be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_shown_as_text_when_they_are_text() {
        assert_eq!(text(b"{\"a\":\n1}", false), Some("{\"a\":\n1}"));
        assert_eq!(text("né".as_bytes().split_last().unwrap().1, true), Some("n"), "cut within a character");
        assert_eq!(text("né".as_bytes().split_last().unwrap().1, false), None);
        assert_eq!(text(&[0xff, 0x00], false), None);
        assert_eq!(text(b"a\0b", false), None);
    }
}
