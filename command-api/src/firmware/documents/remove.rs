//! `DELETE /firmware/{id}/documents/{document_id}`: remove a document.

use axum::extract::State;
use domain::Key;
use domain::firmware::{Firmware, FirmwareCommand};

use super::contents::drop_document;
use crate::auth::Caller;
use crate::devices::{Deleted, ReasonRequest};
use crate::http::commands::CommandHeaders;
use crate::http::path::FirmwareDocumentPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Remove a document of a firmware
///
/// It no longer counts, and its bytes are removed. The history keeps its digest.
#[utoipa::path(
    delete, path = "/firmware/{firmware_id}/documents/{document_id}", tag = "firmware", request_body = ReasonRequest,
    params(FirmwareDocumentPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Deleted>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove_document(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwareDocumentPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<Deleted>, Problem> {
    let (key, id) = (Key::<Firmware>::new(&caller.tenant, &path.firmware_id), path.document_id);
    let deleted = Deleted { id: id.to_string() };
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return Ok(done.reply(deleted));
    }
    let command = FirmwareCommand::RemoveDocument { document: id };
    let done = app.command(&caller, &envelope, &key, command, wanted.reason).await?;
    if !done.dry_run {
        drop_document(&app, &caller.tenant, path.firmware_id, id).await;
    }
    Ok(done.reply(deleted))
}
