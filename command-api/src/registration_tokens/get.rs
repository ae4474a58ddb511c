//! `GET /registration-tokens/{id}`, from the aggregate.

use axum::extract::State;
use domain::registration_token::RegistrationToken;
use domain::{Key, Rejection};

use super::model::RegistrationTokenBody;
use crate::auth::Caller;
use crate::http::path::RegistrationTokenPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// Get a registration token
///
/// What it allows and how many devices have used it, without its text.
#[utoipa::path(
    get, path = "/registration-tokens/{token_id}", tag = "registration tokens",
    params(RegistrationTokenPath, PositionParams),
    responses(
        (status = 200, body = RegistrationTokenBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_registration_token(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<RegistrationTokenPath>,
    min_position: MinPosition,
) -> Result<Found<RegistrationTokenBody>, Problem> {
    min_position.of_this_log(&app).await?;
    let loaded = app.store.load_fresh(&Key::<RegistrationToken>::new(&caller.tenant, &path.token_id)).await?;
    if loaded.version == 0 {
        return Err(Rejection::RegistrationTokenUnknown.into());
    }
    let origin = loaded.origin.as_deref();
    let resource = RegistrationTokenBody::of(path.token_id, &loaded.aggregate, origin, loaded.version);
    Ok(Found { version: loaded.version, resource })
}
