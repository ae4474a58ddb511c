//! `/tenants/{id}/chirpstack`: where a tenant's ChirpStack is, and with which key it is asked.
//!
//! The key and the other secrets go into the sealed bucket under new names before the tenant refers to them, and old ones are removed after it
//! doesn't. A connection is stored only for the version of the tenant that it was made from. So at every moment the tenant's state names secrets
//! that exist, also when several requests change it at once. No request to ChirpStack is made but the bounded one of a dry run.

mod check;
mod client_certificate;
mod default_tenant;
mod model;
mod secrets;

use axum::extract::State;
use axum::http::StatusCode;
use domain::tenant::{ChirpStackConnection, Tenant, TenantCommand};
use domain::{Key, Rejection, SecretRef, TenantId};
use event_store::ExecuteError;
use runtime::clock;
use runtime::outward::Outward;

use self::check::Shown;
use self::model::{ChirpStackBody, ChirpStackRequest};
use self::secrets::Keeping;
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::path::TenantPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::{Found, WithPosition};
use crate::http::{Body, CommandRequest, Done, Envelope, MinPosition, Patch, Path, PositionParams, Problem, Reply};
use crate::state::App;

pub use default_tenant::{BrokerSettings, ChirpStackSettings, ClientIdentitySettings, fill_default_tenant};

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
/// `?dry_run=true` nothing is kept, and `check` says whether ChirpStack answers and takes the key, within 8 seconds. Addresses lead to
/// the public network, or to networks that the operator has listed (`--outward-networks`).
#[utoipa::path(
    put, path = "/tenants/{tenant_id}/chirpstack", tag = "lorawan", request_body = ChirpStackRequest,
    params(TenantPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<ChirpStackBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The tenant is closed, or it was changed at the same time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The secrets can't be kept now", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn connect_chirpstack(
    State(app): State<App>,
    caller: Caller,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    CommandRequest(envelope, Patch(wanted)): CommandRequest<Patch<ChirpStackRequest>>,
) -> Result<Reply<ChirpStackBody>, Problem> {
    let envelope = envelope.with_secrets(&app.config.token_hasher)?;
    let key = Key::<Tenant>::new(&tenant_id, &tenant_id);
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return Ok(done.reply(ChirpStackBody::of(&done.aggregate).ok_or_else(not_connected)?));
    }
    let loaded = app.store.load_fresh(&key).await?;
    if loaded.version == 0 {
        return Err(Rejection::TenantUnknown.into());
    }
    let before = loaded.aggregate.chirpstack.as_deref();
    wanted.may_keep_secrets_of(before)?;
    let reason = wanted.reason.clone();
    let mut keeping = Keeping::new(app.secrets()?, &tenant_id, clock::new_id());
    let connection = wanted.connection(before, &mut keeping).await?;
    checked(&app.config.outward, &connection)?;
    certificates_fit(&connection, &keeping).await?;
    let command = TenantCommand::ConnectChirpStack { connection: Box::new(connection.clone()) };
    if envelope.dry_run {
        let done = app.tell_tenant(&caller, &envelope, &key, command, reason).await?;
        let shown = Shown {
            api_key: keeping.value_of(&connection.api_key).await?,
            client_key: keeping.value_if_named(connection.client_key.as_ref()).await?,
        };
        let check = check::check(&app.config.outward, &connection, shown).await;
        let body = ChirpStackBody::of(&done.aggregate).ok_or_else(not_connected)?.with(check);
        return Ok(done.reply(body));
    }
    let told = match keeping.keep().await {
        Ok(()) => tell_at(&app, &caller, &envelope, &key, loaded.version, command, reason).await,
        Err(problem) => Err(problem),
    };
    let brought = keeping.new_secrets();
    match told {
        Ok(done) => {
            let former = before.into_iter().flat_map(ChirpStackConnection::secrets);
            forget_unused(&app, &tenant_id, former.chain(brought).collect(), &done).await;
            Ok(done.reply(ChirpStackBody::of(&done.aggregate).ok_or_else(not_connected)?))
        }
        Err(problem) if problem.status().is_client_error() => {
            for secret in brought {
                app.forget_secret(&tenant_id, secret).await;
            }
            Err(problem)
        }
        // The command may have been stored.
        Err(problem) => Err(problem),
    }
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
    let loaded = app.store.load_fresh(&key).await?;
    let command = TenantCommand::DisconnectChirpStack;
    let done = tell_at(&app, &caller, &envelope, &key, loaded.version, command, wanted.reason).await?;
    if !done.dry_run {
        let former = loaded.aggregate.chirpstack.iter().flat_map(|former| former.secrets()).collect();
        forget_unused(&app, &tenant_id, former, &done).await;
    }
    Ok(done.reply(Disconnected { id: tenant_id.to_string() }))
}

/// The tenant that has no connection now.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Disconnected {
    id: String,
}

