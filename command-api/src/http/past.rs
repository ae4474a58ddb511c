//! Time travel: `?at_time=` and `?at_position=` on reads of one resource, from EVENTS alone.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use domain::{Decider, Key};
use event_store::{At, Loaded, Past, PositionToken, Unreadable, WrittenPosition};
use futures::StreamExt;
use runtime::clock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::position::{is_stored, same_log};
use super::problem::{FieldError, Problem};
use super::query::{self, FilterSet};
use super::reply::Found;
use crate::state::App;

/// How far the log's clock may be ahead of this machine's, in milliseconds: a time that the log gave out must not count as in the future.
const CLOCK_SKEW_MAX_MS: i64 = 1_000;
/// Aggregates of one list that are loaded at the same time.
const LOADED_AT_ONCE: usize = 16;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MomentParams {
    /// The state at this time, with all events that were stored or decided by then. 422 for a time in the future.
    at_time: Option<DateTime<Utc>>,
    /// The state at this position: a sequence number, or a position from a reply or a history. 422 for one that the log hasn't reached.
    at_position: Option<String>,
}

impl FilterSet for MomentParams {}

/// A record that this program can't read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnreadableRecord {
    /// `{created_ms of the log}-{sequence}`
    #[schema(example = "1790000000123-42")]
    position: String,
    stored_at: DateTime<Utc>,
    error: String,
}

/// A resource at an earlier time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AsItWas<T> {
    #[serde(flatten)]
    resource: T,
    /// Only with `at_time` or `at_position`: records that can't be read, so their changes are missing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<UnreadableRecord>,
}

/// Texts for a query about a time before the resource existed.
pub(crate) struct Beginning {
    /// The detail if it never existed.
    pub(crate) unknown: &'static str,
    /// Start of the sentence that ends with the time, such as `the device was registered only at`.
    pub(crate) only_at: &'static str,
    /// Name of that time in the facts.
    pub(crate) fact: &'static str,
}

impl MomentParams {
    /// The requested time or position; none for the present.
    pub(crate) async fn moment(&self, app: &App) -> Result<Option<At>, Problem> {
        match (self.at_time, &self.at_position) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(query::refused("at_position", "excludes at_time")),
            (Some(time), None) => past_time("at_time", time).map(At::Time).map(Some),
            (None, Some(text)) => position(text, app).await.map(Some),
        }
    }
}

/// Refuses a time in the future.
pub(crate) fn past_time(name: &str, time: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    let now = clock::now();
    if time <= now + TimeDelta::milliseconds(CLOCK_SKEW_MAX_MS) {
        return Ok(time);
    }
    let now = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    Err(Problem::invalid(name, format!("is in the future: it is {now}")))
}

async fn position(text: &str, app: &App) -> Result<At, Problem> {
    let written: WrittenPosition = text.parse().map_err(|error| query::refused("at_position", &format!("{error}")))?;
    same_log(app, written).await?;
    is_stored(app, "at_position", written.sequence()).await?;
    Ok(match written.event() {
        Some(event) => At::Event(event),
        None => At::Position(written.sequence()),
    })
}

/// An aggregate at an earlier time. `show` makes a resource of it, or none if it didn't exist.
pub(crate) async fn as_it_was<A: Decider, T: Serialize>(
    app: &App,
    key: &Key<A>,
    at: At,
    beginning: &Beginning,
    show: impl FnOnce(&Loaded<A>) -> Option<T>,
) -> Result<Response, Problem> {
    let Past { loaded, unreadable } = app.store.past(key, at).await?;
    let shown = if loaded.version > 0 { show(&loaded) } else { None };
    let Some(resource) = shown else { return Err(not_yet(app, key, beginning, &unreadable).await?) };
    let resource = AsItWas::of(resource, unreadable, app.incarnation_ms().await?);
    Ok(Found { version: loaded.version, resource }.into_response())
}

impl<T> AsItWas<T> {
    fn of(resource: T, unreadable: Vec<Unreadable>, incarnation_ms: u64) -> Self {
        let record = |one: Unreadable| UnreadableRecord {
            position: PositionToken { incarnation_ms, sequence: one.sequence }.to_string(),
            stored_at: one.stored_at,
            error: one.error.to_string(),
        };
        Self { resource, unreadable: unreadable.into_iter().map(record).collect() }
    }
}

/// Aggregates as they were at a time, in order, until `limit` of them are shown; and of how many that took a look. `show` makes a resource
/// of one, or none if it isn't to be shown.
pub(crate) async fn as_they_were<A, T, F>(
    app: &App,
    keys: Vec<Key<A>>,
    at: DateTime<Utc>,
    limit: usize,
    show: F,
) -> Result<(Vec<AsItWas<T>>, usize), Problem>
where
    A: Decider + Send + Sync + 'static,
    F: Fn(&str, &Loaded<A>) -> Option<T>,
{
    let incarnation_ms = app.incarnation_ms().await?;
    let one = |key: Key<A>| {
        let app = app.clone();
        async move { (key.id().to_owned(), app.store.past(&key, At::Time(at)).await) }
    };
    let mut pasts = futures::stream::iter(keys.into_iter().map(one)).buffered(LOADED_AT_ONCE);
    let (mut shown, mut looked) = (Vec::new(), 0);
    while let Some((id, past)) = pasts.next().await {
        looked += 1;
        let Past { loaded, unreadable } = past?;
        let resource = if loaded.version > 0 { show(&id, &loaded) } else { None };
        shown.extend(resource.map(|resource| AsItWas::of(resource, unreadable, incarnation_ms)));
        if shown.len() >= limit {
            break;
        }
    }
    Ok((shown, looked))
}

/// Why there was nothing to show at that time.
async fn not_yet<A: Decider>(
    app: &App,
    key: &Key<A>,
    beginning: &Beginning,
    unreadable: &[Unreadable],
) -> Result<Problem, Problem> {
    if let Some(first) = unreadable.first() {
        let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "record_unreadable", first.error.to_string());
        let position = app.token(first.sequence).await?.to_string();
        return Ok(problem.with_errors(vec![FieldError::new(position, "can't be read")]));
    }
    Ok(match app.store.entries(key, 1, 1).await?.first().map(|first| first.stored_at()) {
        Some(at) => {
            let time = at.to_rfc3339_opts(SecondsFormat::Millis, true);
            Problem::not_found(format!("{} {time}", beginning.only_at)).with_facts(json!({beginning.fact: at}))
        }
        None => Problem::not_found(beginning.unknown),
    })
}
