//! `PATCH` and `PUT /devices/{id}`: change what operators recorded about a device, as a merge-patch.

use std::collections::BTreeMap;

use axum::extract::State;
use domain::change::Change;
use domain::device::{Device, DeviceCommand, ProfilePatch};
use domain::values::FIRMWARE_COMPONENT;
use domain::{DeviceId, Key, Sealed};
use serde::Deserialize;
use utoipa::ToSchema;

use super::dev_eui;
use super::model::DeviceBody;
use crate::auth::Caller;
use crate::fields::{self, Checks};
use crate::http::commands::CommandHeaders;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{CommandRequest, Envelope, Patch, Path, Problem, Reply};
use crate::state::App;

/// What to change: absent fields stay, `null` clears.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"name": "Hall 3", "tags": {"site": "south", "line": null}, "reason": "moved"}))]
pub(crate) struct DevicePatch {
    /// If given, it must be the device's own.
    device_id: Option<String>,
    #[schema(value_type = Option<String>)]
    name: Change<String>,
    #[schema(value_type = Option<String>)]
    device_type: Change<String>,
    #[schema(value_type = Option<String>)]
    device_model: Change<String>,
    #[schema(value_type = Option<String>)]
    manufacturer: Change<String>,
    #[schema(value_type = Option<String>)]
    hardware_version: Change<String>,
    #[schema(value_type = Option<String>)]
    firmware_version: Change<String>,
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    versions: Change<BTreeMap<String, Change<String>>>,
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    tags: Change<BTreeMap<String, Change<String>>>,
    #[schema(value_type = Option<String>)]
    timezone: Change<String>,
    #[schema(value_type = Option<u32>)]
    contact_interval_s: Change<u32>,
    #[schema(value_type = Option<String>)]
    lorawan_dev_eui: Change<String>,
    #[schema(value_type = Option<String>)]
    join_eui: Change<String>,
    #[schema(value_type = Option<String>)]
    chirpstack_app_id: Change<String>,
    #[schema(value_type = Option<String>)]
    device_profile_id: Change<String>,
    #[schema(value_type = Option<String>)]
    owner: Change<String>,
    reason: Option<String>,
}

fn set<T>(change: &Change<T>) -> Option<&T> {
    match change {
        Change::Set(value) => Some(value),
        Change::Keep | Change::Clear => None,
    }
}

impl DevicePatch {
    /// The patch of the profile, and versions to set (an empty text removes one).
    fn checked(self, id: &DeviceId, device: &Device) -> Result<(ProfilePatch, BTreeMap<String, String>), Problem> {
        let mut checks = Checks::default();
        if self.device_id.as_ref().is_some_and(|given| given != id.as_str()) {
            checks.fail("device_id", "differs from the path");
        }
        let shorts = [
            ("name", &self.name),
            ("device_type", &self.device_type),
            ("device_model", &self.device_model),
            ("manufacturer", &self.manufacturer),
            ("hardware_version", &self.hardware_version),
            ("device_profile_id", &self.device_profile_id),
        ];
        for (field, change) in shorts {
            checks.short(field, set(change).map(String::as_str));
        }
        if let Change::Set(tags) = &self.tags {
            checks.tags("tags", tags.iter().map(|(key, change)| (key, set(change))));
        }
        checks.timezone(set(&self.timezone).map(String::as_str));
        checks.contact_interval(set(&self.contact_interval_s).copied());
        checks.application_id("chirpstack_app_id", set(&self.chirpstack_app_id).map(String::as_str));
        checks.owner("owner", set(&self.owner).map(String::as_str));
        let lorawan_dev_eui = match self.lorawan_dev_eui {
            Change::Set(eui) => Change::Set(checks.dev_eui(&eui)),
            other => other,
        };
        let join_eui = match self.join_eui {
            Change::Set(eui) => Change::Set(checks.eui("join_eui", &eui)),
            other => other,
        };
        let versions = versions(self.versions, self.firmware_version, device, &mut checks);
        checks.finish()?;
        let name = match self.name {
            Change::Set(name) => Change::Set(Sealed::Plain(name)),
            Change::Clear => Change::Clear,
            Change::Keep => Change::Keep,
        };
        let patch = ProfilePatch {
            name,
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
        };
        Ok((patch, versions))
    }
}

