//! `POST /device-registrations`: a device registers itself and gets a credential.
//!
//! The use of the token is counted before the device's event is stored. If the process dies between, the device comes again and counts no
//! second time. The device's aggregate decides alone whether it takes a further credential.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use domain::device::{Device, DeviceCommand, NewCredential, SelfRegistration};
use domain::registration_token::{Applicant, RegistrationTokenCommand};
use domain::{CommandId, CredentialId, DeviceId, Key};
use event_store::{Cause, ExecuteError, Loaded, Request};
use runtime::clock;
use serde::{Deserialize, Serialize};
use trust::DeviceToken;
use utoipa::ToSchema;
use uuid::Uuid;

use super::metrics::{self, OTHER_TENANT, REGISTERED, RETURNED};
use super::registrant::Registrant;
use crate::devices::{DeviceRequest, MqttLogin, Registration};
use crate::fields;
use crate::http::problem::ProblemBody;
use crate::http::{Body, Problem};
use crate::shown_token::{NOT_CACHED, ShownToken};
use crate::state::App;
use crate::tenants::quotas;

/// Largest body, in bytes.
pub(crate) const BODY_MAX_BYTES: usize = 64 * 1024;

/// A device, as it describes itself. It has no tags: they come from its token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "device_id": "SN-24-0001", "device_model": "SF-2024-Pro", "hardware_version": "1.2", "firmware_version": "1.0.0",
}))]
pub(crate) struct DeviceRegistrationRequest {
    /// The token's tenant; may be left out.
    tenant_id: Option<String>,
    /// `[A-Za-z0-9][A-Za-z0-9_:-]{0,63}`
    device_id: String,
    name: Option<String>,
    device_type: Option<String>,
    device_model: Option<String>,
    manufacturer: Option<String>,
    hardware_version: Option<String>,
    /// Another name for `versions.firmware`.
    firmware_version: Option<String>,
    #[serde(default)]
    versions: BTreeMap<String, String>,
    /// IANA name.
    timezone: Option<String>,
    /// How often the device makes contact by itself, in seconds.
    contact_interval_s: Option<u32>,
}

/// The device's credential.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegisteredDevice {
    device_id: String,
    tenant_id: String,
    credential_id: Uuid,
    /// The device's password.
    token: ShownToken,
    mqtt: MqttLogin,
}

impl DeviceRegistrationRequest {
    fn checked(self) -> Result<(DeviceId, Registration), Problem> {
        let id = fields::device_id(self.device_id)?;
        let described = DeviceRequest {
            name: self.name,
            device_type: self.device_type,
            device_model: self.device_model,
            manufacturer: self.manufacturer,
            hardware_version: self.hardware_version,
            firmware_version: self.firmware_version,
            versions: self.versions,
            timezone: self.timezone,
            contact_interval_s: self.contact_interval_s,
            ..DeviceRequest::default()
        };
        Ok((id, described.checked()?))
    }
}

