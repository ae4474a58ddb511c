//! `/tenants/{id}/chirpstack`: where a tenant's ChirpStack is, and with which key it is asked.
//!
//! The key and the other secrets go into the sealed bucket under new names before the tenant refers to them, and old ones are removed after it
//! doesn't. So at every moment the tenant's state names secrets that exist. No request to ChirpStack is made but the bounded one of a dry run.

mod check;
mod default_tenant;
mod model;
mod secrets;

use axum::extract::State;
use domain::tenant::{ChirpStackConnection, Tenant, TenantCommand};
use domain::{Key, Rejection};

use self::model::{ChirpStackBody, ChirpStackRequest};
use self::secrets::Keeping;
use crate::auth::{Caller, Role};
use crate::devices::ReasonRequest;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::path::TenantPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::{Found, WithPosition};
use crate::http::{Body, CommandRequest, MinPosition, Path, PositionParams, Problem, Reply};
use crate::state::App;

pub use default_tenant::{ChirpStackSettings, fill_default_tenant};

/// Get a tenant's connection to ChirpStack
///
/// Secrets are shown as `set` or `missing`, never themselves.
#[utoipa::path(
    get, path = "/tenants/{tenant_id}/chirpstack", tag = "lorawan", params(TenantPath, PositionParams),
    responses(
        (status = 200, body = ChirpStackBody),
        (status = 404, description = "No such tenant, or it has no connection", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_chirpstack(
    State(app): State<App>,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    min_position: MinPosition,
) -> Result<Found<ChirpStackBody>, Problem> {
    min_position.of_this_log(&app).await?;
    let loaded = app.store.load_fresh(&Key::<Tenant>::new(&tenant_id, &tenant_id)).await?;
    if loaded.version == 0 {
        return Err(Rejection::TenantUnknown.into());
    }
    let resource = ChirpStackBody::of(&loaded.aggregate).ok_or_else(not_connected)?;
    Ok(Found { version: loaded.version, resource })
}

fn not_connected() -> Problem {
    Problem::not_found("the tenant has no connection to a ChirpStack")
}

/// Connect a tenant to its ChirpStack
///
/// In place of the connection that it has: fields that are left out are gone, but secrets that are left out stay (`null` removes one). Devices
/// with `lorawan_dev_eui` and `chirpstack_app_id` are synced from now on; what the connection before was refused is tried again. With
/// `?dry_run=true` nothing is kept, and `check` says whether ChirpStack answers and takes the key, within 8 seconds. Addresses in private
/// networks are for platform admins, and for all in development mode.
#[utoipa::path(
    put, path = "/tenants/{tenant_id}/chirpstack", tag = "lorawan", request_body = ChirpStackRequest,
    params(TenantPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<ChirpStackBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The tenant is closed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The secrets can't be kept now", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn connect_chirpstack(
    State(app): State<App>,
    caller: Caller,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ChirpStackRequest>>,
) -> Result<Reply<ChirpStackBody>, Problem> {
    let envelope = envelope.without_digest();
    let key = Key::<Tenant>::new(&tenant_id, &tenant_id);
    let loaded = app.store.load_fresh(&key).await?;
    if loaded.version == 0 {
        return Err(Rejection::TenantUnknown.into());
    }
    let before = loaded.aggregate.chirpstack.as_deref();
    let reason = wanted.reason.clone();
    let mut keeping = Keeping::new(app.secrets()?, &tenant_id, envelope.command_id(&caller));
    let mut connection = wanted.connection(before, &mut keeping).await?;
    connection.may_be_private = app.config.development || caller.has(Role::PlatformAdmin);
    checked(&connection).await?;
    let command = TenantCommand::ConnectChirpStack { connection: Box::new(connection.clone()) };
    if envelope.dry_run {
        let done = app.tell_tenant(&caller, &envelope, &key, command, reason).await?;
        let check = check::check(&connection, keeping.value_of(&connection.api_key).await?).await;
        let body = ChirpStackBody::of(&done.aggregate).ok_or_else(not_connected)?.with(check);
        return Ok(done.reply(body));
    }
    let is_repeated = envelope.is_stored(&caller, &loaded);
    if !is_repeated {
        keeping.keep().await?;
    }
    let done = match app.tell_tenant(&caller, &envelope, &key, command, reason).await {
        Ok(done) => done,
        Err(problem) if problem.status().is_client_error() && !is_repeated => {
            keeping.undo(&app).await;
            return Err(problem);
        }
        // The command may have been stored.
        Err(problem) => return Err(problem),
    };
    let now = done.aggregate.chirpstack.as_deref();
    forget_unused(&app, &tenant_id, before, now).await;
    Ok(done.reply(ChirpStackBody::of(&done.aggregate).ok_or_else(not_connected)?))
}

/// Disconnect a tenant from its ChirpStack
///
/// Its key and the other secrets of the connection are removed here. Devices over there stay as they are, and devices here wait for another
/// connection.
#[utoipa::path(
    delete, path = "/tenants/{tenant_id}/chirpstack", tag = "lorawan", request_body = ReasonRequest,
    params(TenantPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<Disconnected>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn disconnect_chirpstack(
    State(app): State<App>,
    caller: Caller,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<Disconnected>, Problem> {
    let key = Key::<Tenant>::new(&tenant_id, &tenant_id);
    let before = app.store.load_fresh(&key).await?;
    let done = app.tell_tenant(&caller, &envelope, &key, TenantCommand::DisconnectChirpStack, wanted.reason).await?;
    if !done.dry_run {
        forget_unused(&app, &tenant_id, before.aggregate.chirpstack.as_deref(), None).await;
    }
    Ok(done.reply(Disconnected { id: tenant_id.to_string() }))
}

/// The tenant that has no connection now.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Disconnected {
    id: String,
}

/// Refuses what the rules of the domain refuse, and addresses that the caller may not name.
async fn checked(connection: &ChirpStackConnection) -> Result<(), Problem> {
    let mut checks = Checks::default();
    checks.violations(connection.violations());
    checks.finish()?;
    if connection.may_be_private {
        return Ok(());
    }
    let mut checks = Checks::default();
    let mqtt = connection.mqtt.as_ref().map(|mqtt| ("mqtt.url", mqtt.url.as_str()));
    for (field, url) in [Some(("url", connection.url.as_str())), mqtt].into_iter().flatten() {
        if chirpstack::address::is_private(url).await {
            checks.fail(field, "is in a private network: only platform admins may name such an address");
        }
    }
    checks.finish()
}

/// Removes the secrets of a former connection.
async fn forget_unused(
    app: &App,
    tenant: &domain::TenantId,
    before: Option<&ChirpStackConnection>,
    now: Option<&ChirpStackConnection>,
) {
    let in_use: Vec<_> = now.into_iter().flat_map(ChirpStackConnection::secrets).collect();
    for secret in before.into_iter().flat_map(ChirpStackConnection::secrets) {
        if !in_use.contains(&secret) {
            app.forget_secret(tenant, secret).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection(url: &str, may_be_private: bool) -> ChirpStackConnection {
        serde_json::from_value(json!({
            "url": url, "chirpstack_tenant_id": "t-1", "api_key": "secret:chirpstack-api-key-1",
            "mqtt": {"url": "mqtt://192.168.0.1"}, "may_be_private": may_be_private,
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_tenant_can_not_have_waybill_connect_to_its_neighbours() {
        let refused = checked(&connection("http://127.0.0.1:8080", false)).await.unwrap_err();
        let fields: Vec<_> = refused.errors().iter().map(|error| format!("{error:?}")).collect();
        assert!(fields.len() == 2 && fields[0].contains("url") && fields[1].contains("mqtt.url"), "{fields:?}");
        assert!(checked(&connection("http://127.0.0.1:8080", true)).await.is_ok());
    }
}
