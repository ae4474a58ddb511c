//! `DELETE /firmware/{id}`: not while a live campaign uses it.

use axum::extract::State;
use domain::Key;
use domain::firmware::{Firmware, FirmwareCommand};

use crate::auth::Admin;
use crate::devices::Deleted;
use crate::http::envelope::CommandHeaders;
use crate::http::path::FirmwarePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Envelope, Path, Problem, Reply};
use crate::state::App;

/// Delete a firmware
///
/// Its bytes are no longer given out; the same bytes may be uploaded again, others never. Needs role admin.
#[utoipa::path(
    delete, path = "/firmware/{firmware_id}", tag = "firmware", params(FirmwarePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Deleted>),
        (status = 409, description = "In use by a live campaign", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_firmware(
    State(app): State<App>,
    Admin(caller): Admin,
    envelope: Envelope,
    Path(path): Path<FirmwarePath>,
) -> Result<Reply<Deleted>, Problem> {
    let key = Key::<Firmware>::new(&caller.tenant, &path.firmware_id);
    let done = app.command(&caller, &envelope, &key, FirmwareCommand::Delete, None).await?;
    Ok(done.reply(Deleted { id: path.firmware_id.to_string() }))
}
