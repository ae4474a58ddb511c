//! Queries of operators on devices: by id, and lists with filters.

use chrono::{DateTime, Utc};
use domain::campaign::TargetFilters;
use domain::device::SyncState;
use domain::version::{FirmwareVersion, VersionRequirement};
use domain::{DeviceId, TenantId};
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::device_row::DeviceRow;
use super::groups::GroupRow;
use super::reach::{self, Reach};
use super::versions;
use crate::db::{Db, DbError, ReadTx};
use crate::row::{ColumnValue as _, Row as _, parse};
use crate::sql::{HAS_BEGUN, latest_of_updates};
use crate::table::{Page, Select};

/// No text continues with a character that sorts after this one.
const LAST_CHARACTER: u32 = 0x10_ffff;

/// A device with its presence.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceView {
    /// With version and position of the device's latest event.
    pub row: DeviceRow,
    pub last_seen: Option<DateTime<Utc>>,
    pub signal_strength: Option<i64>,
    pub battery_level: Option<i64>,
    /// Ids of the static groups that it is a member of.
    pub groups: Vec<String>,
}

/// Which devices to list; all parts that are given must hold.
#[derive(Debug, Clone, Default)]
pub struct DeviceFilter {
    pub ids: Vec<String>,
    pub status: Option<String>,
    pub device_type: Option<String>,
    pub device_model: Option<String>,
    pub hardware_version: Option<String>,
    /// Members of this group: of a static group its devices, of a dynamic one the devices that match its filter, too.
    pub group: Option<GroupRow>,
    /// A saved filter that must hold, too.
    pub matching: Option<TargetFilters>,
    /// Prefix of the id or name, in any case.
    pub prefix: Option<String>,
    pub tags: Vec<(String, String)>,
    pub firmware_version: Option<VersionRequirement>,
    /// Only devices whose version can't be read.
    pub unreadable_version: bool,
    /// Whether there is a copy in a LoRaWAN network server, and it is up to date.
    pub synced: Option<bool>,
    pub sync_state: Option<SyncState>,
    pub chirpstack_app_id: Option<String>,
    /// 16 lower-case hex digits.
    pub lorawan_dev_eui: Option<String>,
    /// Also decommissioned devices.
    pub decommissioned: bool,
    pub owner: Option<String>,
    /// Only what a caller with limited grants may see.
    pub reach: Option<Reach>,
}

impl DeviceFilter {
    /// The devices of a group.
    pub fn of_group(group: &GroupRow) -> Self {
        Self { group: Some(group.clone()), ..Self::default() }
    }

    fn static_group(&self) -> Option<&GroupRow> {
        self.group.as_ref().filter(|group| group.filter.is_none())
    }
}

const FROM: &str = "devices t LEFT JOIN device_presence p ON p.tenant = t.tenant AND p.device_id = t.device_id";

/// The tables that a filter selects from. Members of a static group are read by group and in order, however few of all devices they are.
pub(crate) fn source(filter: &DeviceFilter) -> String {
    match filter.static_group() {
        Some(_) => {
            let devices = FROM.trim_start_matches("devices t");
            format!("group_members m JOIN devices t ON t.tenant = m.tenant AND t.device_id = m.device_id{devices}")
        }
        None => FROM.to_owned(),
    }
}

fn columns() -> String {
    let (seq, position) = (latest_of_updates("t", "seq"), latest_of_updates("t", "position"));
    let latest = format!("greatest(t.version, {seq}), greatest(t.position, {position})");
    let groups = "ARRAY(SELECT g.group_id FROM group_members g WHERE g.tenant = t.tenant AND g.device_id = t.device_id ORDER BY 1)";
    format!("{}, p.last_seen, p.signal_strength, p.battery_level, {latest}, {groups}", DeviceRow::columns_of("t"))
}

fn read(row: &PgRow) -> Result<DeviceView, DbError> {
    let mut columns = DeviceRow::columns().count()..;
    let mut next = || columns.next().unwrap_or_default();
    let (last_seen, signal_strength, battery_level) =
        (row.try_get(next())?, row.try_get(next())?, row.try_get(next())?);
    let version = u64::from_wire(row.try_get(next())?)?;
    let position = u64::from_wire(row.try_get(next())?)?;
    let groups = row.try_get(next())?;
    let row = DeviceRow { version, position, ..DeviceRow::read(row)? };
    Ok(DeviceView { row, last_seen, signal_strength, battery_level, groups })
}

/// Devices by id.
pub async fn list(
    tx: &mut ReadTx,
    filter: &DeviceFilter,
    after: Option<&str>,
    limit: usize,
    count: bool,
) -> Result<Page<DeviceView>, DbError> {
    let mut select = Select::new(columns(), source(filter), "t.device_id");
    apply_filter(tx, &mut select, filter).await?;
    let after = after.map(|id| follows(filter, id));
    let (items, more, total) = select.page(tx, after, limit, count, read).await?;
    let next = items.last().filter(|_| more).map(|device| vec![device.row.device_id.clone()]);
    Ok(Page { items, next, total })
}

/// The condition that a device comes after another one, with its values. Both sides of a join begin there.
pub(crate) fn follows(filter: &DeviceFilter, id: &str) -> (String, Vec<Value>) {
    let sides: &[&str] = if filter.static_group().is_some() { &["t", "m"] } else { &["t"] };
    let conditions: Vec<String> = sides.iter().map(|side| format!("{side}.device_id > $ #>> '{{}}'")).collect();
    (conditions.join(" AND "), vec![Value::from(id); sides.len()])
}

