//! `POST /devices`: register a device.

use std::collections::BTreeMap;

use axum::extract::State;
use domain::device::{Device, DeviceCommand, Profile};
use domain::values::Transport;
use domain::{DeviceId, Key, Sealed};
use event_store::CommandHash;
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::{DeviceBody, location};
use super::{dev_eui, key};
use crate::auth::Caller;
use crate::fields::{self, Checks};
use crate::http::commands::CommandHeaders;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Done, Envelope, Problem, Reply};
use crate::state::App;

/// A device to register.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "device_id": "d-1", "device_type": "smart_frame", "device_model": "SF-2024-Pro", "hardware_version": "1.2",
    "firmware_version": "1.0.0", "tags": {"site": "north"}, "timezone": "Europe/Berlin",
}))]
pub(crate) struct DeviceRequest {
    /// `[A-Za-z0-9][A-Za-z0-9_:-]{0,63}`; generated when absent.
    pub(crate) device_id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) device_type: Option<String>,
    pub(crate) device_model: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) hardware_version: Option<String>,
    /// Another name for `versions.firmware`.
    pub(crate) firmware_version: Option<String>,
    #[serde(default)]
    pub(crate) versions: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// IANA name.
    pub(crate) timezone: Option<String>,
    /// How often the device makes contact by itself, in seconds.
    pub(crate) contact_interval_s: Option<u32>,
    /// 16 hexadecimal digits, unique in the tenant.
    #[schema(example = "0102030405060708")]
    pub(crate) lorawan_dev_eui: Option<String>,
    /// EUI of the join server: 16 hexadecimal digits.
    pub(crate) join_eui: Option<String>,
    pub(crate) chirpstack_app_id: Option<String>,
    pub(crate) device_profile_id: Option<String>,
    /// An opaque id, never a name: callers with a grant for their `own` devices see those that have their id here.
    pub(crate) owner: Option<String>,
    pub(crate) reason: Option<String>,
}

/// A validated request.
pub(crate) struct Registration {
    pub(crate) profile: Profile,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) reason: Option<String>,
}

impl DeviceRequest {
    pub(crate) fn checked(self) -> Result<Registration, Problem> {
        let mut checks = Checks::default();
        let shorts = [
            ("name", &self.name),
            ("device_type", &self.device_type),
            ("device_model", &self.device_model),
            ("manufacturer", &self.manufacturer),
            ("hardware_version", &self.hardware_version),
            ("device_profile_id", &self.device_profile_id),
        ];
        for (field, value) in shorts {
            checks.short(field, value.as_deref());
        }
        checks.tags("tags", self.tags.iter().map(|(key, value)| (key, Some(value))));
        checks.timezone(self.timezone.as_deref());
        checks.contact_interval(self.contact_interval_s);
        checks.application_id("chirpstack_app_id", self.chirpstack_app_id.as_deref());
        checks.owner("owner", self.owner.as_deref());
        let lorawan_dev_eui = self.lorawan_dev_eui.map(|eui| checks.dev_eui(&eui));
        let join_eui = self.join_eui.map(|eui| checks.eui("join_eui", &eui));
        let versions = fields::merge_versions(self.versions, self.firmware_version, &mut checks);
        checks.finish()?;
        let profile = Profile {
            name: self.name.map(Sealed::Plain),
            device_type: self.device_type,
            device_model: self.device_model,
            manufacturer: self.manufacturer,
            hardware_version: self.hardware_version,
            tags: self.tags,
            timezone: self.timezone,
            contact_interval_s: self.contact_interval_s,
            lorawan_dev_eui,
            join_eui,
            chirpstack_app_id: self.chirpstack_app_id,
            device_profile_id: self.device_profile_id,
            owner: self.owner,
            transport: Transport::default(),
        }
        .reached_by_identity();
        Ok(Registration { profile, versions, reason: self.reason })
    }
}

/// Register a device
///
/// A decommissioned device is taken back into service. A repeated request gives the first outcome.
#[utoipa::path(
    post, path = "/devices", tag = "devices", request_body = DeviceRequest, params(CommandHeaders),
    responses(
        (status = 201, body = WithPosition<DeviceBody>),
        (status = 200, description = "It was registered with the same data", body = WithPosition<DeviceBody>),
        (status = 409, description = "Registered with other data, or the EUI is taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register_device(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<DeviceRequest>>,
) -> Result<Reply<DeviceBody>, Problem> {
    let (chosen, generated) = (wanted.device_id.clone(), key::generated_id(&caller, &envelope)?);
    let id = chosen.clone().map(fields::device_id).transpose()?.unwrap_or_else(|| generated.clone());
    let [device, generated] = [&id, &generated].map(|id| Key::<Device>::new(&caller.tenant, id));
    key::claim_id(&app, &caller, &envelope, &generated, chosen.clone()).await?;
    let outcome = register(&app, &caller, &envelope, wanted).await;
    key::release_id(&app, &caller, &envelope, &outcome, &device, chosen).await;
    let (id, done) = outcome?;
    Ok(done.reply_created(DeviceBody::done(&id, &done), location(&id)))
}

/// Registers one device: claims its EUI, then stores the registration.
pub(super) async fn register(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    wanted: DeviceRequest,
) -> Result<(DeviceId, Done<Device>), Problem> {
    let id = match wanted.device_id.clone() {
        Some(id) => fields::device_id(id)?,
        None => key::generated_id(caller, envelope)?,
    };
    let Registration { profile, versions, reason } = wanted.checked()?;
    let eui = profile.lorawan_dev_eui.clone();
    let key = Key::<Device>::new(&caller.tenant, &id);
    let command = DeviceCommand::Register { profile, versions };
    app.has_room_for_device(&key).await?;
    let Some(eui) = eui else {
        let done = app.command(caller, envelope, &key, command, reason).await?;
        return Ok((id, done));
    };
    // Earlier versions stored the digest of the command.
    let earlier = CommandHash::of(&command).map_err(Problem::internal)?;
    if let Some(done) = app.repeated_or(caller, envelope, &key, Some(earlier)).await? {
        return Ok((id, done));
    }
    dev_eui::claim(app, caller, envelope, &eui, &id).await?;
    let outcome = app.command(caller, envelope, &key, command, reason).await;
    match &outcome {
        Err(problem) if problem.status().is_client_error() => {
            dev_eui::release_unless_used(app, caller, envelope, &eui, &id).await;
        }
        Err(_) => {}
        Ok(_) => dev_eui::keep(app, caller, envelope, &eui, &id).await?,
    }
    Ok((id, outcome?))
}
