//! Read model `devices`: what operators list and filter.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::device::{DeviceEvent as E, Profile};
use domain::values::{FIRMWARE_COMPONENT, Transport};
use domain::version::{FirmwareVersion, VersionRequirement};
use domain::{DeviceId, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgConnection, Row as _};

use crate::db::{Db, DbError, ReadTx};
use crate::decode::Decoded;
use crate::row::{parse, row, word};
use crate::table::{Page, Rows, Select};

/// Most versions of a tenant that a version filter looks at.
const VERSIONS_MAX: i64 = 10_000;
/// No text continues with a character behind this one.
const LAST_CHARACTER: u32 = 0x10_ffff;

/// A device. `status` is `online`, `offline` or `never_seen`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceRow {
    pub tenant: String,
    pub device_id: String,
    pub name: Option<String>,
    pub device_type: Option<String>,
    pub device_model: Option<String>,
    pub manufacturer: Option<String>,
    pub hardware_version: Option<String>,
    pub firmware_version: Option<String>,
    pub versions: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
    pub timezone: Option<String>,
    pub contact_interval_s: Option<u32>,
    pub lorawan_dev_eui: Option<String>,
    pub chirpstack_app_id: Option<String>,
    pub device_profile_id: Option<String>,
    pub transport: String,
    /// `active` or `decommissioned`.
    pub lifecycle: String,
    pub status: String,
    pub held: bool,
    pub hold_until: Option<DateTime<Utc>>,
    /// Ordinal of the update that has begun and not ended.
    pub live_ordinal: Option<u32>,
    /// Ordinals of updates that wait.
    pub waiting: Vec<u32>,
    pub boot_slots: Option<u8>,
    /// Version of the aggregate.
    pub version: u64,
    pub registered_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub position: u64,
}

row! {
    DeviceRow = "devices" key { tenant: "text", device_id: "text" }
    columns {
        name, device_type, device_model, manufacturer, hardware_version, firmware_version, timezone,
        contact_interval_s, lorawan_dev_eui, chirpstack_app_id, device_profile_id, transport, lifecycle, status,
        held, hold_until, live_ordinal, boot_slots, version, registered_at, updated_at, position
    }
    json { versions, tags, attributes, waiting }
}

/// A device with what was last heard of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceView {
    #[serde(flatten)]
    pub row: DeviceRow,
    pub last_seen: Option<DateTime<Utc>>,
    pub signal_strength: Option<i64>,
    pub battery_level: Option<i64>,
}

pub(crate) const TABLES: &[&str] = &["devices"];

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let of_devices = || batch.iter().filter(|record| !record.device_events().is_empty());
    let keys = of_devices().map(|record| vec![record.tenant(), record.id()]);
    let mut rows = Rows::<DeviceRow>::load(connection, keys.collect()).await?;
    for record in of_devices() {
        let key = vec![record.tenant(), record.id()];
        for event in record.device_events() {
            if let E::Registered { profile, versions } = event {
                rows.put(new_row(record, profile, versions));
            }
            let row = rows
                .get_mut(&key)
                .ok_or_else(|| DbError::Invalid(format!("{} has no registration", record.raw.key)))?;
            apply(row, event);
            row.version = record.record.last_version();
            row.updated_at = record.at();
            row.position = record.raw.position;
        }
    }
    rows.save(connection).await
}

fn new_row(record: &Decoded, profile: &Profile, versions: &BTreeMap<String, String>) -> DeviceRow {
    let mut row = DeviceRow {
        tenant: record.tenant(),
        device_id: record.id(),
        name: None,
        device_type: None,
        device_model: None,
        manufacturer: None,
        hardware_version: None,
        firmware_version: None,
        versions: versions.clone(),
        tags: BTreeMap::new(),
        attributes: BTreeMap::new(),
        timezone: None,
        contact_interval_s: None,
        lorawan_dev_eui: None,
        chirpstack_app_id: None,
        device_profile_id: None,
        transport: String::new(),
        lifecycle: "active".to_owned(),
        status: "never_seen".to_owned(),
        held: false,
        hold_until: None,
        live_ordinal: None,
        waiting: Vec::new(),
        boot_slots: None,
        version: 0,
        registered_at: record.at(),
        updated_at: record.at(),
        position: record.raw.position,
    };
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
        chirpstack_app_id: row.chirpstack_app_id.clone(),
        device_profile_id: row.device_profile_id.clone(),
        transport: transport(&row.transport),
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
    row.chirpstack_app_id.clone_from(&profile.chirpstack_app_id);
    row.device_profile_id.clone_from(&profile.device_profile_id);
    row.transport = word(&profile.transport);
}

