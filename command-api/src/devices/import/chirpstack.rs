//! `POST /devices/import/chirpstack`: register the devices of an application in the tenant's ChirpStack.
//!
//! Devices that are registered already are left alone, so the request can be repeated. A copy over there that Waybill did not create is
//! never deleted by it: the record of the copy says `created: false` (ADR 66).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chirpstack::grpc::{Client, Error, KeyState};
use chirpstack::import::ImportedDevice;
use domain::Key;
use domain::tenant::{ChirpStackConnection, Tenant};
use domain::values::is_short_text;
use futures::StreamExt;
use projections::FLEET;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::devices::bulk::ITEMS_MAX;
use crate::devices::create::{self, DeviceRequest};
use crate::http::commands::CommandHeaders;
use crate::http::outcomes::{self, Accepted, BulkReply, IN_FLIGHT_MAX, Outcome};
use crate::http::position::wait_for_the_end;
use crate::http::problem::ProblemBody;
use crate::http::{Body, CommandRequest, Envelope, Problem};
use crate::network_server;
use crate::state::App;

/// Most devices of an application that are looked at.
const LISTED_MAX: usize = 100_000;
/// Devices that are read from ChirpStack at once.
const READS_AT_ONCE: usize = 16;
/// How long ChirpStack may take in all.
const READING_MAX: Duration = Duration::from_secs(30);

/// The application whose devices are imported.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"application_id": "fe0631ba-f18b-42ef-99f5-c9a37521a4b8", "device_model": "LS-1", "dry_run": true}))]
pub(crate) struct ChirpStackImport {
    /// Id of the application over there.
    application_id: String,
    /// Model of devices that have no tag `device_model` over there.
    device_model: Option<String>,
    /// The same as `?dry_run=true`: says what would be imported and stores nothing.
    #[serde(default)]
    dry_run: bool,
    reason: Option<String>,
}

/// What was found and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportedDevices {
    /// Devices of the application over there, up to 100,000.
    devices: usize,
    /// Those of them that are registered here already, and were left alone.
    known: usize,
    /// More devices wait: send the request again.
    more: bool,
    #[serde(flatten)]
    outcomes: BulkReply,
}

