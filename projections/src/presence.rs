//! Read models `device_presence`, `update_progress` and `telemetry_latest`, filled from TELEMETRY: messages of devices that aren't events.

pub mod readings;

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::OfflineCause;
use domain::{DeviceId, TenantId};
use event_store::telemetry::{BrokerPlace, TelemetryKind, TelemetryMessage, TelemetryRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, Row as _};

use self::readings::Readings;
use crate::db::{Db, DbError};
use crate::row::{Row as _, parse, row};
use crate::sql::latest_of_updates;
use crate::table::Rows;
use crate::watermark::Watermark;

/// Only devices with a message this recent are checked for a wrong offline mark.
const MISTAKE_AGE_MAX: TimeDelta = TimeDelta::minutes(5);
/// Readings outside these ranges are ignored.
const BATTERY_PERCENT: RangeInclusive<i64> = 0..=100;
const SIGNAL_DBM: RangeInclusive<i64> = -200..=50;

/// The latest presence of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PresenceRow {
    tenant: String,
    device_id: String,
    last_seen: DateTime<Utc>,
    /// The latest session that said it is online.
    session: Option<String>,
    /// When that session's last will arrived.
    will_at: Option<DateTime<Utc>>,
    boot_id: Option<String>,
    battery_level: Option<i64>,
    signal_strength: Option<i64>,
    external_power: Option<bool>,
    /// When the broker's store that counts messages was made, in milliseconds since 1970; 0: not known.
    broker_ms: u64,
    /// The store that it replaced: messages from there are late. Times don't say which store is newer, because a clock may be set back.
    replaced_ms: u64,
    /// The broker's number of the latest message. A repeated message never overrides a newer one.
    delivery: u64,
    /// The same for the latest message about a session, and the latest with readings: messages of different topics overtake one another.
    status_delivery: u64,
    readings_delivery: u64,
}

