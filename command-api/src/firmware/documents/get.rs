//! `GET /firmware/{id}/documents/{document_id}`: the bytes of a document.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::firmware::Firmware;
use domain::values::Sha256Digest;
use domain::{Key, Rejection};

use super::stored;
use crate::auth::Caller;
use crate::firmware::filename::attachment;
use crate::firmware::incoming::broken_store;
use crate::http::path::FirmwareDocumentPath;
use crate::http::problem::ProblemBody;
use crate::http::{MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// Get a document of a firmware
///
/// The bytes as they were uploaded.
#[utoipa::path(
    get, path = "/firmware/{firmware_id}/documents/{document_id}", tag = "firmware",
    params(FirmwareDocumentPath, PositionParams),
    responses(
        (status = 200, content_type = "application/json", body = String),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many documents at a time", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_document(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwareDocumentPath>,
    min_position: MinPosition,
) -> Result<Response, Problem> {
    min_position.of_this_log(&app).await?;
    let loaded = app.store.load_fresh(&Key::<Firmware>::new(&caller.tenant, &path.firmware_id)).await?;
    let known = loaded.aggregate.documents.iter().find(|document| document.id == path.document_id);
    let document = known.ok_or(Rejection::DocumentUnknown)?;
    let _slot = app.documents.take(&caller.tenant)?;
    let bytes = stored::get(&app, &caller.tenant, path.firmware_id, document.id).await.map_err(broken_store(&app))?;
    if Sha256Digest::of(&bytes) != document.sha256 {
        return Err(Problem::internal("a stored document has another digest than its event"));
    }
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, attachment(document.filename.as_deref().or(Some("document.json")))),
    ];
    Ok((headers, bytes).into_response())
}
