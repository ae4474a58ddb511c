//! Commands of tests and demos: what devices, the network and operators at ChirpStack's own console do.

use std::collections::BTreeMap;

use bytes::Bytes;
use chirpstack::grpc::application::Application;
use chirpstack::grpc::device::Device;
use chirpstack::grpc::device_profile::DeviceProfile;
use serde::{Deserialize, Serialize};

use crate::events::messages::{LogCode, LogLevel};
use crate::faults::FaultKind;
use crate::ids::TENANT_ID;
use crate::keys::Caller;
use crate::radio::{self, DownlinkFate, Uplink};
use crate::shared::Shared;
use crate::store::{DEVICES_MAX, DeviceEntry, FuotaScript, fuota_packages};
use crate::webhook::Webhook;

/// What a test or a demo wants to happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Closes all connections and refuses new ones.
    GoDown,
    ComeUp,
    /// The next `times` calls whose path ends with `path` go wrong; an empty path means every call.
    Fault {
        #[serde(default)]
        path: String,
        times: u32,
        fault: FaultKind,
    },
    ClearFaults,
    /// A key of a tenant is valid from now on.
    AcceptKey {
        key: String,
        tenant_id: String,
    },
    /// A key was deleted over there.
    RevokeKey {
        key: String,
    },
    /// Replaces all webhooks.
    SetWebhooks {
        webhooks: Vec<Webhook>,
    },
    CreateApplication {
        id: String,
        name: String,
        #[serde(default)]
        tags: BTreeMap<String, String>,
    },
    CreateDeviceProfile {
        id: String,
        name: String,
        class_c: bool,
        /// Has the packages that FUOTA needs.
        fuota: bool,
        uplink_interval: u32,
    },
    /// Somebody creates a device, or changes the fields that are given.
    PutDevice {
        dev_eui: String,
        #[serde(default)]
        application_id: Option<String>,
        #[serde(default)]
        device_profile_id: Option<String>,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        is_disabled: Option<bool>,
        #[serde(default)]
        tags: Option<BTreeMap<String, String>>,
        #[serde(default)]
        variables: Option<BTreeMap<String, String>>,
    },
    DeleteDevice {
        dev_eui: String,
    },
    Uplink {
        #[serde(flatten)]
        uplink: Uplink,
    },
    /// An uplink after which the gateway refuses the downlink.
    UplinkWithRefusedDownlink {
        #[serde(flatten)]
        uplink: Uplink,
    },
    Join {
        dev_eui: String,
    },
    Status {
        dev_eui: String,
        margin: i32,
        /// Percent; absent: not available.
        battery: Option<f32>,
    },
    Location {
        dev_eui: String,
        latitude: f64,
        longitude: f64,
    },
    /// A log event with a code by its name.
    Log {
        dev_eui: String,
        code: String,
        description: String,
        #[serde(default)]
        context: BTreeMap<String, String>,
    },
    /// A class C device confirms what waits for a confirmation, or lets the time pass.
    ResolvePending {
        dev_eui: String,
        acknowledged: bool,
    },
    /// How a device takes part in deployments from now on.
    SetFuotaScript {
        dev_eui: String,
        script: FuotaScript,
    },
}

/// The command can't be carried out: it names something that isn't there, or there is no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlError(pub String);

impl std::fmt::Display for ControlError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ControlError {}

