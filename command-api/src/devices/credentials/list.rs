//! `GET /devices/{id}/credentials`, from the aggregate.

use axum::extract::State;
use domain::Key;
use domain::device::Device;
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::model::CredentialBody;
use crate::auth::Caller;
use crate::devices::reading::UNKNOWN;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// The credentials of a device, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CredentialList {
    items: Vec<CredentialBody>,
}

/// List a device's credentials
///
/// Those that are not revoked, at most two, without their tokens.
#[utoipa::path(
    get, path = "/devices/{device_id}/credentials", tag = "devices", params(DevicePath, PositionParams),
    responses(
        (status = 200, body = CredentialList),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_credentials(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    min_position: MinPosition,
) -> Result<Found<CredentialList>, Problem> {
    min_position.of_this_log(&app).await?;
    let loaded = app.store.load_fresh(&Key::<Device>::new(&caller.tenant, &path.device_id)).await?;
    if loaded.version == 0 {
        return Err(Problem::not_found(UNKNOWN));
    }
    let now = clock::now();
    let current = loaded.aggregate.credentials.current();
    let items = current.iter().map(|credential| CredentialBody::of(credential, now)).collect();
    Ok(Found { version: loaded.version, resource: CredentialList { items } })
}
