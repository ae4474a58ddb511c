//! `GET /devices/{id}/commands/{n}`

use axum::Json;
use axum::extract::State;
use domain::device::Device;
use domain::{DeviceId, Key};
use projections::FLEET;
use projections::device_commands::{self, DeviceCommandFilter};

use super::model::DeviceCommandBody;
use crate::auth::Caller;
use crate::http::path::DeviceCommandPath;
use crate::http::problem::ProblemBody;
use crate::http::{MinPosition, Path, PositionParams, Problem, ReadOfOne};
use crate::state::App;

/// Get a command of a device
#[utoipa::path(
    get, path = "/devices/{device_id}/commands/{n}", tag = "device commands", params(DeviceCommandPath, PositionParams),
    responses(
        (status = 200, body = DeviceCommandBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_device_command(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DeviceCommandPath>,
    min_position: MinPosition,
) -> Result<Json<DeviceCommandBody>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    body(&app, &caller, &key, &path.device_id, path.n).await.map(Json)
}

/// The command from the read model.
pub(super) async fn body(
    app: &App,
    caller: &Caller,
    key: &Key<Device>,
    device: &DeviceId,
    n: u32,
) -> Result<DeviceCommandBody, Problem> {
    let mut reading = ReadOfOne::waited(app, &[FLEET], key);
    let filter = DeviceCommandFilter { n: Some(n), ..DeviceCommandFilter::default() };
    loop {
        let mut tx = app.db.read(&caller.tenant).await?;
        let page = device_commands::list(&mut tx, device.as_str(), filter, None, 1, false).await?;
        if let Some(row) = page.items.into_iter().next() {
            return Ok(row.into());
        }
        drop(tx);
        reading.look_again("no such command", |device| (1..=device.commands.last_n).contains(&n)).await?;
    }
}