/// Adds the conditions of a filter to a statement over [`source`].
pub(crate) async fn apply_filter(tx: &mut ReadTx, select: &mut Select, filter: &DeviceFilter) -> Result<(), DbError> {
    if !filter.ids.is_empty() {
        select.filter("t.device_id = ANY (SELECT jsonb_array_elements_text($))", json!(filter.ids));
    }
    select.equals("t.status", filter.status.as_ref());
    select.equals("t.device_type", filter.device_type.as_ref());
    select.equals("t.device_model", filter.device_model.as_ref());
    select.equals("t.hardware_version", filter.hardware_version.as_ref());
    select.equals("t.owner", filter.owner.as_ref());
    if let Some(prefix) = &filter.prefix {
        with_prefix(select, prefix);
    }
    for (name, value) in &filter.tags {
        select.filter("t.tags @> $", json!({ name: value }));
    }
    if let Some(requirement) = &filter.firmware_version {
        with_version(select, &versions::that_fit(tx, None, |version| requirement.matches(version)).await?);
    } else if filter.unreadable_version {
        let is_unreadable = |version: &str| FirmwareVersion::parse(version).is_none();
        with_version(select, &versions::that_fit(tx, None, is_unreadable).await?);
    }
    match filter.synced {
        Some(true) => select.filter("t.sync_state = $ #>> '{}'", SyncState::Synced.word()),
        Some(false) => select.filter("t.sync_state <> $ #>> '{}'", SyncState::Synced.word()),
        None => {}
    }
    select.equals("t.sync_state", filter.sync_state.map(|state| state.word().to_owned()).as_ref());
    select.equals("t.chirpstack_app_id", filter.chirpstack_app_id.as_ref());
    select.equals("t.lorawan_dev_eui", filter.lorawan_dev_eui.as_ref());
    if !filter.decommissioned {
        select.filter("(t.lifecycle = $ #>> '{}')", "active");
    }
    if let Some(reach) = &filter.reach {
        reach::limit(tx, select, reach).await?;
    }
    select.equals("m.group_id", filter.static_group().map(|group| &group.group_id));
    let of_group = filter.group.as_ref().and_then(|group| group.filter.as_ref());
    for filters in of_group.into_iter().chain(&filter.matching) {
        matching(tx, select, filters).await?;
    }
    Ok(())
}

/// Devices `t` whose id or name begins so, in any case.
pub(super) fn with_prefix(select: &mut Select, prefix: &str) {
    let begins = |column: &str| {
        format!("t.{column} ~>=~ lower($ #>> '{{}}') AND t.{column} ~<~ (lower($ #>> '{{}}') || chr({LAST_CHARACTER}))")
    };
    let condition = format!("({} OR {})", begins("device_id_lower"), begins("name_lower"));
    select.filter(&condition, prefix);
}

/// The conditions of a saved filter.
async fn matching(tx: &mut ReadTx, select: &mut Select, filters: &TargetFilters) -> Result<(), DbError> {
    let TargetFilters { device_type, device_model, hardware_version, firmware_version, tags } = filters;
    select.equals("t.device_type", device_type.as_ref());
    select.equals("t.device_model", device_model.as_ref());
    select.equals("t.hardware_version", hardware_version.as_ref());
    if !tags.is_empty() {
        select.filter("t.tags @> $", json!(tags));
    }
    if let Some(versions) = versions::that_meet(tx, None, firmware_version.as_deref()).await? {
        with_version(select, &versions);
    }
    Ok(())
}

/// Devices that run one of the versions.
fn with_version(select: &mut Select, versions: &[String]) {
    select.filter("t.firmware_version = ANY (SELECT jsonb_array_elements_text($))", json!(versions));
}

/// One device.
pub async fn get(tx: &mut ReadTx, tenant: &TenantId, device_id: &str) -> Result<Option<DeviceView>, DbError> {
    let sql = format!("SELECT {} FROM {FROM} WHERE t.tenant = $1 AND t.device_id = $2", columns());
    let row = sqlx::query(&sql).bind(tenant.as_str()).bind(device_id).fetch_optional(&mut *tx.0).await?;
    row.as_ref().map(read).transpose()
}

/// Several devices, in any order. Those that don't exist are left out.
pub(super) async fn get_many(
    tx: &mut ReadTx,
    tenant: &TenantId,
    device_ids: &[&str],
) -> Result<Vec<DeviceView>, DbError> {
    let sql = format!("SELECT {} FROM {FROM} WHERE t.tenant = $1 AND t.device_id = ANY ($2)", columns());
    let rows = sqlx::query(&sql).bind(tenant.as_str()).bind(device_ids).fetch_all(&mut *tx.0).await?;
    rows.iter().map(read).collect()
}

/// Devices of all tenants with an update that has begun or a command under way, after `after` in the order of tenant and id.
pub async fn with_retained_command(
    db: &Db,
    after: Option<(&TenantId, &DeviceId)>,
    limit: usize,
) -> Result<Vec<(TenantId, DeviceId)>, DbError> {
    let mut tx = db.read_all().await?;
    let (tenant, device) = after.map_or(("", ""), |(tenant, device)| (tenant.as_str(), device.as_str()));
    let sql = format!(
        "(SELECT tenant, device_id FROM updates WHERE {HAS_BEGUN} AND (tenant, device_id) > ($1, $2)
          ORDER BY tenant, device_id LIMIT $3)
         UNION
         (SELECT tenant, device_id FROM device_commands WHERE state IN ('sent', 'accepted') AND (tenant, device_id) > ($1, $2)
          ORDER BY tenant, device_id LIMIT $3)
         ORDER BY tenant, device_id LIMIT $3"
    );
    let rows = sqlx::query(&sql).bind(tenant).bind(device).bind(limit as i64).fetch_all(&mut *tx.0).await?;
    rows.iter().map(|row| Ok((parse(row.try_get(0)?)?, parse(row.try_get(1)?)?))).collect()
}
