//! `GET /firmware/{id}`: a firmware now, from the read model; or at an earlier time, from EVENTS.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::Key;
use domain::firmware::Firmware;
use projections::FLEET;
use projections::firmware::FirmwareFilter;

use super::model::FirmwareBody;
use crate::auth::Caller;
use crate::http::past::{AsItWas, Beginning, MomentParams, as_it_was};
use crate::http::path::FirmwarePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{Filters, MinPosition, Path, PositionParams, Problem, ReadOfOne};
use crate::state::App;

const BEGINNING: Beginning =
    Beginning { unknown: "no such firmware", only_at: "the firmware was uploaded only at", fact: "uploaded_at" };

/// Get a firmware
///
/// `pinned_by` and `needed_for_rollback` say why it can't be deleted. With `at_time` or `at_position`, its state at that time or position.
#[utoipa::path(
    get, path = "/firmware/{firmware_id}", tag = "firmware", params(FirmwarePath, MomentParams, PositionParams),
    responses(
        (status = 200, body = AsItWas<FirmwareBody>),
        (status = 404, description = "Unknown, or not yet uploaded then", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A time or position in the future", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_firmware(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    Filters(moment): Filters<MomentParams>,
    min_position: MinPosition,
) -> Result<Response, Problem> {
    let id = path.firmware_id;
    let key = Key::<Firmware>::new(&caller.tenant, &id);
    if let Some(at) = moment.moment(&app).await? {
        min_position.of_this_log(&app).await?;
        return as_it_was(&app, &key, at, &BEGINNING, |loaded| {
            FirmwareBody::of(id, &loaded.aggregate, loaded.origin.as_deref())
        })
        .await;
    }
    let mut reading = ReadOfOne::begin(&app, &caller, min_position, &[FLEET], &key).await?;
    let filter = FirmwareFilter { id: Some(id.to_string()), ..FirmwareFilter::default() };
    loop {
        let mut tx = app.db.read(&caller.tenant).await?;
        let page = projections::firmware::list(&mut tx, &filter, None, 1, false).await?;
        if let Some(row) = page.items.into_iter().next() {
            let downloads = projections::downloads::of_firmware(&mut tx, &id).await?;
            let rollback_need = projections::rollback_need::to(&mut tx, &row).await?;
            let version = row.events;
            let resource = FirmwareBody::from(row).with_downloads(downloads.into()).with_rollback_need(rollback_need);
            return Ok(Found { version, resource }.into_response());
        }
        drop(tx);
        reading.look_again(BEGINNING.unknown, |_| true).await?;
    }
}
