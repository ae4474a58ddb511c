//! Table `update_logs`: pieces of the logs of updates, filled from TELEMETRY.
//!
//! Of each update the latest [`PIECES_MAX`] are kept, for as long as the tenant has set ([`retention`](crate::retention)). Never rebuilt, never compared.

use chrono::{DateTime, Utc};
use event_store::telemetry::{TelemetryKind, TelemetryMessage};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::db::{DbError, ReadTx};
use crate::table::{Page, Select};

/// Most pieces of one update; the oldest go first.
pub const PIECES_MAX: i64 = 64;

/// A piece of the log of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPieceRow {
    /// Pieces of later messages have higher numbers.
    pub piece: u64,
    pub received_at: DateTime<Utc>,
    pub text: String,
}

/// The data of a telemetry message.
#[derive(Deserialize)]
struct Piece {
    ordinal: u32,
    text: String,
}

/// Adds the pieces of a batch, in order, and removes those that are too many.
pub(crate) async fn apply(connection: &mut PgConnection, batch: &[TelemetryMessage]) -> Result<(), DbError> {
    let (mut tenants, mut devices, mut ordinals) = (Vec::new(), Vec::new(), Vec::new());
    let (mut brokers, mut deliveries, mut times, mut texts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for message in batch {
        let Ok(record) = message.decode() else { continue };
        if record.kind != TelemetryKind::Log {
            continue;
        }
        let Ok(piece) = serde_json::from_str::<Piece>(record.data.get()) else { continue };
        let (broker_ms, delivery) = match record.place {
            Some(place) => (place.incarnation_ms, place.sequence),
            // Published with QoS 0: the position in TELEMETRY distinguishes it.
            None => (0, message.position),
        };
        tenants.push(message.tenant.to_string());
        devices.push(message.device.to_string());
        ordinals.push(i64::from(piece.ordinal));
        brokers.push(broker_ms as i64);
        deliveries.push(delivery as i64);
        times.push(record.received_at);
        texts.push(piece.text.replace('\0', "\u{fffd}"));
    }
    if tenants.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO update_logs (tenant, device_id, ordinal, broker_ms, delivery, received_at, text)
         SELECT tenant, device_id, ordinal, broker_ms, delivery, received_at, text
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::text[]) WITH ORDINALITY
           AS p (tenant, device_id, ordinal, broker_ms, delivery, received_at, text, place)
         ORDER BY place ON CONFLICT DO NOTHING",
    )
    .bind(&tenants)
    .bind(&devices)
    .bind(&ordinals)
    .bind(&brokers)
    .bind(&deliveries)
    .bind(&times)
    .bind(&texts)
    .execute(&mut *connection)
    .await?;
    keep_latest(connection, &tenants, &devices, &ordinals).await
}

/// Of each update that got pieces.
async fn keep_latest(
    connection: &mut PgConnection,
    tenants: &[String],
    devices: &[String],
    ordinals: &[i64],
) -> Result<(), DbError> {
    sqlx::query(
        "DELETE FROM update_logs l USING (
           SELECT tenant, device_id, ordinal,
             (SELECT piece FROM update_logs k WHERE k.tenant = t.tenant AND k.device_id = t.device_id AND k.ordinal = t.ordinal
              ORDER BY piece DESC OFFSET $4 LIMIT 1) AS last
           FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::bigint[]) AS t (tenant, device_id, ordinal)) t) old
         WHERE l.tenant = old.tenant AND l.device_id = old.device_id AND l.ordinal = old.ordinal AND l.piece <= old.last",
    )
    .bind(tenants)
    .bind(devices)
    .bind(ordinals)
    .bind(PIECES_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

/// Pieces of the log of an update that came since a time, in the order in which they arrived.
pub async fn list(
    tx: &mut ReadTx,
    device_id: &str,
    ordinal: u32,
    since: DateTime<Utc>,
    after: Option<u64>,
    limit: usize,
    count: bool,
) -> Result<Page<LogPieceRow>, DbError> {
    let mut select = Select::new("t.piece, t.received_at, t.text".to_owned(), "update_logs t", "t.piece");
    select.filter("t.device_id = $ #>> '{}'", device_id);
    select.filter("t.ordinal = ($)::bigint", json!(ordinal));
    select.filter("t.received_at > ($ #>> '{}')::timestamptz", json!(since));
    let after = after.map(|piece| ("t.piece > ($)::bigint".to_owned(), vec![Value::from(piece)]));
    let (items, more, total) = select.page(tx, after, limit, count, read).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.piece.to_string()]);
    Ok(Page { items, next, total })
}

fn read(row: &PgRow) -> Result<LogPieceRow, DbError> {
    let piece = row.try_get::<i64, _>("piece")? as u64;
    Ok(LogPieceRow { piece, received_at: row.try_get("received_at")?, text: row.try_get("text")? })
}
