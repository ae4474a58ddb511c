//! `DELETE /firmware/{id}`: not while a live campaign uses it. Its bytes are removed, too.

use std::time::Duration;

use axum::extract::State;
use domain::Key;
use domain::firmware::{Firmware, FirmwareCommand};
use runtime::clock;

use super::pins::release_stale;
use super::removal::{self, Kept};
use crate::auth::Admin;
use crate::devices::{Deleted, ReasonRequest};
use crate::http::commands::CommandHeaders;
use crate::http::path::FirmwarePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// How long the reply waits for the removal of the bytes, which continues afterwards.
const REMOVAL_WAIT_MAX: Duration = Duration::from_secs(2);

/// Delete a firmware
///
/// Its bytes are removed and can no longer be downloaded. The same bytes may be uploaded again, other bytes may not. Updates of single
/// devices that wait for it or haven't begun to install are cancelled as with `withdraw`. Needs role admin.
#[utoipa::path(
    delete, path = "/firmware/{firmware_id}", tag = "firmware", request_body = ReasonRequest,
    params(FirmwarePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Deleted>),
        (status = 409, description = "In use by a live campaign", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_firmware(
    State(app): State<App>,
    Admin(caller): Admin,
    Path(path): Path<FirmwarePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<Deleted>, Problem> {
    let id = path.firmware_id;
    let key = Key::<Firmware>::new(&caller.tenant, &id);
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return Ok(done.reply(Deleted { id: id.to_string() }));
    }
    if !envelope.dry_run {
        release_stale(&app, &caller, &envelope, id, clock::now()).await?;
    }
    let done = app.command(&caller, &envelope, &key, FirmwareCommand::Delete, wanted.reason).await?;
    if let Some((_, bytes)) = &done.aggregate.content
        && !done.dry_run
    {
        let (app, kept) = (app.clone(), Kept { tenant: caller.tenant.clone(), id, sha256: bytes.sha256 });
        let tasks = app.tasks.clone();
        let removal =
            tasks.spawn("removal of a deleted firmware's bytes", async move { removal::remove(&app, &kept).await });
        // The firmware is deleted, whether or not its bytes could be removed.
        let _ = tokio::time::timeout(REMOVAL_WAIT_MAX, removal).await;
    }
    Ok(done.reply(Deleted { id: id.to_string() }))
}