fn versions(
    given: Change<BTreeMap<String, Change<String>>>,
    firmware_version: Change<String>,
    device: &Device,
    checks: &mut Checks,
) -> BTreeMap<String, String> {
    let (mut stated, mut removed) = (BTreeMap::new(), Vec::new());
    match given {
        Change::Keep => {}
        Change::Clear => removed.extend(device.versions.keys().cloned()),
        Change::Set(changes) => {
            for (component, change) in changes {
                match change {
                    Change::Set(version) => drop(stated.insert(component, version)),
                    Change::Keep | Change::Clear => removed.push(component),
                }
            }
        }
    }
    let firmware_version = match firmware_version {
        Change::Keep => None,
        Change::Set(version) => Some(version),
        Change::Clear => {
            removed.push(FIRMWARE_COMPONENT.to_owned());
            None
        }
    };
    let mut versions = fields::merge_versions(stated, firmware_version, checks);
    for component in removed {
        versions.entry(component).or_default();
    }
    versions
}

/// Change a device
///
/// A merge-patch: absent fields stay, `null` clears.
#[utoipa::path(
    patch, path = "/devices/{device_id}", tag = "devices", request_body = DevicePatch, params(DevicePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<DeviceBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Decommissioned, or the EUI is taken", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn amend_device(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Patch(patch)): CommandRequest<Patch<DevicePatch>>,
) -> Result<Reply<DeviceBody>, Problem> {
    amend(&app, &caller, &envelope, &path.device_id, patch).await
}

/// Change a device (the same as PATCH)
#[utoipa::path(
    put, path = "/devices/{device_id}", tag = "devices", request_body = DevicePatch, params(DevicePath, CommandHeaders),
    responses((status = 200, body = WithPosition<DeviceBody>))
)]
pub(crate) async fn replace_device(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Patch(patch)): CommandRequest<Patch<DevicePatch>>,
) -> Result<Reply<DeviceBody>, Problem> {
    amend(&app, &caller, &envelope, &path.device_id, patch).await
}

async fn amend(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    id: &DeviceId,
    patch: DevicePatch,
) -> Result<Reply<DeviceBody>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, id);
    if let Some(done) = app.repeated(caller, envelope, &key).await? {
        return Ok(done.reply(DeviceBody::done(id, &done)));
    }
    let before = app.store.load_fresh(&key).await?;
    if !patch.owner.is_keep() {
        caller.unlimited("a change of the owner")?;
    }
    let reason = patch.reason.clone();
    let (patch, versions) = patch.checked(id, &before.aggregate)?;
    let wanted_eui = set(&patch.lorawan_dev_eui).cloned();
    let old_eui = before.aggregate.profile.lorawan_dev_eui.clone();
    if let Some(eui) = &wanted_eui
        && before.version > 0
    {
        dev_eui::claim(app, caller, envelope, eui, id).await?;
    }
    let outcome = app.command(caller, envelope, &key, DeviceCommand::Amend { patch, versions }, reason).await;
    if !envelope.dry_run {
        // Releases the EUI, old or new, that the device doesn't have now.
        for eui in [&wanted_eui, &old_eui].into_iter().flatten() {
            dev_eui::release_unless_used(app, caller, envelope, eui, id).await;
        }
    }
    let done = outcome?;
    if let Some(eui) = &wanted_eui {
        dev_eui::keep(app, caller, envelope, eui, id).await?;
    }
    Ok(done.reply(DeviceBody::done(id, &done)))
}