fn transport(word: &str) -> Transport {
    serde_json::from_value(word.into()).unwrap_or_default()
}

fn apply(row: &mut DeviceRow, event: &E) {
    match event {
        E::Registered { versions, .. } => set_versions(row, versions),
        E::Recommissioned { profile, versions } => {
            set_profile(row, profile);
            row.versions.clear();
            row.lifecycle = "active".to_owned();
            row.status = "never_seen".to_owned();
            (row.held, row.hold_until) = (false, None);
            set_versions(row, versions);
        }
        E::Amended { patch, versions } => {
            let (profile, _) = profile_of(row).patched(patch);
            set_profile(row, &profile);
            set_versions(row, versions);
        }
        E::Decommissioned {} => {
            row.lifecycle = "decommissioned".to_owned();
            row.status = "offline".to_owned();
        }
        E::Held { until } => (row.held, row.hold_until) = (true, *until),
        E::Released {} => (row.held, row.hold_until) = (false, None),
        E::CameOnline { .. } => row.status = "online".to_owned(),
        E::WentOffline { .. } => row.status = "offline".to_owned(),
        E::InfoReported { hardware_version, slots, contact_interval_s, attributes, .. } => {
            row.attributes.clone_from(attributes);
            row.hardware_version = hardware_version.clone().or(row.hardware_version.take());
            row.boot_slots = slots.or(row.boot_slots);
            row.contact_interval_s = contact_interval_s.or(row.contact_interval_s);
        }
        E::VersionsReported { versions, .. } => set_versions(row, versions),
        E::UpdateConfirmed { component, version, reported, .. } => {
            let running = reported.as_ref().unwrap_or(version);
            set_versions(row, &BTreeMap::from([(component.clone(), running.clone())]));
        }
        _ => {}
    }
    if let Some((ordinal, place)) = place_of(event) {
        row.waiting.retain(|waiting| *waiting != ordinal);
        if row.live_ordinal == Some(ordinal) {
            row.live_ordinal = None;
        }
        match place {
            Place::Waiting => row.waiting.push(ordinal),
            Place::Live => row.live_ordinal = Some(ordinal),
            Place::Ended => {}
        }
    }
}

fn set_versions(row: &mut DeviceRow, versions: &BTreeMap<String, String>) {
    for (component, version) in versions {
        if version.is_empty() {
            row.versions.remove(component);
        } else {
            row.versions.insert(component.clone(), version.clone());
        }
    }
    row.firmware_version = row.versions.get(FIRMWARE_COMPONENT).cloned();
}

/// Where an update is after an event: in the queue, begun, or over.
pub(crate) enum Place {
    Waiting,
    Live,
    Ended,
}

/// The update that an event moves, and where to.
pub(crate) fn place_of(event: &E) -> Option<(u32, Place)> {
    let ordinal = event.update()?.ordinal;
    let place = match event {
        E::UpdateQueued { .. } | E::UpdateWaiting { .. } | E::UpdateAttemptFailed { .. } => Place::Waiting,
        E::UpdateDispatched { .. }
        | E::UpdateAccepted { .. }
        | E::UpdateDeferred { .. }
        | E::UpdateDownloading { .. }
        | E::UpdateVerifying { .. }
        | E::UpdateInstalling { .. }
        | E::UpdateStaged { .. }
        | E::UpdateRebooting { .. }
        | E::UpdateCancelling { .. }
        | E::UpdateCancelRefused { .. } => Place::Live,
        E::UpdateConfirmed { .. }
        | E::UpdateFailed { .. }
        | E::UpdateTimedOut { .. }
        | E::UpdateRejected { .. }
        | E::UpdateExpired { .. }
        | E::UpdateSuperseded { .. }
        | E::UpdateCancelled { .. } => Place::Ended,
        _ => return None,
    };
    Some((ordinal, place))
}

/// Which devices to list; all parts that are given must hold.
#[derive(Debug, Clone, Default)]
pub struct DeviceFilter {
    pub ids: Vec<String>,
    pub status: Option<String>,
    pub device_type: Option<String>,
    pub device_model: Option<String>,
    pub hardware_version: Option<String>,
    /// Beginning of the id or name, in whatever case.
    pub prefix: Option<String>,
    pub tags: Vec<(String, String)>,
    pub firmware_version: Option<VersionRequirement>,
    /// Only devices whose version can't be read.
    pub unreadable_version: bool,
    /// Whether the copy in a LoRaWAN network server is up to date; none is kept yet.
    pub synced: Option<bool>,
    /// Decommissioned devices, too.
    pub decommissioned: bool,
}

