//! The members of static groups, one row each.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::DeviceId;
use domain::group::GroupEvent as E;
use sqlx::PgConnection;

use crate::db::DbError;
use crate::decode::Decoded;

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