/// Carries out all commands but those that the connections have to know of.
pub(crate) fn carry_out(shared: &Shared, command: Command) -> Result<(), ControlError> {
    match command {
        Command::GoDown | Command::ComeUp => {}
        Command::Fault { path, times, fault } => shared.faults().add(path, times, fault),
        Command::ClearFaults => shared.faults().clear(),
        Command::AcceptKey { key, tenant_id } => {
            shared.with_store(|store, _| store.keys.set(&key, Caller::Tenant(tenant_id)))
        }
        Command::RevokeKey { key } => shared.with_store(|store, _| store.keys.set(&key, Caller::Revoked)),
        Command::SetWebhooks { webhooks } => shared.publisher.set_webhooks(webhooks),
        Command::CreateApplication { id, name, tags } => {
            let application = Application { id, name, tags, tenant_id: TENANT_ID.to_owned(), ..Application::default() };
            shared.with_store(|store, _| store.add_application(application));
        }
        Command::CreateDeviceProfile { id, name, class_c, fuota, uplink_interval } => {
            let profile = profile(id, name, class_c, fuota, uplink_interval);
            shared.with_store(|store, _| store.add_profile(profile));
        }
        command @ Command::PutDevice { .. } => put_device(shared, command)?,
        Command::DeleteDevice { dev_eui } => {
            let removed = shared.with_store(|store, _| store.devices.remove(&dev_eui));
            known(removed.is_some(), &dev_eui)?;
        }
        Command::Uplink { uplink } => send(shared, &uplink, DownlinkFate::Sent)?,
        Command::UplinkWithRefusedDownlink { uplink } => send(shared, &uplink, DownlinkFate::GatewayRefuses)?,
        Command::Join { dev_eui } => {
            known(shared.with_store(|store, outgoing| radio::join(store, outgoing, &dev_eui)), &dev_eui)?;
        }
        Command::Status { dev_eui, margin, battery } => {
            let is_known =
                shared.with_store(|store, outgoing| radio::status(store, outgoing, &dev_eui, margin, battery));
            known(is_known, &dev_eui)?;
        }
        Command::Location { dev_eui, latitude, longitude } => {
            let is_known =
                shared.with_store(|store, outgoing| radio::location(store, outgoing, &dev_eui, latitude, longitude));
            known(is_known, &dev_eui)?;
        }
        Command::Log { dev_eui, code, description, context } => {
            let code = LogCode::ALL.into_iter().find(|known| known.name() == code);
            let code = code.ok_or_else(|| ControlError("the code is unknown".to_owned()))?;
            let is_known = shared.with_store(|store, outgoing| {
                radio::log(store, outgoing, &dev_eui, LogLevel::Error, code, &description, context)
            });
            known(is_known, &dev_eui)?;
        }
        Command::ResolvePending { dev_eui, acknowledged } => shared.with_store(|store, outgoing| {
            radio::resolve_pending(store, outgoing, &dev_eui, "", acknowledged);
            radio::send_if_class_c(store, outgoing, &dev_eui);
        }),
        Command::SetFuotaScript { dev_eui, script } => {
            let is_known = shared
                .with_store(|store, _| store.devices.get_mut(&dev_eui).map(|entry| entry.fuota = script).is_some());
            known(is_known, &dev_eui)?;
        }
    }
    Ok(())
}

fn known(is_known: bool, dev_eui: &str) -> Result<(), ControlError> {
    if is_known { Ok(()) } else { Err(ControlError(format!("no device {dev_eui}"))) }
}

fn send(shared: &Shared, uplink: &Uplink, fate: DownlinkFate) -> Result<(), ControlError> {
    known(shared.with_store(|store, outgoing| radio::uplink(store, outgoing, uplink, fate)), &uplink.dev_eui)
}

fn profile(id: String, name: String, class_c: bool, fuota: bool, uplink_interval: u32) -> DeviceProfile {
    DeviceProfile {
        id,
        name,
        tenant_id: TENANT_ID.to_owned(),
        uplink_interval,
        supports_otaa: true,
        supports_class_c: class_c,
        app_layer_params: fuota.then(fuota_packages),
        ..DeviceProfile::default()
    }
}

fn put_device(shared: &Shared, command: Command) -> Result<(), ControlError> {
    let Command::PutDevice { dev_eui, application_id, device_profile_id, name, is_disabled, tags, variables } = command
    else {
        return Ok(());
    };
    shared.with_store(|store, _| {
        let existing = store.devices.get(&dev_eui).map(|entry| entry.stored.object.clone());
        let new = || -> Option<Device> {
            Some(Device {
                dev_eui: dev_eui.clone(),
                name: dev_eui.clone(),
                application_id: application_id.clone()?,
                device_profile_id: device_profile_id.clone()?,
                join_eui: "0000000000000000".to_owned(),
                ..Device::default()
            })
        };
        let is_new = existing.is_none();
        let mut device = existing
            .or_else(new)
            .ok_or_else(|| ControlError("a new device needs application_id and device_profile_id".to_owned()))?;
        device.application_id = application_id.unwrap_or(device.application_id);
        device.device_profile_id = device_profile_id.unwrap_or(device.device_profile_id);
        device.name = name.unwrap_or(device.name);
        device.is_disabled = is_disabled.unwrap_or(device.is_disabled);
        device.tags = tags.unwrap_or(device.tags);
        device.variables = variables.unwrap_or(device.variables);
        if is_new && store.devices.len() >= DEVICES_MAX {
            return Err(ControlError("too many devices".to_owned()));
        }
        if is_new {
            store.devices.insert(dev_eui, DeviceEntry::new(device, Bytes::new()));
        } else if let Some(entry) = store.devices.get_mut(&dev_eui) {
            entry.stored.replace(device);
        }
        Ok(())
    })
}
