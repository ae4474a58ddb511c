//! The device in replies, from its aggregate or from the read model.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::DeviceId;
use domain::device::{Device, DeviceOperation, Lifecycle, Network, SyncState, allowed_commands, refused_commands};
use domain::values::{FIRMWARE_COMPONENT, Transport};
use event_store::Origin;
use projections::devices::DeviceView;
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Done, RefusalBody, WhyNot, why_not};

/// An update of a device that is under way or queued.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpdateLink {
    #[schema(example = "d-1~17")]
    update_id: String,
    ordinal: u32,
}

impl UpdateLink {
    fn new(device_id: &str, ordinal: u32) -> Self {
        Self { update_id: format!("{device_id}~{ordinal}"), ordinal }
    }
}

/// How the copy in the network server stands.
struct Sync {
    state: SyncState,
    error: Option<String>,
    is_disabled: bool,
    edited: Vec<String>,
}

impl Sync {
    fn of(network: Option<&Network>) -> Self {
        let copy = network.and_then(|network| network.copy.as_ref());
        let failure = network.and_then(|network| network.failure.as_ref());
        Self {
            state: network.map_or(SyncState::default(), Network::state),
            error: failure.map(|failure| format!("{}: {}", failure.code, failure.reason)),
            is_disabled: copy.is_some_and(|copy| copy.is_disabled),
            edited: copy.map(|copy| copy.edited.clone()).unwrap_or_default(),
        }
    }
}

/// A device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceBody {
    pub(crate) device_id: String,
    name: Option<String>,
    device_type: Option<String>,
    device_model: Option<String>,
    manufacturer: Option<String>,
    hardware_version: Option<String>,
    /// The same as `versions.firmware`.
    firmware_version: Option<String>,
    /// Running versions, by component.
    versions: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    /// Reported by the device.
    attributes: BTreeMap<String, String>,
    timezone: Option<String>,
    contact_interval_s: Option<u32>,
    lorawan_dev_eui: Option<String>,
    /// EUI of the join server; zeros in the network server when there is none.
    join_eui: Option<String>,
    chirpstack_app_id: Option<String>,
    device_profile_id: Option<String>,
    /// An opaque id.
    owner: Option<String>,
    /// `mqtt`, `lorawan` or `ddi`; more may be added.
    transport: String,
    /// State of the copy in a LoRaWAN network server: `pending`, `synced` or `failed`; `not_applicable` without an EUI or an application.
    sync_state: &'static str,
    /// Why the network server refuses it.
    sync_error: Option<String>,
    /// Whether `sync_state` is `synced`.
    chirpstack_synced: bool,
    /// It is disabled in the network server.
    chirpstack_disabled: bool,
    /// Fields that somebody has changed in the network server, of a device that Waybill did not create there.
    chirpstack_edited: Vec<String>,
    /// `active` or `decommissioned`.
    lifecycle: String,
    /// `online`, `offline` or `never_seen`.
    status: String,
    /// Never targeted while held.
    held: bool,
    hold_until: Option<DateTime<Utc>>,
    last_seen: Option<DateTime<Utc>>,
    /// dBm
    signal_strength: Option<i64>,
    /// Percent
    battery_level: Option<i64>,
    /// Ids of the static groups that it is a member of. Null in replies to commands and of earlier times.
    groups: Option<Vec<String>>,
    /// The update that has begun and not ended.
    current_update: Option<UpdateLink>,
    /// Waiting updates, by ordinal.
    waiting_updates: Vec<UpdateLink>,
    /// Commands that would change it: `amend`, `decommission`, `hold`, `release`, `update`, `roll_back`, `command`. Other facts may still refuse one.
    allowed_commands: Vec<&'static str>,
    /// Why its state doesn't allow the other commands, by command.
    #[schema(value_type = BTreeMap<String, RefusalBody>)]
    why_not: WhyNot,
    /// Number of the device's events: its `ETag`.
    version: u64,
    registered_at: Option<DateTime<Utc>>,
}

impl DeviceBody {
    /// After a command.
    pub(crate) fn done(id: &DeviceId, done: &Done<Device>) -> Self {
        Self::of(id, &done.aggregate, done.origin.as_deref())
    }

