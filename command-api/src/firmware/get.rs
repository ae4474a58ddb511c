//! `GET /firmware/{id}`

use axum::extract::State;
use projections::FIRMWARE;
use projections::firmware::FirmwareFilter;

use super::model::FirmwareBody;
use crate::auth::Viewer;
use crate::http::path::FirmwarePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// Get a firmware
///
/// Needs role viewer.
#[utoipa::path(
    get, path = "/firmware/{firmware_id}", tag = "firmware", params(FirmwarePath, PositionParams),
    responses(
        (status = 200, body = FirmwareBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_firmware(
    State(app): State<App>,
    Viewer(caller): Viewer,
    Path(path): Path<FirmwarePath>,
    min_position: MinPosition,
) -> Result<Found<FirmwareBody>, Problem> {
    min_position.wait(&app, &caller, &[FIRMWARE]).await?;
    let filter = FirmwareFilter { id: Some(path.firmware_id.to_string()), ..FirmwareFilter::default() };
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = projections::firmware::list(&mut tx, &filter, None, 1, false).await?;
    let row = page.items.into_iter().next().ok_or_else(|| Problem::not_found("no such firmware"))?;
    let downloads = projections::downloads::of_firmware(&mut tx, &path.firmware_id).await?;
    Ok(Found { version: row.events, resource: FirmwareBody::from(row).with_downloads(downloads.into()) })
}