const FROM: &str = "devices t LEFT JOIN device_presence p ON p.tenant = t.tenant AND p.device_id = t.device_id";
const COLUMNS: &str = "to_jsonb(t) || jsonb_build_object('last_seen', p.last_seen, 'signal_strength', p.signal_strength, 'battery_level', p.battery_level)";

/// Devices by id.
pub async fn list(
    tx: &mut ReadTx,
    filter: &DeviceFilter,
    after: Option<&str>,
    limit: usize,
    count: bool,
) -> Result<Page<DeviceView>, DbError> {
    let mut select = Select::from(FROM);
    apply_filter(tx, &mut select, filter).await?;
    let after = after.map(|id| ("t.device_id > $ #>> '{}'".to_owned(), vec![Value::from(id)]));
    let (items, more, total) = select.page::<DeviceView>(tx, COLUMNS, "t.device_id", after, limit, count).await?;
    let next = items.last().filter(|_| more).map(|device| vec![device.row.device_id.clone()]);
    Ok(Page { items, next, total })
}

pub(crate) async fn apply_filter(tx: &mut ReadTx, select: &mut Select, filter: &DeviceFilter) -> Result<(), DbError> {
    if !filter.ids.is_empty() {
        select.filter("t.device_id = ANY (SELECT jsonb_array_elements_text($))", json!(filter.ids));
    }
    select.equals("t.status", filter.status.as_ref());
    select.equals("t.device_type", filter.device_type.as_ref());
    select.equals("t.device_model", filter.device_model.as_ref());
    select.equals("t.hardware_version", filter.hardware_version.as_ref());
    if let Some(prefix) = &filter.prefix {
        let begins = |column: &str| {
            format!(
                "t.{column} ~>=~ lower($ #>> '{{}}') AND t.{column} ~<~ (lower($ #>> '{{}}') || chr({LAST_CHARACTER}))"
            )
        };
        let condition = format!("({} OR {})", begins("device_id_lower"), begins("name_lower"));
        select.filter(&condition, prefix.as_str());
    }
    for (name, value) in &filter.tags {
        select.filter("t.tags @> $", json!({ name: value }));
    }
    if filter.firmware_version.is_some() || filter.unreadable_version {
        let versions: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT firmware_version FROM devices WHERE firmware_version IS NOT NULL ORDER BY 1 LIMIT $1",
        )
        .bind(VERSIONS_MAX)
        .fetch_all(&mut *tx.0)
        .await?;
        let fits = |version: &String| match &filter.firmware_version {
            Some(requirement) => requirement.matches(version),
            None => FirmwareVersion::parse(version).is_none(),
        };
        let fitting: Vec<String> = versions.into_iter().filter(fits).collect();
        select.filter("t.firmware_version = ANY (SELECT jsonb_array_elements_text($))", json!(fitting));
    }
    if filter.synced == Some(true) {
        select.filter("($)::text::boolean", false);
    }
    if !filter.decommissioned {
        select.filter("(t.lifecycle = $ #>> '{}')", "active");
    }
    Ok(())
}

/// One device.
pub async fn get(tx: &mut ReadTx, _tenant: &TenantId, device_id: &str) -> Result<Option<DeviceView>, DbError> {
    let filter = DeviceFilter { ids: vec![device_id.to_owned()], decommissioned: true, ..DeviceFilter::default() };
    Ok(list(tx, &filter, None, 1, false).await?.items.pop())
}

/// Devices of all tenants with an update that has begun, behind `after` in the order of tenant and id.
pub async fn with_live_update(
    db: &Db,
    after: Option<(&TenantId, &DeviceId)>,
    limit: usize,
) -> Result<Vec<(TenantId, DeviceId)>, DbError> {
    let mut tx = db.read_all().await?;
    let (tenant, device) = after.map_or(("", ""), |(tenant, device)| (tenant.as_str(), device.as_str()));
    let rows = sqlx::query(
        "SELECT tenant, device_id FROM devices WHERE live_ordinal IS NOT NULL AND (tenant, device_id) > ($1, $2) ORDER BY tenant, device_id LIMIT $3",
    )
    .bind(tenant)
    .bind(device)
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    rows.iter().map(|row| Ok((parse(row.try_get(0)?)?, parse(row.try_get(1)?)?))).collect()
}
