//! Read model `device_commands`: commands that devices run beside their updates, and what became of them.

use chrono::{DateTime, Utc};
use domain::device::{CommandData, CommandReportStatus, CommandState, DeviceEvent as E};
use domain::{DeviceId, Sealed, TenantId};
use serde_json::{Value, json};
use sqlx::{PgConnection, Row as _};

use crate::db::{Db, DbError, ReadTx};
use crate::decode::Decoded;
use crate::row::{Row as _, parse, row};
use crate::table::{Page, Rows, Select};
use crate::watermark::Watermark;

/// A command of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceCommandRow {
    pub tenant: String,
    pub device_id: String,
    pub n: u32,
    pub name: String,
    pub state: CommandState,
    /// What the device reported with its end.
    pub code: Option<String>,
    pub message: Option<String>,
    /// Why it was cancelled, if not by a request.
    pub reason: Option<String>,
    /// Another end that the device has reported after this one.
    pub late_status: Option<CommandReportStatus>,
    pub created_by: String,
    pub queued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
    pub accepted_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// When its time ends it.
    pub due_at: Option<DateTime<Utc>>,
    pub position: u64,
    pub params: Option<CommandData>,
    pub result: Option<CommandData>,
}

row! {
    DeviceCommandRow = "device_commands" key { tenant: "text", device_id: "text", n: "bigint" }
    columns {
        name, state, code, message, reason, late_status, created_by, queued_at, expires_at, sent_at, accepted_at, ended_at, due_at,
        position
    }
    json { params, result }
}

pub(crate) const TABLES: &[&str] = &["device_commands"];

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let of_commands = || {
        let events = |record| Decoded::device_events(record).iter().map(move |event| (record, event));
        batch.iter().flat_map(events).filter_map(|(record, event)| Some((record, event, event.remote_command()?)))
    };
    if of_commands().next().is_none() {
        return Ok(());
    }
    let key = |record: &Decoded, n: u32| vec![record.tenant(), record.id(), n.to_string()];
    let keys = of_commands().map(|(record, _, n)| key(record, n));
    let mut rows = Rows::<DeviceCommandRow>::load(connection, keys.collect()).await?;
    for (record, event, n) in of_commands() {
        if let E::CommandQueued { name, params, expires_at, .. } = event {
            rows.put(DeviceCommandRow::queued(record, n, name, params.as_ref(), *expires_at));
        }
        let key = key(record, n);
        let row = rows
            .get_mut(&key)
            .ok_or_else(|| DbError::Invalid(format!("command {n} of {} is unknown", record.raw.key)))?;
        row.apply(record, event);
    }
    rows.save(connection).await
}

impl DeviceCommandRow {
    fn queued(record: &Decoded, n: u32, name: &str, params: Option<&CommandData>, expires_at: DateTime<Utc>) -> Self {
        Self {
            tenant: record.tenant(),
            device_id: record.id(),
            n,
            name: name.to_owned(),
            state: CommandState::Queued,
            code: None,
            message: None,
            reason: None,
            late_status: None,
            created_by: record.record.meta.actor.to_string(),
            queued_at: record.at(),
            expires_at,
            sent_at: None,
            accepted_at: None,
            ended_at: None,
            due_at: Some(expires_at),
            position: record.raw.position,
            params: params.cloned(),
            result: None,
        }
    }

    fn apply(&mut self, record: &Decoded, event: &E) {
        self.position = record.raw.position;
        let plain = |message: &Option<Sealed<String>>| message.as_ref().and_then(|message| message.plain().cloned());
        match event {
            E::CommandSent { .. } => self.sent_at = Some(record.at()),
            E::CommandAccepted { work_until, .. } => {
                (self.accepted_at, self.due_at) = (Some(record.at()), Some(*work_until));
            }
            E::CommandDone { message, result, .. } => {
                (self.message, self.result) = (plain(message), result.clone());
            }
            E::CommandFailed { code, message, result, .. } => {
                (self.code, self.message, self.result) = (code.clone(), plain(message), result.clone());
            }
            E::CommandRefused { code, message, .. } => (self.code, self.message) = (code.clone(), plain(message)),
            E::CommandCancelled { reason, .. } => self.reason.clone_from(reason),
            E::CommandReportedLate { status, .. } => self.late_status = Some(*status),
            _ => {}
        }
        if let Some(state) = event.command_state() {
            self.state = state;
            if state.is_ended() {
                (self.ended_at, self.due_at) = (Some(record.at()), None);
            }
        }
    }
}

/// Which commands of a device to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeviceCommandFilter {
    pub n: Option<u32>,
    pub state: Option<CommandState>,
    pub oldest_first: bool,
}

/// Commands of one device, the newest first unless the filter says otherwise.
pub async fn list(
    tx: &mut ReadTx,
    device_id: &str,
    filter: DeviceCommandFilter,
    after: Option<u32>,
    limit: usize,
    count: bool,
) -> Result<Page<DeviceCommandRow>, DbError> {
    let (order, beyond) =
        if filter.oldest_first { ("t.n", "t.n > ($)::bigint") } else { ("t.n DESC", "t.n < ($)::bigint") };
    let mut select = Select::new(DeviceCommandRow::columns_of("t"), "device_commands t", order);
    select.filter("t.device_id = $ #>> '{}'", device_id);
    if let Some(n) = filter.n {
        select.filter("t.n = ($)::bigint", json!(n));
    }
    if let Some(state) = filter.state {
        select.filter("t.state = $ #>> '{}'", state.word());
    }
    let after = after.map(|n| (beyond.to_owned(), vec![Value::from(n)]));
    let (items, more, total) = select.page(tx, after, limit, count, DeviceCommandRow::read).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.n.to_string()]);
    Ok(Page { items, next, total })
}

/// A command whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCommand {
    pub tenant: TenantId,
    pub device: DeviceId,
    pub n: u32,
}

/// Commands whose time is over, at most `limit`. A device that works on one may have reported its end: that counts if it is read up to the
/// watermark.
pub async fn due(db: &Db, watermark: &Watermark, now: DateTime<Utc>, limit: usize) -> Result<Vec<DueCommand>, DbError> {
    let mut tx = db.read_all().await?;
    let rows = sqlx::query(
        "SELECT tenant, device_id, n FROM device_commands
         WHERE due_at <= $1 AND (state <> 'accepted' OR due_at <= $2) ORDER BY due_at LIMIT $3",
    )
    .bind(now)
    .bind(watermark.heard_or_absent(now))
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    rows.iter()
        .map(|row| {
            let n = row.try_get::<i64, _>("n")? as u32;
            Ok(DueCommand { tenant: parse(row.try_get("tenant")?)?, device: parse(row.try_get("device_id")?)?, n })
        })
        .collect()
}
