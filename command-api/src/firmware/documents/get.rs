//! `GET /firmware/{id}/documents/{document_id}`: the bytes of a document.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::firmware::Firmware;
use domain::{Key, Rejection};

use super::incoming::digest_of;
use super::stored;
use crate::auth::Caller;
use crate::firmware::broken_store;
use crate::firmware::filename::attachment;
use crate::http::path::FirmwareDocumentPath;
use crate::http::problem::ProblemBody;
use crate::http::{MinPosition, Path, PositionParams, Problem};
use crate::state::App;
use crate::transfers::paced;

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
    let (tenant, firmware) = (&caller.tenant, path.firmware_id);
    let transfer = app.transfers.download(tenant)?;
    let slot = app.documents.take(tenant)?;
    let bytes = stored::get(&app, tenant, firmware, document.id).await.map_err(broken_store(&app))?;
    if digest_of(bytes).await? != document.sha256 {
        return Err(Problem::internal("a stored document has another digest than its event"));
    }
    drop(slot);
    // The client may read slowly, so the document doesn't stay in memory for it: its bytes come from the store again.
    let pieces = stored::pieces(&app, tenant, firmware, document.id).await.map_err(broken_store(&app))?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_LENGTH, document.size.to_string()),
        (header::CONTENT_DISPOSITION, attachment(document.filename.as_deref().or(Some("document.json")))),
    ];
    Ok((headers, Body::from_stream(paced(pieces, transfer))).into_response())
}