/// Refuses what the rules of the domain refuse, and addresses that no connection may lead to. Names are judged with each connection.
fn checked(outward: &Outward, connection: &ChirpStackConnection) -> Result<(), Problem> {
    let mut checks = Checks::default();
    checks.violations(connection.violations());
    checks.finish()?;
    let mut checks = Checks::default();
    let mqtt = connection.mqtt.as_ref().map(|mqtt| ("mqtt.url", mqtt.url.as_str()));
    for (field, url) in [Some(("url", connection.url.as_str())), mqtt].into_iter().flatten() {
        let host = url.parse::<axum::http::Uri>().ok().and_then(|url| url.host().map(str::to_owned));
        if host.is_some_and(|host| outward.refuses(&host)) {
            checks.fail(field, "is not in the public network: the operator lists others with --outward-networks");
        }
    }
    checks.finish()
}

/// Refuses a client certificate that is none, or has another key.
async fn certificates_fit(connection: &ChirpStackConnection, keeping: &Keeping<'_>) -> Result<(), Problem> {
    let of_broker = connection.mqtt.as_ref();
    let pairs = [
        ("client_certificate", connection.client_certificate.as_deref(), connection.client_key.as_ref()),
        (
            "mqtt.client_certificate",
            of_broker.and_then(|mqtt| mqtt.client_certificate.as_deref()),
            of_broker.and_then(|mqtt| mqtt.client_key.as_ref()),
        ),
    ];
    let mut checks = Checks::default();
    for (field, certificate, key) in pairs {
        let Some((certificate, key)) = certificate.zip(keeping.value_if_named(key).await?) else { continue };
        if let Err(reason) = client_certificate::fits(certificate, &key) {
            checks.fail(field, reason);
        }
    }
    checks.finish()
}

/// Sends a command that was made for this version of a tenant. If the tenant has changed since, secrets that the command names may be gone, so
/// it is refused: 409, or 412 with `If-Match`.
async fn tell_at(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    key: &Key<Tenant>,
    version: u64,
    command: TenantCommand,
    reason: Option<String>,
) -> Result<Done<Tenant>, Problem> {
    let told = app.tell_tenant(caller, &envelope.at_version(version), key, command, reason).await;
    told.map_err(|problem| match problem.status() {
        StatusCode::PRECONDITION_FAILED if !envelope.has_if_match() => ExecuteError::Conflict.into(),
        _ => problem,
    })
}

/// Removes those secrets that the tenant's connection doesn't name now. No later connection can name them: a request keeps secrets only of the
/// version that it was made for, and gives its own secrets new names.
async fn forget_unused(app: &App, tenant: &TenantId, secrets: Vec<&SecretRef>, done: &Done<Tenant>) {
    let in_use: Vec<_> = done.aggregate.chirpstack.iter().flat_map(|connection| connection.secrets()).collect();
    for secret in secrets {
        if !in_use.contains(&secret) {
            app.forget_secret(tenant, secret).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Actor;
    use serde_json::json;

    use super::*;
    use crate::caller::Role;
    use crate::tests::Api;

    fn connection(url: &str) -> ChirpStackConnection {
        serde_json::from_value(json!({
            "url": url, "chirpstack_tenant_id": "t-1", "api_key": "secret:chirpstack-api-key-1",
            "mqtt": {"url": "mqtt://192.168.0.1"},
        }))
        .unwrap()
    }

    #[test]
    fn a_tenant_can_not_have_waybill_connect_to_its_neighbours() {
        let refused = checked(&Outward::default(), &connection("http://127.0.0.1:8080")).unwrap_err();
        let fields: Vec<_> = refused.errors().iter().map(|error| format!("{error:?}")).collect();
        assert!(fields.len() == 2 && fields[0].contains("url") && fields[1].contains("mqtt.url"), "{fields:?}");
        let listed = vec!["127.0.0.0/8".parse().unwrap(), "192.168.0.0/16".parse().unwrap()];
        let listed = Outward { networks: listed, ..Outward::default() };
        assert!(checked(&listed, &connection("http://127.0.0.1:8080")).is_ok());
        assert!(checked(&Outward::default(), &connection("http://[::1]:8080")).is_err());
        assert!(checked(&listed, &connection("http://name.example:8080")).is_ok(), "judged with each connection");
    }

    /// Another connection may have replaced secrets that this one keeps.
    #[tokio::test]
    async fn a_connection_made_for_an_earlier_version_of_the_tenant_is_refused() {
        let (app, tenant_id) = (Api::new().app, TenantId::new("acme").unwrap());
        let caller = Caller {
            tenant: tenant_id.clone(),
            actor: Actor::new("user:1").unwrap(),
            roles: vec![Role::Admin],
            limited: vec![],
            limits: None,
            is_kind_stated: true,
        };
        let key = Key::<Tenant>::new(&tenant_id, &tenant_id);
        let version = app.store.load_fresh(&key).await.unwrap().version;
        let connect = async |url: &str, if_match: Option<&str>| {
            let command = TenantCommand::ConnectChirpStack { connection: Box::new(connection(url)) };
            let told = tell_at(&app, &caller, &Envelope::with_if_match(if_match), &key, version, command, None).await;
            told.map(|done| done.version).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(connect("http://one:8080", None).await, Ok(version + 1));
        assert_eq!(connect("http://two:8080", None).await, Err(409));
        assert_eq!(connect("http://two:8080", Some("*")).await, Err(412));
        let stored = app.store.load_fresh(&key).await.unwrap();
        assert_eq!(stored.aggregate.chirpstack.as_ref().unwrap().url, "http://one:8080");
    }
}
