//! Whether a ChirpStack answers and takes the key: what a dry run asks, bounded.

use std::time::Duration;

use chirpstack::grpc::application::ListApplicationsRequest;
use chirpstack::grpc::{Client, Connection, Error};
use domain::tenant::ChirpStackConnection;
use runtime::outward::Outward;
use serde::Serialize;
use tokio::time::timeout;
use trust::SecretValue;
use utoipa::ToSchema;

use crate::network_server;

/// Longest single call.
const CALL_MAX: Duration = Duration::from_secs(3);
/// Longest check.
const CHECK_MAX: Duration = Duration::from_secs(8);

/// What the check of a connection has found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckBody {
    /// `ok`, `unreachable`, `key_refused`, `device_profile_unknown` or `refused`.
    result: &'static str,
    detail: Option<String>,
}

impl CheckBody {
    fn new(result: &'static str, detail: impl Into<String>) -> Self {
        Self { result, detail: Some(detail.into()) }
    }
}

/// The secrets that the check needs.
pub(super) struct Shown {
    pub(super) api_key: Option<SecretValue>,
    pub(super) client_key: Option<SecretValue>,
}

pub(super) async fn check(outward: &Outward, connection: &ChirpStackConnection, shown: Shown) -> CheckBody {
    timeout(CHECK_MAX, ask(outward, connection, shown))
        .await
        .unwrap_or_else(|_| CheckBody::new("unreachable", "it did not answer in time"))
}

async fn ask(outward: &Outward, connection: &ChirpStackConnection, shown: Shown) -> CheckBody {
    let settings = network_server::settings(outward, connection, shown.api_key.as_ref(), shown.client_key.as_ref());
    let client = settings.and_then(|settings| Client::new(&Connection { call_timeout: CALL_MAX, ..settings }));
    let client = match client {
        Ok(client) => client,
        Err(error) => return CheckBody::new("refused", error.to_string()),
    };
    let tenant_id = connection.chirpstack_tenant_id.clone();
    let applications = ListApplicationsRequest { tenant_id, ..ListApplicationsRequest::default() };
    if let Err(error) = client.list_applications(applications).await {
        return found(&error, "key_refused");
    }
    match &connection.default_device_profile_id {
        None => {}
        Some(profile) => {
            if let Err(error) = client.get_device_profile(profile).await {
                return found(&error, "device_profile_unknown");
            }
        }
    }
    CheckBody { result: "ok", detail: None }
}

/// `denied`: what it means that ChirpStack doesn't let the key do it, or doesn't know the object.
fn found(error: &Error, denied: &'static str) -> CheckBody {
    let result = match error {
        Error::Unavailable { .. } | Error::DeadlineExceeded => "unreachable",
        Error::Unauthenticated { .. } | Error::NotFound { .. } => denied,
        _ => "refused",
    };
    CheckBody::new(result, error.to_string())
}