/// Register a device by itself
///
/// With a registration token: `Authorization: Bearer wbr_…` or `GatewayToken wbr_…`. An unknown device is registered with the token's tags. A known one, such as a
/// device that lost its memory, gets a further credential if it has none or got its latest with the same token; of two live ones the older
/// one is replaced. The reply doesn't say why a device is refused: the service's log does.
#[utoipa::path(
    post, path = "/device-registrations", tag = "device registrations", request_body = DeviceRegistrationRequest,
    responses(
        (status = 201, body = RegisteredDevice),
        (status = 401, description = "No valid registration token", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token doesn't admit this device", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many devices at once, or the event log is down: try again after `Retry-After`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register_itself(
    State(app): State<App>,
    registrant: Registrant,
    Body(wanted): Body<DeviceRegistrationRequest>,
) -> Result<impl IntoResponse, Problem> {
    let named = wanted.tenant_id.clone();
    let (id, registration) = wanted.checked()?;
    if named.is_some_and(|tenant| tenant != registrant.tenant.as_str()) {
        return Err(refusal(&registrant, &id, OTHER_TENANT));
    }
    let _place = app.registrations.enter()?;
    may_register(&app, &registrant, &id).await?;
    let outcome = register(&app, &registrant, &id, registration).await;
    let (credential_id, token) = outcome.map_err(|error| match error {
        ExecuteError::Rejected(rejection) => refusal(&registrant, &id, rejection.code()),
        error => error.into(),
    })?;
    let registered = RegisteredDevice {
        device_id: id.to_string(),
        tenant_id: registrant.tenant.to_string(),
        credential_id: credential_id.0,
        token: ShownToken::of(&token),
        mqtt: MqttLogin::of(&registrant.tenant, &id),
    };
    Ok((StatusCode::CREATED, NOT_CACHED, Json(registered)))
}

/// Refuses devices of a tenant that admits nobody, or that has as many as it may have.
async fn may_register(app: &App, registrant: &Registrant, id: &DeviceId) -> Result<(), Problem> {
    if app.tenants.get(&registrant.tenant).await?.admits_callers().is_err() {
        return Err(refusal(registrant, id, metrics::TENANT_SHUT));
    }
    let key = Key::<Device>::new(&registrant.tenant, id);
    app.has_room_for_device(&key).await.map_err(|problem| match problem.code() {
        quotas::EXCEEDED => refusal(registrant, id, metrics::QUOTA_EXCEEDED),
        _ => problem,
    })
}

/// The one answer to every device that a token doesn't admit.
fn refusal(registrant: &Registrant, device: &DeviceId, reason: &'static str) -> Problem {
    metrics::refused(&registrant.tenant, registrant.token_id, device, reason);
    Problem::forbidden("the registration token does not admit this device")
}

async fn register(
    app: &App,
    registrant: &Registrant,
    id: &DeviceId,
    described: Registration,
) -> Result<(CredentialId, DeviceToken), ExecuteError> {
    let key = Key::<Device>::new(&registrant.tenant, id);
    let known = app.store.load_fresh(&key).await?;
    let applicant = applicant(&known, id, &described);
    let (token, credential_id) = (DeviceToken::generate(), CredentialId(clock::new_id()));
    let actor = &registrant.actor;
    let credential = NewCredential {
        credential_id,
        hash: app.config.token_hasher.hash(&token),
        expires_at: None,
        by: actor.clone(),
    };
    let Registration { mut profile, versions, .. } = described;
    profile.tags = registrant.token.aggregate.terms().map(|terms| terms.scope.tags.clone()).unwrap_or_default();
    let registration = SelfRegistration { registration_token: registrant.token_id, profile, versions, credential };
    let command = DeviceCommand::SelfRegister { registration: Box::new(registration) };
    let correlation_id = Some(clock::new_id());
    let request = Request {
        correlation_id,
        cause: Cause::Sender,
        ..Request::new(CommandId(clock::new_id()), actor.clone(), command)
    };
    // A device that is refused anyway doesn't count.
    registrant.token.aggregate.admits(request.now, &applicant)?;
    app.store.check(&key, &request).await?;
    let using = RegistrationTokenCommand::Use { applicant };
    let using = Request {
        correlation_id,
        cause: Cause::Sender,
        ..Request::new(CommandId(clock::new_id()), actor.clone(), using)
    };
    {
        let _counting = app.registrations.counting.lock().await;
        app.store.execute(&registrant.key(), using).await?;
    }
    app.store.execute(&key, request).await?;
    let outcome = if known.version == 0 { REGISTERED } else { RETURNED };
    metrics::count(outcome);
    tracing::info!(tenant = %registrant.tenant, registration_token.id = %registrant.token_id, device.id = %id, outcome, "a device registered itself");
    Ok((credential_id, token))
}

/// Of a known device counts what is known of it, not what it says.
fn applicant(known: &Loaded<Device>, id: &DeviceId, described: &Registration) -> Applicant {
    let profile = if known.version > 0 { &known.aggregate.profile } else { &described.profile };
    let (device_model, device_type) = (profile.device_model.clone(), profile.device_type.clone());
    Applicant { device: id.clone(), device_model, device_type }
}
