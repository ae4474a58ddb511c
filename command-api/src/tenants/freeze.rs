//! `POST /freeze` and `/unfreeze`: stop everything that would go out to devices.

use axum::extract::State;
use domain::Key;
use domain::tenant::{Tenant, TenantCommand};

use super::model::TenantBody;
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Problem, Reply};
use crate::state::App;

/// Freeze the tenant
///
/// From now on nothing is dispatched to its devices: no update and no rollback, of campaigns or of single devices. Commands that devices have
/// not answered are taken back within a second. What a device has begun runs to its end, and cancels are still sent. Campaigns keep their state
/// and wait (`freeze`); updates of single devices are refused (409 `tenant_frozen`). Operators may freeze, approvers unfreeze.
#[utoipa::path(
    post, path = "/freeze", tag = "tenants", request_body = ReasonRequest, params(CommandHeaders),
    responses((status = 200, body = WithPosition<TenantBody>))
)]
pub(crate) async fn freeze(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<TenantBody>, Problem> {
    let key = Key::<Tenant>::new(&caller.tenant, &caller.tenant);
    let done = app.tell_tenant(&caller, &envelope, &key, TenantCommand::Freeze, wanted.reason).await?;
    Ok(done.reply(TenantBody::done(&caller.tenant, &done)))
}

/// End a freeze
///
/// Campaigns go on from where they stood, at their pace. A wave whose waiting time ended meanwhile is judged then.
#[utoipa::path(
    post, path = "/unfreeze", tag = "tenants", request_body = ReasonRequest, params(CommandHeaders),
    responses((status = 200, body = WithPosition<TenantBody>))
)]
pub(crate) async fn unfreeze(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<TenantBody>, Problem> {
    let key = Key::<Tenant>::new(&caller.tenant, &caller.tenant);
    let done = app.tell_tenant(&caller, &envelope, &key, TenantCommand::Unfreeze, wanted.reason).await?;
    Ok(done.reply(TenantBody::done(&caller.tenant, &done)))
}
