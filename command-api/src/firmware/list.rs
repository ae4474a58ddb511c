//! `GET /firmware`: list and filter firmware.

use axum::Json;
use axum::extract::State;
use domain::firmware::UpdateType;
use projections::FLEET;
use projections::firmware::FirmwareFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::FirmwareBody;
use crate::auth::Caller;
use crate::http::query::{includes_deleted, refused};
use crate::http::{AsOf, FilterSet, Filters, List, MinPosition, PageParams, Paging, Problem};
use crate::search::is_digest;
use crate::state::App;

/// Words of [`domain::firmware::FirmwareStatus`].
const STATUSES: [&str; 4] = ["active", "deprecated", "withdrawn", "deleted"];
/// Longest text of a search.
const TEXT_MAX_CHARS: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirmwareFilters {
    device_model: Option<String>,
    manufacturer: Option<String>,
    update_type: Option<String>,
    component: Option<String>,
    version: Option<String>,
    is_beta: Option<bool>,
    is_security_update: Option<bool>,
    /// `active`, `deprecated`, `withdrawn` or `deleted`.
    status: Option<String>,
    /// The SHA-256 of the bytes, or at least the first 8 digits of it, hexadecimal.
    #[param(min_length = 8, max_length = 64)]
    sha256: Option<String>,
    /// Text in name, version, model, file name or id, in upper or lower case; at most 100 characters.
    #[param(max_length = 100)]
    q: Option<String>,
    /// `deleted` includes deleted firmware. `status=deleted` alone lists only them.
    include: Option<String>,
}

impl FilterSet for FirmwareFilters {}

/// List firmware
///
/// Newest first, without deleted ones unless `include=deleted`.
#[utoipa::path(
    get, path = "/firmware", tag = "firmware", params(FirmwareFilters, PageParams),
    responses((status = 200, body = List<FirmwareBody>))
)]
pub(crate) async fn list_firmware(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<FirmwareFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<FirmwareBody>>, Problem> {
    if filters.update_type.as_deref().is_some_and(|word| UpdateType::from_word(word).is_none()) {
        return Err(Problem::bad_request("no firmware has this update_type"));
    }
    if filters.status.as_deref().is_some_and(|word| !STATUSES.contains(&word)) {
        return Err(Problem::bad_request("no firmware has this status"));
    }
    if filters.q.as_ref().is_some_and(|text| text.chars().count() > TEXT_MAX_CHARS) {
        return Err(refused("q", &format!("at most {TEXT_MAX_CHARS} characters")));
    }
    if filters.sha256.as_deref().is_some_and(|text| !is_digest(text)) {
        return Err(refused("sha256", "8 to 64 hexadecimal digits"));
    }
    let filter = FirmwareFilter {
        id: None,
        deleted: includes_deleted(filters.include.as_deref())? || filters.status.as_deref() == Some("deleted"),
        device_model: filters.device_model,
        manufacturer: filters.manufacturer,
        update_type: filters.update_type,
        component: filters.component,
        version: filters.version,
        is_beta: filters.is_beta,
        is_security_update: filters.is_security_update,
        status: filters.status,
        digest: filters.sha256.map(|digest| digest.to_ascii_lowercase()),
        text: filters.q,
    };
    let after = match paging.keys::<2>()? {
        Some([created_at, id]) => Some((Paging::time(created_at)?, id)),
        None => None,
    };
    let after = after.as_ref().map(|(created_at, id)| (created_at.as_str(), *id));
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = projections::firmware::list(&mut tx, &filter, after, paging.limit, paging.count).await?;
    let as_of = AsOf::now(&app, &mut tx).await?;
    Ok(Json(paging.list(page, FirmwareBody::from).showing(as_of)))
}
