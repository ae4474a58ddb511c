//! A tenant's ChirpStack, for requests that have to wait for it.

use axum::http::StatusCode;
use chirpstack::grpc::{ApiKey, Client, Connection, Error, InvalidConnection};
use domain::TenantId;
use domain::tenant::ChirpStackConnection;

use crate::http::Problem;
use crate::state::App;

/// A client with the tenant's key.
pub(crate) async fn client(app: &App, tenant: &TenantId, connection: &ChirpStackConnection) -> Result<Client, Problem> {
    let key = app.secrets()?.read(tenant, &connection.api_key).await;
    let key =
        key.map_err(|_| Problem::unavailable("secrets_unavailable", "the API key of ChirpStack can't be read"))?;
    let unusable = |error: InvalidConnection| refused(&error.to_string());
    let api_key = ApiKey::new(key.reveal_text().unwrap_or_default()).map_err(unusable)?;
    let outward = app.config.outward.clone();
    let settings =
        Connection { extra_ca_pem: connection.ca.clone(), ..Connection::new(&connection.url, api_key, outward) };
    Client::new(&settings).map_err(unusable)
}

/// The reply to a call that ended so.
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