row! {
    PresenceRow = "device_presence" key { tenant: "text", device_id: "text" }
    columns {
        last_seen, session, will_at, boot_id, battery_level, signal_strength, external_power, broker_ms, replaced_ms,
        delivery, status_delivery, readings_delivery
    }
    json {  }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ProgressRow {
    tenant: String,
    device_id: String,
    ordinal: u32,
    attempt: u16,
    /// The phase of the update that the device reported; none for unknown words.
    phase: Option<String>,
    progress: Option<i64>,
    bytes: Option<i64>,
    at: DateTime<Utc>,
    broker_ms: u64,
    delivery: u64,
}

row! {
    ProgressRow = "update_progress" key { tenant: "text", device_id: "text", ordinal: "bigint" }
    columns {
        attempt, phase, progress, bytes, at, broker_ms, delivery
    }
    json {  }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LatestRow {
    tenant: String,
    device_id: String,
    at: DateTime<Utc>,
    data: Value,
    /// The latest value of each name.
    readings: Readings,
    /// When the oldest of them came.
    oldest_at: Option<DateTime<Utc>>,
    broker_ms: u64,
    delivery: u64,
}

row! {
    LatestRow = "telemetry_latest" key { tenant: "text", device_id: "text" }
    columns {
        at, oldest_at, broker_ms, delivery
    }
    json { data, readings }
}

/// Applies telemetry in order. Messages that can't be decoded are skipped.
pub(crate) async fn apply(connection: &mut PgConnection, batch: &[TelemetryMessage]) -> Result<(), DbError> {
    let keys = || batch.iter().map(|message| vec![message.tenant.to_string(), message.device.to_string()]);
    let mut presence = Rows::<PresenceRow>::load(connection, keys().collect()).await?;
    let progress_keys = batch.iter().filter_map(|message| {
        let row = progress_of(message, &message.decode().ok()?)?;
        Some(row.key())
    });
    let mut progress = Rows::<ProgressRow>::load(connection, progress_keys.collect()).await?;
    let mut latest = Rows::<LatestRow>::load(connection, keys().collect()).await?;
    for message in batch {
        let Ok(record) = message.decode() else { continue };
        if record.kind == TelemetryKind::Notice {
            continue;
        }
        let Ok(data) = serde_json::from_str::<Value>(record.data.get()) else { continue };
        let known = presence.get(&[message.tenant.to_string(), message.device.to_string()]);
        let heard = hear(known, message, &record, &data);
        let is_straggler = record.place.is_some_and(|place| place.incarnation_ms != heard.broker_ms);
        presence.put(heard);
        if is_straggler {
            continue;
        }
        match record.kind {
            TelemetryKind::Contact | TelemetryKind::Log | TelemetryKind::Notice => {}
            TelemetryKind::Measurements => {
                let mut row = latest_of(message, &record, data);
                let known = latest.get(&row.key());
                let mut readings = known.map(|known| known.readings.clone()).unwrap_or_default();
                readings::note(&mut readings, &row.data, row.at);
                if let Some(known) = known
                    && is_older(record.place, known.broker_ms, known.delivery)
                {
                    row = known.clone();
                }
                let oldest_at = readings.values().map(|reading| reading.at).min();
                latest.put(LatestRow { readings, oldest_at, ..row });
            }
            TelemetryKind::Progress => {
                let Some(row) = progress_of(message, &record) else { continue };
                // The same report may be stored twice, with newer ones in between.
                let newer = |known: &ProgressRow| match (row.attempt, known.attempt) {
                    (now, before) if now != before => now > before,
                    _ if record.place.is_some() && row.broker_ms == known.broker_ms => row.delivery >= known.delivery,
                    _ => row.at >= known.at,
                };
                if progress.get(&row.key()).is_none_or(newer) {
                    progress.put(row);
                }
            }
        }
    }
    presence.save(connection).await?;
    progress.save(connection).await?;
    latest.save(connection).await
}

/// Whether a message is older than the one that a row was taken from. A message without a place counts as the latest.
fn is_older(place: Option<BrokerPlace>, broker_ms: u64, delivery: u64) -> bool {
    place.is_some_and(|place| place.incarnation_ms == broker_ms && place.sequence < delivery)
}

fn numbers(place: Option<BrokerPlace>) -> (u64, u64) {
    place.map_or((0, 0), |place| (place.incarnation_ms, place.sequence))
}

fn latest_of(message: &TelemetryMessage, record: &TelemetryRecord, data: Value) -> LatestRow {
    let (broker_ms, delivery) = numbers(record.place);
    let (tenant, device_id) = (message.tenant.to_string(), message.device.to_string());
    LatestRow {
        tenant,
        device_id,
        at: record.received_at,
        data,
        readings: Readings::new(),
        oldest_at: None,
        broker_ms,
        delivery,
    }
}

fn progress_of(message: &TelemetryMessage, record: &TelemetryRecord) -> Option<ProgressRow> {
    if record.kind != TelemetryKind::Progress {
        return None;
    }
    let data: Value = serde_json::from_str(record.data.get()).ok()?;
    let (broker_ms, delivery) = numbers(record.place);
    Some(ProgressRow {
        tenant: message.tenant.to_string(),
        device_id: message.device.to_string(),
        ordinal: u32::try_from(data["ordinal"].as_u64()?).ok()?,
        attempt: u16::try_from(data["attempt"].as_u64()?).ok()?,
        phase: phase_said(data["status"].as_str()),
        progress: data["progress"].as_i64(),
        bytes: data["bytes"].as_i64(),
        at: record.received_at,
        broker_ms,
        delivery,
    })
}

/// The phase that a report's word belongs to.
fn phase_said(status: Option<&str>) -> Option<String> {
    let phase = match status? {
        "received" => "accepted",
        phase @ ("deferred" | "downloading" | "verifying" | "installing" | "staged" | "rebooting") => phase,
        _ => return None,
    };
    Some(phase.to_owned())
}

/// The presence in a message. The bridge writes contacts. Measurements are the device's own object, of which only readings in range
/// are used.
fn hear(
    known: Option<&PresenceRow>,
    message: &TelemetryMessage,
    record: &TelemetryRecord,
    data: &Value,
) -> PresenceRow {
    let at = record.received_at;
    let mut row = known.cloned().unwrap_or_else(|| PresenceRow {
        tenant: message.tenant.to_string(),
        device_id: message.device.to_string(),
        last_seen: at,
        session: None,
        will_at: None,
        boot_id: None,
        battery_level: None,
        signal_strength: None,
        external_power: None,
        broker_ms: 0,
        replaced_ms: 0,
        delivery: 0,
        status_delivery: 0,
        readings_delivery: 0,
    });
    let nothing = Value::Null;
    let contact = if record.kind == TelemetryKind::Contact { data } else { &nothing };
    let number = |name: &str| contact[name].as_u64().map(|number| number.min(i64::MAX as u64));
    // A message without a number counts as the latest. Older contacts have their number in the data.
    let of_data = || number("delivery").map(|delivery| (number("broker_ms").unwrap_or(0), delivery));
    let place = record.place.map(|place| (place.incarnation_ms, place.sequence)).or_else(of_data);
    let broker_ms = place.map_or(row.broker_ms, |(broker_ms, _)| broker_ms);
    let delivery = place.map(|(_, delivery)| delivery);
    let was_replaced = broker_ms == row.replaced_ms || broker_ms == 0;
    if broker_ms != row.broker_ms && row.broker_ms > 0 && was_replaced {
        return row;
    }
    if broker_ms != row.broker_ms {
        (row.broker_ms, row.replaced_ms) = (broker_ms, row.broker_ms);
        (row.delivery, row.status_delivery, row.readings_delivery) = (0, 0, 0);
    }
    let delivery = delivery.unwrap_or(row.delivery);
    let is_latest = delivery >= row.delivery;
    row.delivery = row.delivery.max(delivery);
    if contact["status"] == "offline" {
        if is_latest {
            note_will(&mut row, contact, at);
        }
        return row;
    }
    if is_latest {
        note_contact(&mut row, at);
    }
    if delivery >= row.status_delivery {
        note_session(&mut row, contact, delivery);
    }
    if delivery >= row.readings_delivery && row.will_at.is_none() && note_readings(&mut row, record, data) {
        row.readings_delivery = delivery;
    }
    row
}

/// The will of an old session doesn't change the present one.
fn note_will(row: &mut PresenceRow, data: &Value, at: DateTime<Utc>) {
    let session = data["session"].as_str();
    if session.is_none() || session == row.session.as_deref() || row.session.is_none() {
        row.will_at = Some(at);
    }
}

fn note_contact(row: &mut PresenceRow, at: DateTime<Utc>) {
    row.last_seen = row.last_seen.max(at);
    row.will_at = None;
}

fn note_session(row: &mut PresenceRow, data: &Value, delivery: u64) {
    let text = |name: &str| data[name].as_str().map(str::to_owned);
    if let Some(session) = text("session") {
        row.session = Some(session);
        row.status_delivery = delivery;
    }
    if let Some(boot_id) = text("boot_id") {
        row.boot_id = Some(boot_id);
        row.status_delivery = delivery;
    }
}

/// Whether there were any readings. Progress and logs have none.
fn note_readings(row: &mut PresenceRow, record: &TelemetryRecord, data: &Value) -> bool {
    if matches!(record.kind, TelemetryKind::Progress | TelemetryKind::Log | TelemetryKind::Notice) {
        return false;
    }
    let battery_level = reading(&data["battery_level"], BATTERY_PERCENT);
    let signal_strength = reading(&data["signal_strength"], SIGNAL_DBM);
    let external_power = data["external_power"].as_bool();
    row.battery_level = battery_level.or(row.battery_level);
    row.signal_strength = signal_strength.or(row.signal_strength);
    row.external_power = external_power.or(row.external_power);
    battery_level.is_some() || signal_strength.is_some() || external_power.is_some()
}

/// A whole number from a range; anything else is absent.
fn reading(value: &Value, range: RangeInclusive<i64>) -> Option<i64> {
    let rounded = value.as_f64()?.round() as i64;
    range.contains(&rounded).then_some(rounded)
}

/// Devices that count as online but are gone: their latest session's will is in effect, or they were silent for too long. Both are judged
/// by the watermark.
pub async fn gone(
    db: &Db,
    watermark: &Watermark,
    now: DateTime<Utc>,
    debounce: Duration,
    silence: Duration,
    limit: usize,
) -> Result<Vec<(TenantId, DeviceId, OfflineCause)>, DbError> {
    let Some(heard) = watermark.heard(now) else { return Ok(Vec::new()) };
    let mut tx = db.read_all().await?;
    let rows = sqlx::query(
        "SELECT d.tenant, d.device_id, p.will_at IS NOT NULL AND greatest(p.will_at, $5) + make_interval(secs => $2) <= $1 AS by_will
         FROM devices d JOIN device_presence p ON p.tenant = d.tenant AND p.device_id = d.device_id
         WHERE d.status = 'online' AND (
           (p.will_at IS NOT NULL AND greatest(p.will_at, $5) + make_interval(secs => $2) <= $1)
           OR greatest(p.last_seen, $5)
              + make_interval(secs => CASE WHEN d.contact_interval_s > 0 THEN 3.0 * d.contact_interval_s ELSE $3 END) <= $1
         )
         LIMIT $4",
    )
    .bind(heard)
    .bind(debounce.as_secs_f64())
    .bind(silence.as_secs_f64())
    .bind(limit as i64)
    .bind(watermark.since())
    .fetch_all(&mut *tx.0)
    .await?;
    rows.iter()
        .map(|row| {
            let cause = if row.try_get("by_will")? { OfflineCause::Will } else { OfflineCause::Silence };
            Ok((parse(row.try_get("tenant")?)?, parse(row.try_get("device_id")?)?, cause))
        })
        .collect()
}

/// Devices that were marked offline by their last will but sent a message before the will was stored, with their version: the will is no
/// longer in effect. A device that is offline because it didn't answer a command isn't among them.
pub async fn mistaken(
    db: &Db,
    now: DateTime<Utc>,
    silence: Duration,
    limit: usize,
) -> Result<Vec<(TenantId, DeviceId, u64)>, DbError> {
    let mut tx = db.read_all().await?;
    let version = latest_of_updates("d", "seq");
    let sql = format!(
        "SELECT d.tenant, d.device_id, greatest(d.version, {version}) AS version
         FROM devices d JOIN device_presence p ON p.tenant = d.tenant AND p.device_id = d.device_id
         WHERE d.status = 'offline' AND d.lifecycle = 'active' AND p.will_at IS NULL AND p.last_seen > $1
           AND p.last_seen + make_interval(secs => CASE WHEN d.contact_interval_s > 0 THEN 3.0 * d.contact_interval_s ELSE $3 END) > $4
           AND NOT EXISTS (SELECT FROM updates t WHERE t.tenant = d.tenant AND t.device_id = d.device_id AND t.open
                           AND (t.phase IN ('dispatched', 'activating') OR t.wait_reason = 'unresponsive'
                             OR (t.phase = 'staged' AND t.not_before > $4)))
         LIMIT $2"
    );
    let rows = sqlx::query(&sql)
        .bind(now - MISTAKE_AGE_MAX)
        .bind(limit as i64)
        .bind(silence.as_secs_f64())
        .bind(now)
        .fetch_all(&mut *tx.0)
        .await?;
    rows.iter()
        .map(|row| {
            let version = row.try_get::<i64, _>("version")? as u64;
            Ok((parse(row.try_get("tenant")?)?, parse(row.try_get("device_id")?)?, version))
        })
        .collect()
}
