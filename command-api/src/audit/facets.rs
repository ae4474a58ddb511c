//! `GET /audit/facets`: what the events that match have in common. `GET /audit/types`: which types there are.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::events::catalogue;
use projections::archive::{Facets, Frequency, facets};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters::{AuditFilters, TypeParams};
use crate::auth::Caller;
use crate::http::{Filters, MinPosition, NoFilters, PositionParams, Problem};
use crate::state::App;

/// A value, and how many of the events have it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FacetBody {
    #[schema(example = "update.failed")]
    value: String,
    events: u64,
}

/// What events have in common.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FacetsBody {
    /// Events that were stored after it are not counted.
    #[schema(example = "1790000000123-42")]
    at_position: String,
    /// How many events are counted: at most some 4,000.
    events: u64,
    /// Whether these are all that match.
    is_complete: bool,
    /// When the oldest of them was stored.
    oldest_at: Option<DateTime<Utc>>,
    newest_at: Option<DateTime<Utc>>,
    /// Here and below: at most the 50 most frequent.
    types: Vec<FacetBody>,
    actors: Vec<FacetBody>,
    /// Types of aggregates.
    aggregates: Vec<FacetBody>,
}

/// Count a tenant's events
///
/// By type, actor and type of aggregate: of the latest 4,000 events that match the filters, with `order=asc` of the first. At most 1,000,000 records
/// are searched for them.
#[utoipa::path(
    get, path = "/audit/facets", tag = "audit", params(AuditFilters, TypeParams, PositionParams),
    responses((status = 200, body = FacetsBody))
)]
pub(crate) async fn audit_facets(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<AuditFilters>,
    min_position: MinPosition,
) -> Result<Json<FacetsBody>, Problem> {
    let (filter, order) = (filters.filter()?, filters.order());
    let until = filters.until(&app, &caller, min_position).await?;
    let Facets { events, is_complete, oldest_at, newest_at, types, actors, aggregates } =
        facets(&app.db, &caller.tenant, &filter, order, until).await?;
    let bodies = |all: Vec<Frequency>| all.into_iter().map(|(value, events)| FacetBody { value, events }).collect();
    Ok(Json(FacetsBody {
        at_position: app.token(until).await?.to_string(),
        events,
        is_complete,
        oldest_at,
        newest_at,
        types: bodies(types),
        actors: bodies(actors),
        aggregates: bodies(aggregates),
    }))
}

/// A type of aggregate, with the types of its events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventTypesBody {
    #[schema(example = "group")]
    aggregate: &'static str,
    #[schema(example = json!(["group.created", "group.deleted"]))]
    types: Vec<&'static str>,
}

/// All types of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventTypeList {
    items: Vec<EventTypesBody>,
}

/// List the types of events
///
/// All that there can be, by type of aggregate: what `type` and `aggregate` of the audit take.
#[utoipa::path(get, path = "/audit/types", tag = "audit", responses((status = 200, body = EventTypeList)))]
pub(crate) async fn audit_types(_: Caller, Filters(_): Filters<NoFilters>) -> Json<EventTypeList> {
    let of = |(aggregate, types): (&'static str, &[(&'static str, u16)])| EventTypesBody {
        aggregate,
        types: types.iter().map(|(name, _)| *name).collect(),
    };
    Json(EventTypeList { items: catalogue().into_iter().map(of).collect() })
}
