//! Read model `device_firmware_history`: each change of what a device's components run, and what caused it.
//!
//! An update has one entry: it begins when the device first runs the version, also on trial, and the outcome completes it.

mod changes;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;

use self::changes::{Change, VersionChange};
use super::device_row::DeviceRow;
use crate::db::{DbError, ReadTx};
use crate::decode::Decoded;
use crate::memory::Memory;
use crate::row::{Row as _, row};
use crate::table::{Page, Rows, Select};

/// One change. `cause` is `registered`, `operator`, `reported`, `unconfirmed` (by an update whose outcome is not known yet or wasn't
/// `confirmed`), `confirmed` (by an update), `late` (by an update that had ended without it), `fell_back` (from an update's version that
/// was never confirmed) or `regressed` (from a confirmed one).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    pub tenant: String,
    pub device_id: String,
    pub position: u64,
    pub index: u32,
    pub at: DateTime<Utc>,
    pub component: String,
    pub from_version: Option<String>,
    pub to_version: Option<String>,
    pub cause: String,
    pub ordinal: Option<u32>,
    pub campaign_id: Option<String>,
    /// How the update that caused it ended, or `fell_back`; none while the update is under way, and without an update.
    pub outcome: Option<String>,
    /// When that became known.
    pub outcome_at: Option<DateTime<Utc>>,
}

row! {
    HistoryRow = "device_firmware_history" key { tenant: "text", device_id: "text", position: "bigint", index: "bigint" }
    columns {
        at, component, from_version, to_version, cause, ordinal, campaign_id, outcome, outcome_at
    }
    json {  }
}

/// What a change can be caused by.
pub const CAUSES: [&str; 8] =
    ["registered", "operator", "reported", "unconfirmed", "confirmed", "late", "fell_back", "regressed"];

pub(crate) const TABLES: &[&str] = &["device_firmware_history"];

/// The entries of the devices of a batch that it may settle.
pub(crate) async fn load(
    connection: &mut PgConnection,
    memory: &mut Memory,
    batch: &[Decoded],
    devices: &Rows<DeviceRow>,
) -> Result<Rows<HistoryRow>, DbError> {
    let of_devices = batch.iter().filter(|record| !record.device_events().is_empty());
    let open = of_devices.filter_map(|record| devices.get(&[record.tenant(), record.id()]));
    Rows::recall(connection, memory, open.flat_map(DeviceRow::open_entries).collect()).await
}

/// Applies a record of the device: sets what it runs, and records each change.
pub(crate) fn apply(record: &Decoded, device: &mut DeviceRow, history: &mut Rows<HistoryRow>) {
    for change in device.apply_versions(record.raw.position, record.device_events()) {
        write(history, record, change);
    }
}

fn write(history: &mut Rows<HistoryRow>, record: &Decoded, change: Change) {
    let (tenant, device_id) = (record.tenant(), record.id());
    match change {
        Change::New(VersionChange { entry, component, from, to, cause, update, outcome }) => history.put(HistoryRow {
            tenant,
            device_id,
            position: entry.position,
            index: entry.index,
            at: record.at(),
            component,
            from_version: from,
            to_version: to,
            cause: cause.to_owned(),
            ordinal: update.as_ref().map(|(ordinal, _)| *ordinal),
            campaign_id: update.and_then(|(_, campaign)| campaign).map(|id| id.to_string()),
            outcome_at: outcome.is_some().then(|| record.at()),
            outcome: outcome.map(str::to_owned),
        }),
        Change::Settled { entry, cause, outcome } => {
            let key = [tenant, device_id, entry.position.to_string(), entry.index.to_string()];
            if let Some(row) = history.get_mut(&key) {
                row.cause = cause.map_or_else(|| row.cause.clone(), str::to_owned);
                if let Some(outcome) = outcome {
                    (row.outcome, row.outcome_at) = (Some(outcome.to_owned()), Some(record.at()));
                }
            }
        }
    }
}

/// Which changes to list; all parts that are given must hold.
#[derive(Debug, Clone, Default)]
pub struct HistoryFilter {
    pub component: Option<String>,
    /// A word of [`CAUSES`].
    pub cause: Option<String>,
    pub campaign_id: Option<String>,
    /// At this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub to: Option<DateTime<Utc>>,
    pub newest_first: bool,
}

/// A device's changes, oldest first unless the filter says otherwise.
pub async fn list(
    tx: &mut ReadTx,
    device_id: &str,
    filter: &HistoryFilter,
    after: Option<(u64, u32)>,
    limit: usize,
    count: bool,
) -> Result<Page<HistoryRow>, DbError> {
    let (order, comes_after) = match filter.newest_first {
        false => ("t.position, t.index", ">"),
        true => ("t.position DESC, t.index DESC", "<"),
    };
    let mut select = Select::new(HistoryRow::columns_of("t"), "device_firmware_history t", order);
    select.filter("t.device_id = $ #>> '{}'", device_id);
    select.equals("t.component", filter.component.as_ref());
    select.equals("t.cause", filter.cause.as_ref());
    select.equals("t.campaign_id", filter.campaign_id.as_ref());
    if let Some(from) = filter.from {
        select.filter("t.at >= ($ #>> '{}')::timestamptz", json!(from));
    }
    if let Some(to) = filter.to {
        select.filter("t.at < ($ #>> '{}')::timestamptz", json!(to));
    }
    let after = after.map(|(position, index)| {
        let condition = format!("(t.position, t.index) {comes_after} (($)::bigint, ($)::bigint)");
        (condition, vec![Value::from(position), Value::from(index)])
    });
    let (items, more, total) = select.page(tx, after, limit, count, HistoryRow::read).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.position.to_string(), row.index.to_string()]);
    Ok(Page { items, next, total })
}
