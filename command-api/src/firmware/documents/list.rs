//! `GET /firmware/{id}/documents`: the documents of a firmware, from EVENTS.

use axum::Json;
use axum::extract::State;
use domain::firmware::Firmware;
use domain::{Key, Rejection};
use serde::Serialize;
use utoipa::ToSchema;

use super::model::DocumentBody;
use crate::auth::Caller;
use crate::http::path::FirmwarePath;
use crate::http::{MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// The documents that a firmware has now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentsBody {
    /// In the order in which they came, at most 32.
    items: Vec<DocumentBody>,
}

/// List the documents of a firmware
///
/// Those that it has now. The history of the firmware has earlier ones with their digests.
#[utoipa::path(
    get, path = "/firmware/{firmware_id}/documents", tag = "firmware", params(FirmwarePath, PositionParams),
    responses((status = 200, body = DocumentsBody))
)]
pub(crate) async fn list_documents(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    min_position: MinPosition,
) -> Result<Json<DocumentsBody>, Problem> {
    min_position.of_this_log(&app).await?;
    let loaded = app.store.load_fresh(&Key::<Firmware>::new(&caller.tenant, &path.firmware_id)).await?;
    if loaded.aggregate.content.is_none() {
        return Err(Rejection::FirmwareUnknown.into());
    }
    Ok(Json(DocumentsBody { items: loaded.aggregate.documents.iter().map(DocumentBody::from).collect() }))
}
