//! `DELETE /tenants/{id}`: close a tenant for ever, and remove the bytes of its firmware.

use std::time::Duration;

use axum::extract::State;
use domain::tenant::{Tenant, TenantCommand};
use domain::{Key, SecretName, SecretRef, TenantId};
use event_store::SecretPlace;
use futures::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use tokio::time::timeout;

use super::model::TenantBody;
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::firmware::objects_of;
use crate::http::commands::CommandHeaders;
use crate::http::path::TenantPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;

/// Name of the secret with the keys under which the firmware of a tenant is sealed.
pub const FIRMWARE_KEYS: &str = "firmware-keys";
/// Longest removal in one request.
const REMOVAL_MAX: Duration = Duration::from_secs(20);
/// Objects that are removed at the same time.
const REMOVALS_AT_ONCE: usize = 8;

/// Close a tenant
///
/// For ever. Its callers and its devices are refused, connected devices are disconnected within seconds, nothing is dispatched, and the bytes of
/// its firmware, the keys under which they are sealed and the secrets of its connection to ChirpStack are removed. All of its history stays. If
/// the keys or some bytes could not be removed, 503: send the same request again.
#[utoipa::path(
    delete, path = "/tenants/{tenant_id}", tag = "tenants", request_body = ReasonRequest,
    params(TenantPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<TenantBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn close_tenant(
    State(app): State<App>,
    caller: Caller,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<TenantBody>, Problem> {
    let key = Key::<Tenant>::new(&tenant_id, &tenant_id);
    let done = app.tell_tenant(&caller, &envelope, &key, TenantCommand::Close, wanted.reason).await?;
    // First the keys: without them a copy of the store is of no use.
    if !done.dry_run {
        forget_firmware_keys(&app, &tenant_id).await?;
    }
    if !done.dry_run && !matches!(timeout(REMOVAL_MAX, remove_bytes(&app, &tenant_id)).await, Ok(true)) {
        let detail = "the tenant is closed, and not all bytes of its firmware are removed yet: send the request again";
        return Err(Problem::unavailable("bytes_not_removed", detail));
    }
    if !done.dry_run {
        for secret in done.aggregate.chirpstack.iter().flat_map(|connection| connection.secrets()) {
            app.forget_secret(&tenant_id, secret).await;
        }
    }
    Ok(done.reply(TenantBody::done(&tenant_id, &done)))
}

async fn forget_firmware_keys(app: &App, tenant: &TenantId) -> Result<(), Problem> {
    let Some(secrets) = &app.secrets else { return Ok(()) };
    let keys = SecretRef(SecretName::new(FIRMWARE_KEYS).map_err(Problem::internal)?);
    if secrets.delete(&SecretPlace::new(tenant, &keys)).await? {
        tracing::info!(%tenant, "The keys of a closed tenant's firmware are forgotten.");
    }
    Ok(())
}

/// Removes everything that the firmware store has of a tenant; returns whether nothing is left.
async fn remove_bytes(app: &App, tenant: &TenantId) -> bool {
    let stored = app.objects.list(Some(&objects_of(tenant))).map_ok(|found| found.location);
    // An object can be listed twice, and another request can remove it.
    let remove = async |path| match app.objects.delete(&path).await {
        Err(Error::NotFound { .. }) => Ok(()),
        outcome => outcome,
    };
    match stored.try_for_each_concurrent(REMOVALS_AT_ONCE, remove).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, "The bytes of a closed tenant can't be removed.");
            false
        }
    }
}