    /// From the aggregate, which doesn't have the latest telemetry.
    pub(crate) fn of(id: &DeviceId, device: &Device, origin: Option<&Origin>) -> Self {
        let profile = device.profile.clone();
        let sync = Sync::of(device.network());
        let waiting = device.updates.values().filter(|update| update.phase.is_waiting());
        Self {
            device_id: id.to_string(),
            name: profile.name.and_then(|name| name.plain().cloned()),
            device_type: profile.device_type,
            device_model: profile.device_model,
            manufacturer: profile.manufacturer,
            hardware_version: profile.hardware_version,
            firmware_version: device.versions.get(FIRMWARE_COMPONENT).cloned(),
            versions: device.versions.clone(),
            tags: profile.tags,
            attributes: device.attributes.clone(),
            timezone: profile.timezone,
            contact_interval_s: profile.contact_interval_s,
            lorawan_dev_eui: profile.lorawan_dev_eui,
            join_eui: profile.join_eui,
            chirpstack_app_id: profile.chirpstack_app_id,
            device_profile_id: profile.device_profile_id,
            owner: profile.owner,
            transport: profile.transport.word().to_owned(),
            sync_state: sync.state.word(),
            sync_error: sync.error,
            chirpstack_synced: sync.state == SyncState::Synced,
            chirpstack_disabled: sync.is_disabled,
            chirpstack_edited: sync.edited,
            lifecycle: device.lifecycle.word().to_owned(),
            status: device.reachability.word().to_owned(),
            held: false,
            hold_until: None,
            last_seen: None,
            signal_strength: None,
            battery_level: None,
            groups: None,
            current_update: device.live().map(|update| UpdateLink::new(id.as_str(), update.ordinal)),
            waiting_updates: waiting.map(|update| UpdateLink::new(id.as_str(), update.ordinal)).collect(),
            allowed_commands: vec![],
            why_not: WhyNot::default(),
            version: device.version,
            registered_at: origin.map(|origin| origin.at),
        }
        .held_at(device, clock::now())
    }

    /// Shows a hold, unless it has ended by that time.
    pub(crate) fn held_at(mut self, device: &Device, now: DateTime<Utc>) -> Self {
        self.held = device.is_held(now);
        self.allowed_commands = allowed(device.lifecycle, device.profile.transport, self.held);
        self.why_not = refused(device.lifecycle, device.profile.transport, self.held);
        self.hold_until = device.hold.filter(|_| self.held).and_then(|hold| hold.until);
        self
    }
}

fn allowed(lifecycle: Lifecycle, transport: Transport, held: bool) -> Vec<&'static str> {
    allowed_commands(lifecycle, transport, held).into_iter().map(DeviceOperation::word).collect()
}

fn refused(lifecycle: Lifecycle, transport: Transport, held: bool) -> WhyNot {
    let refused = refused_commands(lifecycle, transport, held);
    why_not(refused.into_iter().map(|(command, refusal)| (command.word(), refusal)))
}

impl From<DeviceView> for DeviceBody {
    fn from(view: DeviceView) -> Self {
        let row = view.row;
        let link = |ordinal: u32| UpdateLink::new(&row.device_id, ordinal);
        let sync = Sync::of(row.network.as_deref());
        let held = row.held && row.hold_until.is_none_or(|until| clock::now() < until);
        Self {
            current_update: row.live_ordinal.map(link),
            waiting_updates: row.waiting.iter().map(|ordinal| link(*ordinal)).collect(),
            device_id: row.device_id,
            name: row.name,
            device_type: row.device_type,
            device_model: row.device_model,
            manufacturer: row.manufacturer,
            hardware_version: row.hardware_version,
            firmware_version: row.firmware_version,
            versions: row.versions,
            tags: row.tags,
            attributes: row.attributes,
            timezone: row.timezone,
            contact_interval_s: row.contact_interval_s,
            lorawan_dev_eui: row.lorawan_dev_eui,
            join_eui: row.join_eui,
            chirpstack_app_id: row.chirpstack_app_id,
            device_profile_id: row.device_profile_id,
            owner: row.owner,
            transport: row.transport.word().to_owned(),
            sync_state: sync.state.word(),
            sync_error: sync.error,
            chirpstack_synced: sync.state == SyncState::Synced,
            chirpstack_disabled: sync.is_disabled,
            chirpstack_edited: sync.edited,
            lifecycle: row.lifecycle.word().to_owned(),
            status: row.status.word().to_owned(),
            held,
            hold_until: row.hold_until.filter(|_| held),
            last_seen: view.last_seen,
            signal_strength: view.signal_strength,
            battery_level: view.battery_level,
            groups: Some(view.groups),
            allowed_commands: allowed(row.lifecycle, row.transport, held),
            why_not: refused(row.lifecycle, row.transport, held),
            version: row.version,
            registered_at: Some(row.registered_at),
        }
    }
}

/// Path of a device.
pub(crate) fn location(id: &DeviceId) -> String {
    format!("/api/v1/devices/{id}")
}
