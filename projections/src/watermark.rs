//! How far the messages of devices have been processed in event time, beside the checkpoint of the projection over TELEMETRY.
//!
//! The bridge writes watermarks to TELEMETRY. A clock that measures silence runs out only when the watermark has passed its deadline: a
//! report that is still unread in the broker was in time. All times here are those of the watermarks, so no clock is compared with
//! PostgreSQL's.

use chrono::{DateTime, TimeDelta, Utc};
use event_store::telemetry::WatermarkRecord;
use sqlx::{PgConnection, Row as _};

use crate::db::{Db, DbError};

/// A longer time between two watermarks is an outage: each limit starts again, because devices may not have been served in it.
const GAP_MAX: TimeDelta = TimeDelta::seconds(30);

/// Up to when messages of devices have been processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watermark {
    /// TELEMETRY isn't followed here, so there are no messages.
    Absent,
    /// No watermark has arrived yet.
    Unknown,
    Until {
        /// Messages up to this time are applied.
        until: DateTime<Utc>,
        /// Since then there was no gap.
        since: DateTime<Utc>,
    },
}

impl Watermark {
    /// Must be read before the rows that it is compared with: these may then only be newer.
    pub async fn read(db: &Db) -> Result<Self, DbError> {
        let mut tx = db.read_all().await?;
        let row = sqlx::query("SELECT heard_until, hearing_since FROM projection_checkpoints WHERE name = $1")
            .bind(crate::PRESENCE)
            .fetch_optional(&mut *tx.0)
            .await?;
        let Some(row) = row else { return Ok(Self::Absent) };
        Ok(match (row.try_get("heard_until")?, row.try_get("hearing_since")?) {
            (Some(until), Some(since)) => Self::Until { until, since },
            _ => Self::Unknown,
        })
    }

    /// The time to compare deadlines of silence with; none if it is not known.
    pub(crate) fn heard(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Absent | Self::Unknown => None,
            Self::Until { until, .. } => Some(now.min(*until)),
        }
    }

    /// The same for clocks that also run where TELEMETRY isn't followed.
    pub(crate) fn heard_or_absent(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if *self == Self::Absent { Some(now) } else { self.heard(now) }
    }

    /// No silence began earlier.
    pub(crate) fn since(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Absent | Self::Unknown => None,
            Self::Until { since, .. } => Some(*since),
        }
    }
}

/// The watermark after these marks; `known`: the latest mark, with the time since which there was no gap.
fn follow(
    known: Option<(WatermarkRecord, DateTime<Utc>)>,
    marks: &[WatermarkRecord],
) -> Option<(WatermarkRecord, DateTime<Utc>)> {
    marks.iter().fold(known, |known, mark| {
        let Some((latest, since)) = known else { return Some((*mark, mark.at)) };
        let since = if mark.at - latest.at > GAP_MAX { mark.at } else { since };
        let at = mark.at.max(latest.at);
        Some((WatermarkRecord { at, heard_until: mark.heard_until.max(latest.heard_until), ..*mark }, since))
    })
}

/// Stores watermarks in the transaction that applies the messages before them.
pub(crate) async fn note(connection: &mut PgConnection, marks: &[WatermarkRecord]) -> Result<(), DbError> {
    if marks.is_empty() {
        return Ok(());
    }
    let found = sqlx::query(
        "SELECT heard_until, hearing_since, marked_at FROM projection_checkpoints WHERE name = $1 FOR UPDATE",
    )
    .bind(crate::PRESENCE)
    .fetch_one(&mut *connection)
    .await?;
    let (heard_until, since, at): (Option<_>, Option<_>, Option<_>) =
        (found.try_get("heard_until")?, found.try_get("hearing_since")?, found.try_get("marked_at")?);
    let known = match (heard_until, since, at) {
        (Some(heard_until), Some(since), Some(at)) => Some((WatermarkRecord { v: 0, at, heard_until }, since)),
        _ => None,
    };
    let Some((latest, since)) = follow(known, marks) else { return Ok(()) };
    sqlx::query(
        "UPDATE projection_checkpoints SET heard_until = $2, hearing_since = $3, marked_at = $4 WHERE name = $1",
    )
    .bind(crate::PRESENCE)
    .bind(latest.heard_until)
    .bind(since)
    .bind(latest.at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the watermark: TELEMETRY was created again and may lack messages of devices.
pub(crate) async fn forget(connection: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE projection_checkpoints SET heard_until = NULL, hearing_since = NULL, marked_at = NULL WHERE name = $1",
    )
    .bind(crate::PRESENCE)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn mark(second: i64, heard_until: i64) -> WatermarkRecord {
        WatermarkRecord { v: 1, at: at(second), heard_until: at(heard_until) }
    }

    fn after(marks: &[WatermarkRecord]) -> (DateTime<Utc>, DateTime<Utc>) {
        let (latest, since) = follow(None, marks).unwrap();
        (latest.heard_until, since)
    }

    #[test]
    fn the_watermark_never_falls() {
        assert_eq!(after(&[mark(0, 0), mark(10, 10), mark(12, 5)]), (at(10), at(0)));
        assert_eq!(after(&[mark(10, 10), mark(8, 8)]), (at(10), at(10)), "another process whose clock is behind");
    }

    #[test]
    fn a_gap_restarts_the_watermark_and_a_backlog_does_not() {
        assert_eq!(after(&[mark(0, 0), mark(31, 1)]), (at(1), at(31)));
        assert_eq!(after(&[mark(0, 0), mark(20, 0), mark(40, 0), mark(60, 1)]), (at(1), at(0)));
    }
}
