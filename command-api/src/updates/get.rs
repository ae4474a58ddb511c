//! `GET /updates/{id}` and `GET /devices/{id}/updates/{ordinal}`

use axum::Json;
use axum::extract::State;
use domain::device::Device;
use domain::{DeviceId, Key};
use projections::updates::{UpdateFilter, UpdateView};
use projections::{FLEET, ReadTx};
use runtime::clock;

use super::model::UpdateBody;
use crate::auth::Caller;
use crate::http::path::{DeviceUpdatePath, UpdatePath};
use crate::http::problem::ProblemBody;
use crate::http::{MinPosition, Path, PositionParams, Problem, ReadOfOne};
use crate::state::App;

/// Get an update
#[utoipa::path(
    get, path = "/updates/{update_id}", tag = "updates", params(UpdatePath, PositionParams),
    responses(
        (status = 200, body = UpdateBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_update(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<UpdatePath>,
    min_position: MinPosition,
) -> Result<Json<UpdateBody>, Problem> {
    get(&app, &caller, min_position, path.update_id.device, path.update_id.ordinal).await
}

/// Get an update of a device
#[utoipa::path(
    get, path = "/devices/{device_id}/updates/{ordinal}", tag = "updates", params(DeviceUpdatePath, PositionParams),
    responses((status = 200, body = UpdateBody))
)]
pub(crate) async fn get_device_update(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DeviceUpdatePath>,
    min_position: MinPosition,
) -> Result<Json<UpdateBody>, Problem> {
    get(&app, &caller, min_position, path.device_id, path.ordinal).await
}

async fn get(
    app: &App,
    caller: &Caller,
    min_position: MinPosition,
    device: DeviceId,
    ordinal: u32,
) -> Result<Json<UpdateBody>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &device);
    min_position.wait(app, caller, &[FLEET]).await?;
    find_of_device(app, caller, &key, &device, ordinal).await.map(|(_, view)| Json(view.into()))
}

/// The update's row, and the transaction that it was read in. 404 if the log doesn't know it either.
pub(super) async fn find_of_device(
    app: &App,
    caller: &Caller,
    key: &Key<Device>,
    device: &DeviceId,
    ordinal: u32,
) -> Result<(ReadTx, UpdateView), Problem> {
    let mut reading = ReadOfOne::waited(app, &[FLEET], key);
    let filter =
        UpdateFilter { device_id: Some(device.to_string()), ordinal: Some(ordinal), ..UpdateFilter::default() };
    loop {
        let mut tx = app.db.read(&caller.tenant).await?;
        let page = projections::updates::list(&mut tx, &filter, clock::now(), None, 1, false).await?;
        if let Some(view) = page.items.into_iter().next() {
            return Ok((tx, view));
        }
        drop(tx);
        reading.look_again("no such update", |device| (1..=device.last_ordinal).contains(&ordinal)).await?;
    }
}
