//! Which clocks of updates have run out, as far as the rows know.
//!
//! Silence is measured from the phase's event or from the last thing heard of the device, whichever is later, so it is only judged while
//! what is heard is up to date.

use chrono::{DateTime, Utc};
use domain::device::{Clock, Outcome, Phase, WaitReason};
use domain::{DeviceId, TenantId};
use sqlx::Row as _;

use crate::db::{Db, DbError};
use crate::models::pauses::STANDS_STILL;
use crate::presence;

/// A clock that has run out, with what was believed when looking.
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

/// Seconds of the limit of a phase, and of the clocks over phases. `$1` is now.
fn sql() -> String {
    format!("
SELECT t.tenant, t.device_id, t.ordinal, t.attempt, t.phase, t.wait_reason, t.seq,
  CASE
    WHEN t.reached_at IS NULL AND t.wait_until <= $1 AND t.phase IN ('queued', 'waiting', 'dispatched', 'deferred') THEN 'wait'
    WHEN t.reached_at IS NOT NULL AND t.phase NOT IN ('staged', 'deferred')
      AND t.reached_at + make_interval(secs => (t.limits->>'total_s')::float8 + t.idle_s) <= $1 THEN 'total'
    ELSE 'phase'
  END AS clock
FROM updates t
LEFT JOIN device_presence p ON p.tenant = t.tenant AND p.device_id = t.device_id
WHERE t.due_at <= $1 AND NOT ({STANDS_STILL}) AND (
  (t.reached_at IS NULL AND t.wait_until <= $1 AND t.phase IN ('queued', 'waiting', 'dispatched', 'deferred'))
  OR (t.reached_at IS NOT NULL AND t.phase NOT IN ('staged', 'deferred')
      AND t.reached_at + make_interval(secs => (t.limits->>'total_s')::float8 + t.idle_s) <= $1)
  OR ($2 AND t.phase = 'dispatched' AND t.phase_since + make_interval(secs => (t.limits->>'dispatch_s')::float8) <= $1)
  OR ($2 AND t.phase = 'downloading'
      AND greatest(t.phase_since, p.last_seen) + make_interval(secs => (t.limits->>'downloading_s')::float8) <= $1)
  OR ($2 AND t.phase IN ('accepted', 'verifying', 'installing', 'rebooting')
      AND greatest(t.phase_since, p.last_seen) + make_interval(secs => (t.limits->>'phase_s')::float8) <= $1)
  OR (t.phase = 'cancelling' AND t.phase_since + make_interval(secs => (t.limits->>'cancel_s')::float8) <= $1)
  OR (t.phase = 'deferred' AND t.not_before <= $1)
  OR (t.phase = 'waiting' AND t.wait_reason IN ('backoff', 'held', 'unresponsive') AND t.campaign_id IS NULL
      AND (t.not_before IS NULL OR t.not_before <= $1)
      AND EXISTS (SELECT FROM devices d WHERE d.tenant = t.tenant AND d.device_id = t.device_id AND d.status = 'online'
                  AND d.live_ordinal IS NULL AND NOT (d.held AND (d.hold_until IS NULL OR d.hold_until > $1))))
)
ORDER BY t.due_at
LIMIT $3")
}

/// Clocks that have run out, at most `limit`.
pub async fn due(db: &Db, now: DateTime<Utc>, limit: usize) -> Result<Vec<DueClock>, DbError> {
    let mut tx = db.read_all().await?;
    let hears = presence::is_up_to_date(&mut tx, now).await?;
    let rows = sqlx::query(&sql()).bind(now).bind(hears).bind(limit as i64).fetch_all(&mut *tx.0).await?;
    rows.iter()
        .map(|row| {
            let reason: Option<String> = row.try_get("wait_reason")?;
            Ok(DueClock {
                tenant: parse(row.try_get("tenant")?)?,
                device: parse(row.try_get("device_id")?)?,
                ordinal: row.try_get::<i64, _>("ordinal")? as u32,
                attempt: row.try_get::<i64, _>("attempt")? as u16,
                phase: phase(row.try_get("phase")?, reason.as_deref())?,
                clock: match row.try_get("clock")? {
                    "wait" => Clock::Wait,
                    "total" => Clock::Total,
                    _ => Clock::Phase,
                },
                seq: row.try_get::<i64, _>("seq")? as u64,
            })
        })
        .collect()
}

pub(crate) fn parse<T: TryFrom<String, Error: std::fmt::Display>>(text: String) -> Result<T, DbError> {
    T::try_from(text).map_err(|error| DbError::Invalid(error.to_string()))
}

fn phase(word: &str, wait_reason: Option<&str>) -> Result<Phase, DbError> {
    Ok(match word {
        "queued" => Phase::Queued,
        "waiting" => Phase::Waiting(match wait_reason {
            Some(reason) => serde_json::from_value(reason.into())?,
            None => WaitReason::Offline,
        }),
        "dispatched" => Phase::Dispatched,
        "accepted" => Phase::Accepted,
        "deferred" => Phase::Deferred,
        "downloading" => Phase::Downloading,
        "verifying" => Phase::Verifying,
        "installing" => Phase::Installing,
        "staged" => Phase::Staged,
        "rebooting" => Phase::Rebooting,
        "cancelling" => Phase::Cancelling,
        "confirmed" => Phase::Ended(Outcome::Confirmed),
        other => return Err(DbError::Invalid(format!("{other} is no phase of an open update"))),
    })
}
