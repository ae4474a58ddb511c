//! Read model `devices`: what operators list and filter.

use domain::device::{DeviceEvent as E, Lifecycle, Network, Phase, Profile, Reachability, SyncState, WaitReason};
use domain::values::FIRMWARE_COMPONENT;
use sqlx::PgConnection;

pub use super::device_queries::{DeviceFilter, DeviceView, get, list, with_retained_command};
pub use super::device_reads::DeviceReads;
pub use super::device_row::DeviceRow;
use crate::db::DbError;
use crate::decode::Decoded;
use crate::memory::Memory;
use crate::table::Rows;

pub(crate) const TABLES: &[&str] = &["devices"];

/// The devices that a batch touches, also those that it registers.
pub(crate) async fn load(
    connection: &mut PgConnection,
    memory: &mut Memory,
    batch: &[Decoded],
) -> Result<Rows<DeviceRow>, DbError> {
    let of_devices = || batch.iter().filter(|record| !record.device_events().is_empty());
    let keys = of_devices().map(|record| vec![record.tenant(), record.id()]);
    let mut rows = Rows::recall(connection, memory, keys.collect()).await?;
    for record in of_devices() {
        for event in record.device_events() {
            if let E::Registered { profile, .. } = event {
                rows.put(new_row(record, profile));
            }
        }
        if rows.get(&[record.tenant(), record.id()]).is_none() {
            return Err(DbError::Invalid(format!("{} has no registration", record.raw.key)));
        }
    }
    Ok(rows)
}

/// Applies a record of the device. What runs is set by [`super::history`].
pub(crate) fn apply(record: &Decoded, row: &mut DeviceRow) {
    for event in record.device_events() {
        apply_event(row, event);
        apply_network(row, event);
        let is_moved = apply_place(row, event);
        // An update's row has the version, too, and most events of an update change only that row.
        if is_moved || event.update().is_none() {
            (row.version, row.position) = (record.record.last_version(), record.raw.position);
        }
    }
    row.firmware_version = row.versions.get(FIRMWARE_COMPONENT).cloned();
}

fn new_row(record: &Decoded, profile: &Profile) -> DeviceRow {
    let mut row = DeviceRow::unregistered(record.tenant(), record.id(), record.at());
    set_profile(&mut row, profile);
    row
}

fn profile_of(row: &DeviceRow) -> Profile {
    Profile {
        name: row.name.clone().map(Into::into),
        device_type: row.device_type.clone(),
        device_model: row.device_model.clone(),
        manufacturer: row.manufacturer.clone(),
        hardware_version: row.hardware_version.clone(),
        tags: row.tags.clone(),
        timezone: row.timezone.clone(),
        contact_interval_s: row.contact_interval_s,
        lorawan_dev_eui: row.lorawan_dev_eui.clone(),
        join_eui: row.join_eui.clone(),
        chirpstack_app_id: row.chirpstack_app_id.clone(),
        device_profile_id: row.device_profile_id.clone(),
        owner: row.owner.clone(),
        transport: row.transport,
    }
}

fn set_profile(row: &mut DeviceRow, profile: &Profile) {
    row.name = profile.name.as_ref().and_then(|name| name.plain().cloned());
    row.device_type.clone_from(&profile.device_type);
    row.device_model.clone_from(&profile.device_model);
    row.manufacturer.clone_from(&profile.manufacturer);
    row.hardware_version.clone_from(&profile.hardware_version);
    row.tags.clone_from(&profile.tags);
    row.timezone.clone_from(&profile.timezone);
    row.contact_interval_s = profile.contact_interval_s;
    row.lorawan_dev_eui.clone_from(&profile.lorawan_dev_eui);
    row.join_eui.clone_from(&profile.join_eui);
    row.chirpstack_app_id.clone_from(&profile.chirpstack_app_id);
    row.device_profile_id.clone_from(&profile.device_profile_id);
    row.owner.clone_from(&profile.owner);
    row.transport = profile.transport;
}

fn apply_event(row: &mut DeviceRow, event: &E) {
    match event {
        E::Recommissioned { profile, .. } => {
            set_profile(row, profile);
            (row.lifecycle, row.status) = (Lifecycle::Active, Reachability::NeverSeen);
            (row.held, row.hold_until) = (false, None);
        }
        E::Amended { patch, .. } => {
            let (profile, _) = profile_of(row).patched(patch);
            set_profile(row, &profile);
        }
        E::Decommissioned {} => (row.lifecycle, row.status) = (Lifecycle::Decommissioned, Reachability::Offline),
        E::Held { until } => (row.held, row.hold_until) = (true, *until),
        E::Released {} => (row.held, row.hold_until) = (false, None),
        E::CameOnline { .. } => row.status = Reachability::Online,
        E::WentOffline { .. } => row.status = Reachability::Offline,
        E::InfoReported { hardware_version, slots, contact_interval_s, attributes, .. } => {
            row.attributes.clone_from(attributes);
            row.hardware_version = hardware_version.clone().or(row.hardware_version.take());
            row.boot_slots = slots.or(row.boot_slots);
            row.contact_interval_s = contact_interval_s.or(row.contact_interval_s);
        }
        _ => {}
    }
}

/// What is known of the copy in the network server. The fold is the aggregate's own.
fn apply_network(row: &mut DeviceRow, event: &E) {
    let before = row.network.take();
    row.network = Network::after(before, event, row.network_identity());
    row.sync_state = row.network.as_deref().map_or(SyncState::default(), Network::state);
}

/// Updates which update is live and which wait. Returns whether an event changed that.
fn apply_place(row: &mut DeviceRow, event: &E) -> bool {
    let (Some(update), Some(phase)) = (event.update(), event.phase()) else { return false };
    let ordinal = update.ordinal;
    if phase.is_live() && row.live_ordinal == Some(ordinal) {
        return false;
    }
    row.waiting.retain(|waiting| *waiting != ordinal);
    row.between_attempts.remove(&ordinal);
    if row.live_ordinal == Some(ordinal) {
        row.live_ordinal = None;
    }
    if phase.is_live() {
        row.live_ordinal = Some(ordinal);
    } else if phase.is_waiting() {
        row.waiting.push(ordinal);
    }
    if phase == Phase::Waiting(WaitReason::Backoff) {
        row.between_attempts.insert(ordinal);
    }
    true
}
