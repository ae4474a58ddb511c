//! Tables `download_days` and `download_devices`: downloads of a firmware on each day, and by each device.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use domain::FirmwareId;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::{Counted, Downloads};
use crate::db::{DbError, ReadTx};
use crate::table::{Page, Select};

/// How long it is known which device fetched what, in days.
const DEVICES_KEPT_DAYS: i32 = 400;
/// After this number of flushes of a process, rows that are older are deleted: some hours.
const FLUSHES_BETWEEN_DELETIONS: u64 = 8_192;

/// Adds to the counters of the day, in key order, so that two processes wait for each other and don't deadlock.
pub(super) async fn add(connection: &mut PgConnection, flush: u64, counted: &[Counted]) -> Result<(), DbError> {
    let texts = |text: fn(&Counted) -> String| counted.iter().map(text).collect::<Vec<_>>();
    let counts =
        |count: fn(&Downloads) -> u64| -> Vec<i64> { counted.iter().map(|row| count(&row.downloads) as i64).collect() };
    for (table, key) in
        [("download_days", "tenant, firmware_id, day"), ("download_devices", "tenant, firmware_id, device_id, day")]
    {
        let sql = format!(
            "INSERT INTO {table} AS d ({key}, started, completed, bytes)
             SELECT {key}, sum(started)::bigint, sum(completed)::bigint, sum(bytes)::bigint
             FROM (SELECT *, (now() AT TIME ZONE 'UTC')::date AS day
                   FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
                     AS c (tenant, firmware_id, device_id, started, completed, bytes)) c
             GROUP BY {key} ORDER BY {key}
             ON CONFLICT ({key}) DO UPDATE SET
               started = d.started + EXCLUDED.started, completed = d.completed + EXCLUDED.completed, bytes = d.bytes + EXCLUDED.bytes"
        );
        sqlx::query(&sql)
            .bind(texts(|row| row.tenant.to_string()))
            .bind(texts(|row| row.firmware.to_string()))
            .bind(texts(|row| row.device.as_ref().map(ToString::to_string).unwrap_or_default()))
            .bind(counts(|row| row.started))
            .bind(counts(|row| row.completed))
            .bind(counts(|row| row.bytes))
            .execute(&mut *connection)
            .await?;
    }
    if flush % FLUSHES_BETWEEN_DELETIONS == 1 {
        sqlx::query("DELETE FROM download_devices WHERE day < (now() AT TIME ZONE 'UTC')::date - $1")
            .bind(DEVICES_KEPT_DAYS)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Downloads of all firmware of the transaction's tenant on each day from `from` to `to`.
pub async fn of_days(
    tx: &mut ReadTx,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<BTreeMap<NaiveDate, Downloads>, DbError> {
    let rows = sqlx::query(
        "SELECT sum(started)::bigint, sum(completed)::bigint, sum(bytes)::bigint, day FROM download_days
         WHERE day >= $1 AND day <= $2 GROUP BY day ORDER BY day",
    );
    let rows = rows.bind(from).bind(to).fetch_all(&mut *tx.0).await?;
    rows.iter().map(|row| Ok((row.try_get(3)?, downloads(row)?))).collect()
}

/// What downloads of a firmware are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadedBy {
    Day,
    Device,
}

impl DownloadedBy {
    pub const ALL: [Self; 2] = [Self::Day, Self::Device];

    /// Its name as a parameter.
    pub fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Device => "device",
        }
    }

    fn column(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Device => "device_id",
        }
    }
}

/// Downloads of one day, one device, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadGroup {
    pub day: Option<NaiveDate>,
    /// Empty for links that were made for no device.
    pub device_id: Option<String>,
    pub downloads: Downloads,
}

/// Downloads of a firmware by day, by device, or by device and day, in this order. `after`: the keys of the group before.
pub async fn grouped(
    tx: &mut ReadTx,
    firmware: &FirmwareId,
    by: &[DownloadedBy],
    after: Option<&[String]>,
    limit: usize,
    count: bool,
) -> Result<Page<DownloadGroup>, DbError> {
    let has = |wanted| by.contains(&wanted);
    let (table, order) = match (has(DownloadedBy::Device), has(DownloadedBy::Day)) {
        (true, true) => ("download_devices", vec![DownloadedBy::Device, DownloadedBy::Day]),
        (true, false) => ("download_devices", vec![DownloadedBy::Device]),
        (false, _) => ("download_days", vec![DownloadedBy::Day]),
    };
    let columns: Vec<&str> = order.iter().map(|by| by.column()).collect();
    let columns = columns.join(", ");
    // The key's order is that of an index, so a page reads as many rows as it shows.
    let from = format!(
        "(SELECT sum(started)::bigint AS started, sum(completed)::bigint AS completed, sum(bytes)::bigint AS bytes, {columns}
          FROM {table} WHERE firmware_id = '{firmware}' GROUP BY {columns}) t"
    );
    let shown = format!("started, completed, bytes, {columns}");
    let order_by = match order.as_slice() {
        [DownloadedBy::Day] => "day",
        [DownloadedBy::Device] => "device_id",
        _ => "device_id, day",
    };
    let select = Select::new(shown, from, order_by);
    let after = after.map(|keys| match order.as_slice() {
        [DownloadedBy::Day] => ("day > ($ #>> '{}')::date".to_owned(), values(keys)),
        [DownloadedBy::Device] => ("device_id > $ #>> '{}'".to_owned(), values(keys)),
        _ => ("(device_id, day) > ($ #>> '{}', ($ #>> '{}')::date)".to_owned(), values(keys)),
    });
    let read = |row: &PgRow| {
        let mut group = DownloadGroup { day: None, device_id: None, downloads: downloads(row)? };
        for (column, by) in (3..).zip(&order) {
            match by {
                DownloadedBy::Day => group.day = Some(row.try_get(column)?),
                DownloadedBy::Device => group.device_id = Some(row.try_get(column)?),
            }
        }
        Ok(group)
    };
    let (items, more, total) = select.page(tx, after, limit, count, read).await?;
    let next = items.last().filter(|_| more).map(|group| {
        let keys = order.iter().map(|by| match by {
            DownloadedBy::Day => group.day.map(|day| day.to_string()).unwrap_or_default(),
            DownloadedBy::Device => group.device_id.clone().unwrap_or_default(),
        });
        keys.collect()
    });
    Ok(Page { items, next, total })
}

fn values(keys: &[String]) -> Vec<Value> {
    keys.iter().map(|key| json!(key)).collect()
}

fn downloads(row: &PgRow) -> Result<Downloads, DbError> {
    let count = |column: usize| row.try_get::<i64, _>(column).map(|count| count.max(0) as u64);
    Ok(Downloads { started: count(0)?, completed: count(1)?, bytes: count(2)? })
}
