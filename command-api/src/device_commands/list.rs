//! `GET /devices/{id}/commands`

use axum::Json;
use axum::extract::State;
use domain::Key;
use domain::device::{CommandState, Device};
use projections::FLEET;
use projections::device_commands::{self, DeviceCommandFilter};
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::DeviceCommandBody;
use crate::auth::Caller;
use crate::devices::find;
use crate::http::path::DevicePath;
use crate::http::query::refused;
use crate::http::{Direction, FilterSet, Filters, List, MinPosition, PageParams, Paging, Path, Problem, ReadOfOne};
use crate::state::App;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceCommandFilters {
    /// Only commands in this state.
    state: Option<String>,
    /// `desc` (the default): newest first. `asc`: oldest first.
    #[param(inline)]
    order: Option<Direction>,
}

impl FilterSet for DeviceCommandFilters {}

impl DeviceCommandFilters {
    fn into_filter(self) -> Result<DeviceCommandFilter, Problem> {
        let words = || CommandState::all().map(CommandState::word).collect::<Vec<_>>().join(", ");
        let known =
            |word: &str| CommandState::from_word(word).ok_or_else(|| refused("state", &format!("one of {}", words())));
        let state = self.state.as_deref().map(known).transpose()?;
        Ok(DeviceCommandFilter { n: None, state, oldest_first: self.order == Some(Direction::Asc) })
    }
}

/// List a device's commands
///
/// Newest first, unless `order=asc`.
#[utoipa::path(
    get, path = "/devices/{device_id}/commands", tag = "device commands",
    params(DevicePath, DeviceCommandFilters, PageParams),
    responses((status = 200, body = List<DeviceCommandBody>))
)]
pub(crate) async fn list_device_commands(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(filters): Filters<DeviceCommandFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<DeviceCommandBody>>, Problem> {
    let filter = filters.into_filter()?;
    let after = paging.keys::<1>()?.map(|[n]| Paging::number::<u32>(n)).transpose()?;
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let id = path.device_id.as_str();
    let (mut tx, _) = find(&app, &caller, ReadOfOne::waited(&app, &[FLEET], &key), id).await?;
    let page = device_commands::list(&mut tx, id, filter, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, DeviceCommandBody::from)))
}
