//! `POST /tenants/{id}/suspend` and `/reinstate`.

use axum::extract::State;
use domain::Key;
use domain::tenant::{Tenant, TenantCommand};

use super::model::TenantBody;
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::path::TenantPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Suspend a tenant
///
/// Its callers are refused (403 `tenant_suspended`), nothing is dispatched to its devices, and campaigns grant nothing. Its devices stay
/// connected, and what they report is recorded. Needs a reason where the tenant's rules say so.
#[utoipa::path(
    post, path = "/tenants/{tenant_id}/suspend", tag = "tenants", request_body = ReasonRequest,
    params(TenantPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<TenantBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The tenant is closed", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn suspend_tenant(
    State(app): State<App>,
    caller: Caller,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<TenantBody>, Problem> {
    let key = Key::<Tenant>::new(&tenant_id, &tenant_id);
    let done = app.tell_tenant(&caller, &envelope, &key, TenantCommand::Suspend, wanted.reason).await?;
    Ok(done.reply(TenantBody::done(&tenant_id, &done)))
}

/// End a tenant's suspension
///
/// A freeze of the tenant goes on.
#[utoipa::path(
    post, path = "/tenants/{tenant_id}/reinstate", tag = "tenants", request_body = ReasonRequest,
    params(TenantPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<TenantBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The tenant is closed", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reinstate_tenant(
    State(app): State<App>,
    caller: Caller,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<TenantBody>, Problem> {
    let key = Key::<Tenant>::new(&tenant_id, &tenant_id);
    let done = app.tell_tenant(&caller, &envelope, &key, TenantCommand::Reinstate, wanted.reason).await?;
    Ok(done.reply(TenantBody::done(&tenant_id, &done)))
}
