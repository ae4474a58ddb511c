//! `GET /audit`: the events of a tenant, page by page.

use axum::Json;
use axum::extract::State;
use event_store::Position;
use projections::archive::audit;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::filters::{AuditFilters, TypeParams};
use super::item::AuditItem;
use crate::auth::Caller;
use crate::http::{Filters, List, MinPosition, Paging, Problem};
use crate::state::App;

/// Paging without a count: it would read the whole archive.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Paging` and `MinPosition` read by hand")]
pub(crate) struct AuditPageParams {
    /// Items per page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before, with the same filters. It keeps the position of the first page.
    cursor: Option<String>,
    /// Wait, up to 2 s, until the archive has reached this position; also as header `Waybill-Min-Position`.
    min_position: Option<String>,
}

/// A page of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditBody {
    /// The last position that was looked at, the same on all pages: later events are not included.
    #[schema(example = "1790000000123-42")]
    at_position: String,
    #[serde(flatten)]
    list: List<AuditItem>,
}

/// List a tenant's events
///
/// All events of the tenant that match the filters, newest first unless `order=asc`, with actors, reasons, correlations and causes. All pages show
/// the log up to the same position, `at_position`. A page may have fewer items than `limit`, even none, and still have a `next_cursor`: for rare
/// events at most 1,000,000 records are searched at once.
#[utoipa::path(
    get, path = "/audit", tag = "audit", params(AuditFilters, TypeParams, AuditPageParams),
    responses((status = 200, body = AuditBody))
)]
pub(crate) async fn list_audit(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<AuditFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<AuditBody>, Problem> {
    let (filter, order) = (filters.filter()?, filters.order());
    let (until, after) = match paging.keys::<3>()? {
        None => (filters.until(&app, &caller, min_position).await?, None),
        Some([until, sequence, index]) => {
            let sequence = Paging::number::<u64>(sequence)?;
            (Paging::number(until)?, Some(Position { sequence, index: Paging::number(index)? }))
        }
    };
    let page = audit(&app.db, &caller.tenant, &filter, order, until, after, paging.limit).await?;
    let incarnation_ms = app.incarnation_ms().await?;
    let items = page.entries.into_iter().map(|entry| AuditItem::of(entry, incarnation_ms)).collect::<Result<_, _>>()?;
    let next = page.next.map(|at| vec![until.to_string(), at.sequence.to_string(), at.index.to_string()]);
    let at_position = app.token(until).await?.to_string();
    Ok(Json(AuditBody { at_position, list: paging.keyed(items, next) }))
}