/// Import devices from ChirpStack
///
/// Registers the devices of an application that are not registered yet, up to 10,000 in a request, each with an outcome of its own. A device
/// gets its EUI as id (or the id that it had before, from its variable `waybill_device_id`), its name and its join EUI from over there.
/// Waybill then adds the variable `waybill_device_id` to it over there, and changes nothing else; it never deletes a device over there that
/// it did not create. `auto_import` of the tenant's connection does the same all the time.
#[utoipa::path(
    post, path = "/devices/import/chirpstack", tag = "lorawan", request_body = ChirpStackImport, params(CommandHeaders),
    responses(
        (status = 200, description = "An outcome for each new device", body = ImportedDevices),
        (status = 409, description = "The tenant has no connection, or ChirpStack refuses its key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The application is unknown over there", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "ChirpStack or PostgreSQL can't be reached", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn import_from_chirpstack(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ChirpStackImport>>,
) -> Result<(HeaderMap, Json<ImportedDevices>), Problem> {
    if !domain::tenant::is_application_id(&wanted.application_id) {
        return Err(Problem::invalid("application_id", "1 to 100 letters, digits and hyphens"));
    }
    if wanted.device_model.as_deref().is_some_and(|model| !is_short_text(model)) {
        return Err(Problem::invalid("device_model", "1 to 128 characters without control characters"));
    }
    let reason = envelope.reason_with(wanted.reason.clone())?;
    let (mut envelope, _) = envelope.of_many(&caller)?;
    envelope.dry_run |= wanted.dry_run;
    wait_for_the_end(&app, &[FLEET]).await?;
    let found = timeout(READING_MAX, read(&app, &caller, &wanted.application_id)).await;
    let found = found.map_err(|_| network_server::unavailable("it did not answer in time"))??;
    let requests = found.new.into_iter().map(|found| request(found, wanted.device_model.clone(), reason.clone()));
    let commands = requests.map(|request| one(&app, &caller, &envelope, request));
    let outcomes: Vec<Outcome> = futures::stream::iter(commands).buffered(IN_FLIGHT_MAX).collect().await;
    let (headers, Json(outcomes)) = outcomes::reply(&app, &envelope, outcomes).await?;
    Ok((headers, Json(ImportedDevices { devices: found.devices, known: found.known, more: found.more, outcomes })))
}

/// The devices of an application over there, beside those that are here.
struct Found {
    devices: usize,
    known: usize,
    more: bool,
    new: Vec<ImportedDevice>,
}

async fn read(app: &App, caller: &Caller, application_id: &str) -> Result<Found, Problem> {
    let tenant = app.store.load_fresh(&Key::<Tenant>::new(&caller.tenant, &caller.tenant)).await?;
    let Some((connection, _)) = tenant.aggregate.chirpstack_in_use() else {
        let detail = "the tenant has no connection to a ChirpStack";
        return Err(Problem::new(StatusCode::CONFLICT, "chirpstack_not_connected", detail));
    };
    let client = network_server::client(app, &caller.tenant, connection).await?;
    let listed = match client.list_all_devices(application_id, LISTED_MAX).await {
        Ok(listed) => listed,
        Err(error) => return Err(why(&client, connection, application_id, error).await),
    };
    let mut euis: Vec<String> = listed.into_iter().map(|item| item.dev_eui.to_ascii_lowercase()).collect();
    euis.sort();
    euis.dedup();
    let known = projections::network::by_dev_eui(&app.db, &caller.tenant, &euis).await?;
    let (devices, count_known) = (euis.len(), known.len());
    euis.retain(|eui| !known.contains_key(eui));
    let more = euis.len() > ITEMS_MAX;
    euis.truncate(ITEMS_MAX);
    let reads = euis.into_iter().map(|eui| {
        let client = client.clone();
        async move { client.get_device(&eui).await }
    });
    let results: Vec<_> = futures::stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
    let mut new = Vec::new();
    for result in results {
        match result {
            Ok(found) => new.push(ImportedDevice::of(&found.device, is_short_text)),
            // It was deleted since it was listed.
            Err(Error::NotFound { .. } | Error::Unauthenticated { .. }) => {}
            Err(error) => return Err(network_server::problem(&error)),
        }
    }
    Ok(Found { devices, known: count_known, more, new })
}

/// Why an application can't be listed. An unknown application and a refused key give the same error.
async fn why(client: &Client, connection: &ChirpStackConnection, application_id: &str, error: Error) -> Problem {
    if !matches!(error, Error::Unauthenticated { .. } | Error::NotFound { .. } | Error::Refused { .. }) {
        return network_server::problem(&error);
    }
    match client.probe(application_id, &connection.chirpstack_tenant_id).await {
        Ok(KeyState::ApplicationUnknown) => Problem::invalid("application_id", "is unknown in ChirpStack"),
        Ok(KeyState::Refused) => {
            Problem::new(StatusCode::CONFLICT, "chirpstack_key_refused", "ChirpStack does not take the API key")
        }
        Ok(KeyState::Accepted) => network_server::problem(&error),
        Err(error) => network_server::problem(&error),
    }
}

fn request(found: ImportedDevice, device_model: Option<String>, reason: Option<String>) -> DeviceRequest {
    DeviceRequest {
        device_id: Some(found.device_id),
        name: found.name,
        device_model: found.device_model.or(device_model),
        versions: BTreeMap::new(),
        lorawan_dev_eui: Some(found.dev_eui),
        join_eui: found.join_eui,
        chirpstack_app_id: Some(found.application_id),
        reason,
        ..DeviceRequest::default()
    }
}

async fn one(app: &App, caller: &Caller, envelope: &Envelope, request: DeviceRequest) -> Outcome {
    let id = request.device_id.clone();
    let envelope = envelope.item_named(id.as_deref().unwrap_or_default());
    let result = create::register(app, caller, &envelope, request).await.map(|(_, done)| Accepted {
        status: done.created_status(),
        update_id: None,
        sequence: done.position.sequence,
    });
    Outcome { id, row: None, result }
}
