//! `GET /search`: finds what a text from a log line, a label or somebody's memory means.
//!
//! The text is taken for everything that it can be: a whole id, a position, a digest, a DevEUI, the beginning of an id or a name. Each kind
//! is looked up by an index, so the answer takes as long in a tenant with a million devices as in an empty one.

mod body;
mod meaning;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use domain::{GroupId, UpdateId};
use projections::reach::Reach;
use projections::updates::UpdateFilter;
use projections::{ARCHIVE, FLEET, ReadTx, archive};
use runtime::clock;
use serde::Deserialize;
use utoipa::IntoParams;

use self::body::{SearchBody, SearchHit};
use self::meaning::Meaning;
use crate::access::reach;
use crate::auth::Caller;
use crate::caller::Role;
use crate::http::problem::ProblemBody;
use crate::http::query::{self, refused};
use crate::http::{AsOf, FilterSet, Filters, MinPosition, PositionParams, Problem};
use crate::state::App;

pub(crate) use meaning::is_digest;

/// Longest text of a search, in characters.
const TEXT_MAX_CHARS: usize = 200;
/// Most hits of one kind.
const LIMIT_MAX: usize = 50;
/// Hits of one kind if the request names no limit.
const LIMIT_DEFAULT: usize = 20;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchParams {
    /// A whole id of any kind (`d-1`, `d-1~17`, a campaign, a firmware, a correlation), a position, a DevEUI, a SHA-256 or at least the first 8
    /// digits of one, or the beginning of an id, a name or a firmware's version, in upper or lower case. Spaces around it don't count.
    #[param(required, min_length = 1, max_length = 200, example = "d-1")]
    q: Option<String>,
}

impl FilterSet for SearchParams {}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `SearchLimit` reads by hand")]
pub(crate) struct LimitParams {
    /// Hits of each kind, 1 to 50.
    #[param(default = 20, minimum = 1, maximum = 50)]
    limit: Option<u32>,
}

/// Most hits of each kind.
pub(crate) struct SearchLimit(usize);

impl<S: Send + Sync> FromRequestParts<S> for SearchLimit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let given = query::pairs(parts)?.into_iter().find(|(name, _)| name == "limit");
        match given.map(|(_, text)| text.parse()) {
            None => Ok(Self(LIMIT_DEFAULT)),
            Some(Ok(limit @ 1..=LIMIT_MAX)) => Ok(Self(limit)),
            Some(_) => Err(refused("limit", &format!("a number from 1 to {LIMIT_MAX}"))),
        }
    }
}

/// Search everything
///
/// What a text means, in the order devices, campaigns, firmware, groups, updates, correlations, events; of each kind whole ids before
/// beginnings. Resources that are gone are found, too, and say so. Correlations and events need role auditor or admin. Callers whose role is
/// limited to some devices find these, their updates, and campaigns for their groups.
#[utoipa::path(
    get, path = "/search", tag = "search", params(SearchParams, LimitParams, PositionParams),
    responses(
        (status = 200, body = SearchBody),
        (status = 400, description = "No text, or one of more than 200 characters", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    Filters(params): Filters<SearchParams>,
    SearchLimit(limit): SearchLimit,
    min_position: MinPosition,
) -> Result<Json<SearchBody>, Problem> {
    let text = params.q.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| refused("q", "is what to search for"))?;
    if text.chars().count() > TEXT_MAX_CHARS {
        return Err(refused("q", &format!("at most {TEXT_MAX_CHARS} characters")));
    }
    let mut meaning = Meaning::of(text);
    let sees_audit = caller.limits.is_none() && caller.has(Role::Auditor);
    if !sees_audit {
        (meaning.position, meaning.correlation) = (None, None);
    }
    let of_archive = meaning.position.is_some() || meaning.correlation.is_some();
    let read_models: &[&str] = if of_archive { &[FLEET, ARCHIVE] } else { &[FLEET] };
    min_position.wait(&app, &caller, read_models).await?;
    let reach = match &caller.limits {
        Some(limits) => Some(reach::of(&app, &caller.tenant, caller.actor.id(), limits).await?),
        None => None,
    };
    let mut tx = app.db.read(&caller.tenant).await?;
    let mut body = SearchBody::empty(AsOf::now(&app, &mut tx).await?);
    of_fleet(&mut tx, &caller, &meaning, reach.as_ref(), limit, &mut body).await?;
    if let Some(update) = &meaning.update {
        body.extend(of_update(&mut tx, update, reach.as_ref()).await?);
    }
    of_audit(&app, &caller, &mut tx, &meaning, limit, &mut body).await?;
    Ok(Json(body))
}

/// Devices, campaigns, firmware and groups.
async fn of_fleet(
    tx: &mut ReadTx,
    caller: &Caller,
    meaning: &Meaning<'_>,
    reach: Option<&Reach>,
    limit: usize,
    body: &mut SearchBody,
) -> Result<(), Problem> {
    use projections::search::{campaigns, devices, firmware, groups};
    let text = meaning.text;
    body.add("device", devices(tx, text, meaning.eui.as_deref(), reach, limit).await?, SearchHit::device);
    let within: Option<Vec<GroupId>> = caller.limits.as_ref().map(|limits| limits.groups.iter().cloned().collect());
    body.add("campaign", campaigns(tx, text, within.as_deref(), limit).await?, SearchHit::campaign);
    if reach.is_none() {
        body.add("firmware", firmware(tx, text, meaning.digest.as_deref(), limit).await?, SearchHit::firmware);
        body.add("group", groups(tx, text, limit).await?, SearchHit::group);
    }
    Ok(())
}

/// The update, if its device is in reach.
async fn of_update(tx: &mut ReadTx, id: &UpdateId, reach: Option<&Reach>) -> Result<Option<SearchHit>, Problem> {
    let device = id.device.as_str();
    let known = projections::search::devices(tx, device, None, reach, 1).await?;
    if !known.hits.iter().any(|hit| hit.id == device) {
        return Ok(None);
    }
    let (device_id, ordinal) = (Some(device.to_owned()), Some(id.ordinal));
    let filter = UpdateFilter { device_id, ordinal, ..UpdateFilter::default() };
    let page = projections::updates::list(tx, &filter, clock::now(), None, 1, false).await?;
    Ok(page.items.into_iter().next().map(SearchHit::update))
}

/// A correlation, and the events at a position.
async fn of_audit(
    app: &App,
    caller: &Caller,
    tx: &mut ReadTx,
    meaning: &Meaning<'_>,
    limit: usize,
    body: &mut SearchBody,
) -> Result<(), Problem> {
    let incarnation_ms = app.incarnation_ms().await?;
    if let Some(id) = meaning.correlation {
        let one = archive::one_of_correlation(tx, &caller.tenant, id).await?;
        body.extend(one.map(|entry| SearchHit::correlation(id, &entry)));
    }
    if let Some(position) = meaning.position.filter(|at| at.incarnation_ms().is_none_or(|ms| ms == incarnation_ms)) {
        let entries = archive::entries_at(tx, &caller.tenant, position.sequence()).await?;
        let meant = entries.iter().filter(|entry| position.event().is_none_or(|event| entry.position() == event));
        let hits: Vec<_> = meant.take(limit + 1).map(|entry| SearchHit::event(entry, incarnation_ms)).collect();
        body.more.extend((hits.len() > limit).then_some("event"));
        body.extend(hits.into_iter().take(limit));
    }
    Ok(())
}
