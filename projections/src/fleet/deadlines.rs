//! Which clocks of updates have run out, by the rows.
//!
//! Silence is measured from the phase's event, from the device's last message or from the end of an outage, whichever is latest. An update
//! whose digest report is missing ends also if the device is not silent. Silence is judged only when the [`Watermark`] has passed the deadline. Waiting clocks don't depend on the watermark.

use chrono::{DateTime, Utc};
use domain::device::{Clock, Phase, REASON_DIGEST_MISSING};
use domain::{DeviceId, TenantId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::db::{Db, DbError};
use crate::fleet::pauses::PAUSED;
use crate::fleet::timed_update::phase_of;
use crate::row::parse;
use crate::sql::is_held;
use crate::watermark::Watermark;

/// A clock that has run out, with the state of its update when the query read it.
#[derive(Debug, Clone, PartialEq)]
pub struct DueClock {
    pub tenant: TenantId,
    pub device: DeviceId,
    pub ordinal: u32,
    pub attempt: u16,
    pub phase: Phase,
    pub clock: Clock,
    /// Version of the device at the update's latest event.
    pub seq: u64,
}

/// `$1` is now. `$2` and `$3` are the times up to which silence is judged; `$2` is set also where no bridge listens. `$4` is when the
/// watermark's time without a gap began.
fn sql() -> String {
    // While an update waits for its window, `due_at` is the end of its working clock.
    let total = "t.reached_at IS NOT NULL AND t.phase NOT IN ('staged', 'activating', 'deferred')
      AND (t.phase <> 'waiting' OR t.wait_reason <> 'slot')
      AND t.reached_at + make_interval(secs => (t.limits->>'total_s')::float8 + t.idle_s) <= $2";
    let wait =
        "t.reached_at IS NULL AND t.wait_until <= $1 AND t.phase IN ('queued', 'waiting', 'dispatched', 'deferred')";
    let silent = |limit: &str| format!("make_interval(secs => (t.limits->>'{limit}')::float8)");
    let (dispatch, downloading) = (silent("dispatch_s"), silent("downloading_s"));
    let (phase, cancel) = (silent("phase_s"), silent("cancel_s"));
    let held = is_held("$1");
    format!(
        "
SELECT t.tenant, t.device_id, t.ordinal, t.attempt, t.phase, t.wait_reason, t.seq,
  CASE WHEN {wait} THEN 'wait' WHEN {total} THEN 'total' ELSE 'phase' END AS clock
FROM updates t
LEFT JOIN device_presence p ON p.tenant = t.tenant AND p.device_id = t.device_id
WHERE t.due_at <= $1 AND NOT (t.phase IN ('queued', 'waiting') AND {PAUSED}) AND (
  ({wait})
  OR ({total})
  OR (t.phase IN ('dispatched', 'activating') AND greatest(t.phase_since, $4) + {dispatch} <= $3)
  OR (t.phase = 'downloading' AND greatest(t.phase_since, p.last_seen, $4) + {downloading} <= $3)
  OR (t.phase IN ('accepted', 'verifying', 'installing', 'rebooting')
      AND greatest(t.phase_since, p.last_seen, $4) + {phase} <= $3)
  OR (t.phase = 'verifying' AND t.reason = '{REASON_DIGEST_MISSING}' AND greatest(t.phase_since, $4) + {phase} <= $3)
  OR (t.phase = 'cancelling' AND greatest(t.phase_since, $4) + {cancel} <= $2)
  OR (t.phase = 'deferred' AND t.not_before <= $1)
  OR (t.phase = 'waiting' AND t.wait_reason IN ('backoff', 'held', 'unresponsive') AND t.campaign_id IS NULL
      AND (t.not_before IS NULL OR t.not_before <= $1)
      AND EXISTS (SELECT FROM devices d WHERE d.tenant = t.tenant AND d.device_id = t.device_id AND d.status = 'online'
                  AND d.live_ordinal IS NULL AND NOT {held}))
)
ORDER BY t.due_at
LIMIT $5"
    )
}

/// Updates that wait only for their device while its timed hold runs out: during the hold the device came back, or its other update
/// ended. The condition ends when the update begins.
const HELD_UP: &str = "
SELECT t.tenant, t.device_id, t.ordinal, t.attempt, t.phase, t.wait_reason, t.seq, 'phase' AS clock
FROM devices d JOIN updates t ON t.tenant = d.tenant AND t.device_id = d.device_id
WHERE d.held AND d.hold_until <= $1 AND d.status = 'online' AND d.live_ordinal IS NULL
  AND t.open AND t.phase = 'waiting' AND t.wait_reason IN ('offline', 'busy') AND t.campaign_id IS NULL
  AND (t.not_before IS NULL OR t.not_before <= $1)
ORDER BY d.hold_until
LIMIT $2";

/// Clocks that have run out by the watermark, at most `limit`. The clocks of waiting updates stand still while their campaign is paused.
pub async fn due(db: &Db, watermark: &Watermark, now: DateTime<Utc>, limit: usize) -> Result<Vec<DueClock>, DbError> {
    let mut tx = db.read_all().await?;
    let mut rows = sqlx::query(&sql())
        .bind(now)
        .bind(watermark.heard_or_absent(now))
        .bind(watermark.heard(now))
        .bind(watermark.since())
        .bind(limit as i64)
        .fetch_all(&mut *tx.0)
        .await?;
    let left = limit - rows.len().min(limit);
    rows.extend(sqlx::query(HELD_UP).bind(now).bind(left as i64).fetch_all(&mut *tx.0).await?);
    rows.iter().map(clock_of).collect()
}

fn clock_of(row: &PgRow) -> Result<DueClock, DbError> {
    let reason: Option<String> = row.try_get("wait_reason")?;
    Ok(DueClock {
        tenant: parse(row.try_get("tenant")?)?,
        device: parse(row.try_get("device_id")?)?,
        ordinal: row.try_get::<i64, _>("ordinal")? as u32,
        attempt: row.try_get::<i64, _>("attempt")? as u16,
        phase: phase_of(row.try_get("phase")?, reason.as_deref())?,
        clock: match row.try_get("clock")? {
            "wait" => Clock::Wait,
            "total" => Clock::Total,
            _ => Clock::Phase,
        },
        seq: row.try_get::<i64, _>("seq")? as u64,
    })
}
