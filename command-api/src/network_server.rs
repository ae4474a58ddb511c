//! A tenant's ChirpStack, for requests that have to wait for it.

use axum::http::StatusCode;
use chirpstack::grpc::{ApiKey, Client, ClientIdentity, Connection, Error, InvalidConnection};
use domain::TenantId;
use domain::tenant::ChirpStackConnection;
use runtime::outward::Outward;
use trust::SecretValue;

use crate::http::Problem;
use crate::state::App;

/// A client with the tenant's key.
pub(crate) async fn client(app: &App, tenant: &TenantId, connection: &ChirpStackConnection) -> Result<Client, Problem> {
    let key = app.secrets()?.read(tenant, &connection.api_key).await;
    let unreadable =
        |what| Problem::unavailable("secrets_unavailable", format!("the {what} of ChirpStack can't be read"));
    let key = key.map_err(|_| unreadable("API key"))?;
    let client_key = app.secrets()?.read_named(tenant, connection.client_key.as_ref()).await;
    let client_key = client_key.map_err(|_| unreadable("client key"))?;
    let settings = settings(&app.config.outward, connection, Some(&key), client_key.as_ref());
    settings.and_then(|settings| Client::new(&settings)).map_err(|error| refused(&error.to_string()))
}

/// How a ChirpStack is asked, with this API key and this private key of the client certificate.
pub(crate) fn settings(
    outward: &Outward,
    connection: &ChirpStackConnection,
    key: Option<&SecretValue>,
    client_key: Option<&SecretValue>,
) -> Result<Connection, InvalidConnection> {
    let api_key = ApiKey::new(key.and_then(SecretValue::reveal_text).unwrap_or_default())?;
    let settings = Connection::new(&connection.url, api_key, outward.clone());
    let client_key = client_key.and_then(SecretValue::reveal_text);
    let identity = connection.client_certificate.as_deref().zip(client_key);
    let identity = identity.map(|(certificate, key)| ClientIdentity::new(certificate, key));
    Ok(Connection { extra_ca_pem: connection.ca.clone(), identity, ..settings })
}

/// The reply after a call that failed with this error.
pub(crate) fn problem(error: &Error) -> Problem {
    match error {
        Error::Unavailable { .. } | Error::DeadlineExceeded | Error::Internal { .. } => unavailable(&error.to_string()),
        _ => refused(&error.to_string()),
    }
}

pub(crate) fn unavailable(why: &str) -> Problem {
    Problem::unavailable("chirpstack_unavailable", format!("ChirpStack can't be asked now: {why}"))
}

fn refused(why: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "chirpstack_refused", format!("ChirpStack can't be asked: {why}"))
}
