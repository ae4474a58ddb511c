//! `DELETE /firmware/{id}`: refused while a live campaign uses it, and, without `force`, while devices could go back to it. Removes its bytes, too.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use domain::Key;
use domain::firmware::{Deletion, Firmware, FirmwareCommand, RollbackNeed};
use projections::FLEET;
use projections::firmware::FirmwareFilter;
use runtime::clock;
use serde::Deserialize;
use utoipa::ToSchema;

use super::pins::release_stale;
use super::removal::{self, Kept};
use crate::auth::Caller;
use crate::devices::Deleted;
use crate::http::commands::CommandHeaders;
use crate::http::path::FirmwarePath;
use crate::http::position::wait_for_the_end;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// How long the reply waits for the removal of the bytes, which continues afterwards.
const REMOVAL_WAIT_MAX: Duration = Duration::from_secs(2);

/// How a firmware is to be deleted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "replaced by 1.4.3", "force": false}))]
pub(crate) struct DeletionRequest {
    /// Delete it even if devices could still go back to it. Those rollbacks are then impossible. Needs a reason.
    #[serde(default)]
    force: bool,
    reason: Option<String>,
}

/// Delete a firmware
///
/// Its bytes are removed and can no longer be downloaded. The same bytes may be uploaded again, other bytes may not. Updates of single
/// devices that wait for it or haven't begun to install are cancelled as with `withdraw`.
///
/// 409 `firmware_pinned` while a live campaign installs it. 409 `firmware_needed_for_rollback` while devices could go back to it: an update
/// brought them from it to what they run, or is about to. `facts` says how many, and names up to 20 campaigns; `more` says that there are
/// more than 10,000 devices. `force: true` with a reason deletes it anyway; the history shows that. Devices never go back to a
/// withdrawn firmware, so `withdraw` it first if none may. Without PostgreSQL, 503 unless `force` is given or the firmware is withdrawn.
#[utoipa::path(
    delete, path = "/firmware/{firmware_id}", tag = "firmware", request_body = DeletionRequest,
    params(FirmwarePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Deleted>),
        (status = 409, description = "In use by a live campaign, or devices could go back to it", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_firmware(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<DeletionRequest>>,
) -> Result<Reply<Deleted>, Problem> {
    let id = path.firmware_id;
    let key = Key::<Firmware>::new(&caller.tenant, &id);
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return Ok(done.reply(Deleted { id: id.to_string() }));
    }
    let reason = envelope.reason_with(wanted.reason)?;
    if wanted.force && reason.as_deref().unwrap_or_default().trim().is_empty() {
        return Err(Problem::invalid("reason", "is needed with force"));
    }
    if !envelope.dry_run {
        release_stale(&app, &caller, &envelope, id, clock::now()).await?;
    }
    let rollback_need = match devices_to_go_back(&app, &caller, &key).await {
        Err(problem) if wanted.force && problem.status() == StatusCode::SERVICE_UNAVAILABLE => {
            tracing::warn!(firmware.id = %id, reason = problem.detail(), "The devices that could go back to a firmware are not known.");
            None
        }
        rollback_need => rollback_need?,
    };
    let command = FirmwareCommand::Delete(Deletion { forced: wanted.force, rollback_need });
    let done = app.command(&caller, &envelope, &key, command, reason).await?;
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

/// The devices that could go back to a firmware, by everything that is stored now. A device that begins to leave it at this moment is not counted.
/// None if nobody has to look.
async fn devices_to_go_back(app: &App, caller: &Caller, key: &Key<Firmware>) -> Result<Option<RollbackNeed>, Problem> {
    let loaded = app.store.load_fresh(key).await?;
    let firmware = &loaded.aggregate;
    // The aggregate refuses the deletion anyway, or no device can go back to this firmware.
    if !firmware.pinned_by.is_empty() || !firmware.status.is_given_out(None) {
        return Ok(None);
    }
    wait_for_the_end(app, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let filter = FirmwareFilter { id: Some(key.id().to_string()), ..FirmwareFilter::default() };
    match projections::firmware::list(&mut tx, &filter, None, 1, false).await?.items.first() {
        Some(row) => Ok(Some(projections::rollback_need::to(&mut tx, row).await?)),
        None => Ok(Some(RollbackNeed::default())),
    }
}
