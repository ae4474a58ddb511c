//! The members of static groups, one row each, and the devices of any group.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::DeviceId;
use domain::group::{GroupEvent as E, GroupKind};
use serde_json::Value;
use sqlx::{PgConnection, Row as _};

use super::GroupRow;
use crate::db::{DbError, ReadTx};
use crate::decode::Decoded;
use crate::fleet::devices::{self, DeviceFilter};
use crate::fleet::rollout::snapshot_position;
use crate::row::parse;
use crate::table::{Page, Select};

/// Rows of a batch that are to be written: tenant, group and device, with the time when the device was added, or none if it was removed.
#[derive(Default)]
pub(super) struct Changes(BTreeMap<[String; 3], Option<DateTime<Utc>>>);

impl Changes {
    pub(super) async fn apply(
        &mut self,
        connection: &mut PgConnection,
        record: &Decoded,
        event: &E,
    ) -> Result<(), DbError> {
        match event {
            E::MembersAdded { devices } => self.set(record, devices, Some(record.at())),
            E::MembersRemoved { devices } => self.set(record, devices, None),
            E::Deleted {} => self.clear(connection, record).await?,
            E::Created { .. } | E::Amended { .. } => {}
        }
        Ok(())
    }

    fn set(&mut self, record: &Decoded, devices: &[DeviceId], added_at: Option<DateTime<Utc>>) {
        for device in devices {
            self.0.insert([record.tenant(), record.id(), device.to_string()], added_at);
        }
    }

    /// Removes all members of a group: those in the table, and those of this batch.
    async fn clear(&mut self, connection: &mut PgConnection, record: &Decoded) -> Result<(), DbError> {
        let (tenant, id) = (record.tenant(), record.id());
        sqlx::query("DELETE FROM group_members WHERE tenant = $1 AND group_id = $2")
            .bind(&tenant)
            .bind(&id)
            .execute(connection)
            .await?;
        self.0.retain(|[of_tenant, group, _], _| *of_tenant != tenant || *group != id);
        Ok(())
    }

    pub(super) async fn save(self, connection: &mut PgConnection) -> Result<(), DbError> {
        let (mut added, mut removed) = (Columns::default(), Columns::default());
        for (key, added_at) in self.0 {
            match added_at {
                Some(at) => added.push(key, at),
                None => removed.push(key, DateTime::UNIX_EPOCH),
            }
        }
        if !removed.times.is_empty() {
            let [tenants, groups, devices] = removed.keys;
            let sql = "DELETE FROM group_members m USING UNNEST($1::text[], $2::text[], $3::text[]) AS k (tenant, group_id, device_id)
                WHERE m.tenant = k.tenant AND m.group_id = k.group_id AND m.device_id = k.device_id";
            sqlx::query(sql).bind(tenants).bind(groups).bind(devices).execute(&mut *connection).await?;
        }
        if !added.times.is_empty() {
            let [tenants, groups, devices] = added.keys;
            let sql = "INSERT INTO group_members (tenant, group_id, device_id, added_at)
                SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::timestamptz[])
                ON CONFLICT (tenant, group_id, device_id) DO UPDATE SET added_at = EXCLUDED.added_at";
            sqlx::query(sql).bind(tenants).bind(groups).bind(devices).bind(added.times).execute(connection).await?;
        }
        Ok(())
    }
}

/// Rows as one array per column.
#[derive(Default)]
struct Columns {
    keys: [Vec<String>; 3],
    times: Vec<DateTime<Utc>>,
}

impl Columns {
    fn push(&mut self, key: [String; 3], time: DateTime<Utc>) {
        for (column, value) in self.keys.iter_mut().zip(key) {
            column.push(value);
        }
        self.times.push(time);
    }
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberOfGroup {
    pub device_id: String,
    /// `active` or `decommissioned`. None if the device can't be read.
    pub lifecycle: Option<String>,
    /// When it was added; none in a dynamic group.
    pub added_at: Option<DateTime<Utc>>,
}

/// The members of a group, by id: in a static group also decommissioned devices, in a dynamic one the devices in service that match now.
pub async fn list(
    tx: &mut ReadTx,
    group: &GroupRow,
    after: Option<&str>,
    limit: usize,
    count: bool,
) -> Result<Page<MemberOfGroup>, DbError> {
    let mut select = match group.kind {
        GroupKind::Static => {
            let from = "group_members t LEFT JOIN devices d ON d.tenant = t.tenant AND d.device_id = t.device_id";
            let mut select = Select::new("t.device_id, d.lifecycle, t.added_at".to_owned(), from, "t.device_id");
            select.equals("t.group_id", Some(&group.group_id));
            select
        }
        GroupKind::Dynamic => {
            let columns = "t.device_id, t.lifecycle, NULL::timestamptz".to_owned();
            Select::new(columns, "devices t", "t.device_id")
        }
    };
    if group.kind == GroupKind::Dynamic {
        devices::apply_filter(tx, &mut select, &DeviceFilter::of_group(group)).await?;
    }
    let after = after.map(|id| ("t.device_id > $ #>> '{}'".to_owned(), vec![Value::from(id)]));
    let read = |row: &sqlx::postgres::PgRow| {
        Ok(MemberOfGroup { device_id: row.try_get(0)?, lifecycle: row.try_get(1)?, added_at: row.try_get(2)? })
    };
    let (items, more, total) = select.page(tx, after, limit, count, read).await?;
    let next = items.last().filter(|_| more).map(|member| vec![member.device_id.clone()]);
    Ok(Page { items, next, total })
}

/// Ids of the devices in service that a filter selects, after `after` in the order of ids. A filter with a group selects among its members.
/// With the position that they are read at.
pub async fn device_ids(
    tx: &mut ReadTx,
    filter: &DeviceFilter,
    after: Option<&DeviceId>,
    limit: usize,
) -> Result<(Page<DeviceId>, u64), DbError> {
    let position = snapshot_position(tx).await?;
    let mut select = Select::new("t.device_id".to_owned(), devices::source(filter), "t.device_id");
    devices::apply_filter(tx, &mut select, filter).await?;
    let after = after.map(|id| devices::follows(filter, id.as_str()));
    let read = |row: &sqlx::postgres::PgRow| parse(row.try_get(0)?);
    let (items, more, total) = select.page(tx, after, limit, false, read).await?;
    let next = items.last().filter(|_| more).map(|id: &DeviceId| vec![id.to_string()]);
    Ok((Page { items, next, total }, position))
}
