//! Which updates of single devices may proceed: their preconditions hold by the device's latest readings.

use chrono::{DateTime, Utc};
use domain::{DeviceId, TenantId};
use sqlx::Row as _;

use crate::db::{Db, DbError};
use crate::row::parse;
use crate::sql::is_held;

/// Whether the preconditions in the JSON `of` hold for the readings in `p` (a row of `device_presence`), at `$3`.
pub(crate) fn hold(of: &str) -> String {
    hold_at(of, "$3")
}

/// The same at any time.
pub(crate) fn hold_at(of: &str, now: &str) -> String {
    format!(
        "(({of}->>'min_battery_percent') IS NULL OR p.battery_level >= ({of}->>'min_battery_percent')::integer)
         AND (({of}->>'external_power') IS DISTINCT FROM 'true' OR p.external_power)
         AND (({of}->>'max_silence_minutes') IS NULL
              OR p.last_seen >= {now} - make_interval(mins => ({of}->>'max_silence_minutes')::integer))"
    )
}

/// An update that may proceed, with the version of its device at the update's latest event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    pub tenant: TenantId,
    pub device: DeviceId,
    pub ordinal: u32,
    pub seq: u64,
}

/// Updates whose preconditions hold on an idle device that can be reached: one per device, the most urgent first, after `after`.
pub async fn cleared(
    db: &Db,
    after: Option<&Cleared>,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<Cleared>, DbError> {
    let mut tx = db.read_all().await?;
    let sql = format!(
        "SELECT DISTINCT ON (t.tenant, t.device_id) t.tenant, t.device_id, t.ordinal, t.seq
         FROM updates t
         JOIN devices d ON d.tenant = t.tenant AND d.device_id = t.device_id
         JOIN device_presence p ON p.tenant = t.tenant AND p.device_id = t.device_id
         WHERE t.open AND t.preconditions IS NOT NULL AND t.phase = 'waiting' AND t.wait_reason = 'precondition'
           AND ($1::text IS NULL OR (t.tenant, t.device_id) > ($1, $2))
           AND (t.not_before IS NULL OR t.not_before <= $3)
           AND d.status = 'online' AND d.live_ordinal IS NULL AND NOT {}
           AND {}
         ORDER BY t.tenant, t.device_id, t.kind = 'rollback' DESC,
                  array_position(ARRAY['critical', 'high', 'normal', 'low'], t.priority), t.ordinal
         LIMIT $4",
        is_held("$3"),
        hold("t.preconditions")
    );
    let rows = sqlx::query(&sql)
        .bind(after.map(|after| after.tenant.to_string()))
        .bind(after.map(|after| after.device.to_string()))
        .bind(now)
        .bind(limit as i64)
        .fetch_all(&mut *tx.0)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Cleared {
                tenant: parse(row.try_get("tenant")?)?,
                device: parse(row.try_get("device_id")?)?,
                ordinal: row.try_get::<i64, _>("ordinal")? as u32,
                seq: row.try_get::<i64, _>("seq")? as u64,
            })
        })
        .collect()
}
