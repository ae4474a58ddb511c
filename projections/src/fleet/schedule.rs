//! Campaigns that wait for their scheduled start.

use chrono::{DateTime, Utc};
use domain::campaign::CampaignStatus;
use domain::{CampaignId, FirmwareId, TenantId};
use sqlx::Row as _;

use crate::db::{Db, DbError};
use crate::row::parse;

/// What is due for a campaign that hasn't started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Its end has passed.
    End,
    /// Its firmware was withdrawn.
    Withdrawn,
    Start,
}

/// A scheduled campaign for which something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCampaign {
    pub tenant: TenantId,
    pub campaign: CampaignId,
    pub firmware: FirmwareId,
    pub due: Due,
}

/// Ended also while it is paused; `$1` is now.
const DUE: &str = "
SELECT tenant, campaign_id, firmware_id,
  CASE WHEN is_over THEN 'end' WHEN is_withdrawn THEN 'withdrawn' ELSE 'start' END AS due
FROM (
  SELECT c.tenant, c.campaign_id, c.status, c.starts_at, c.spec->>'firmware_id' AS firmware_id,
    coalesce((c.spec->>'ends_at')::timestamptz <= $1, false) AS is_over,
    EXISTS (SELECT FROM firmware f WHERE f.tenant = c.tenant AND f.firmware_id = c.spec->>'firmware_id'
              AND f.status = 'withdrawn') AS is_withdrawn
  FROM rollout_campaigns c WHERE c.starts_at IS NOT NULL AND c.status IN ('scheduled', 'paused')) c
WHERE is_over OR (status = 'scheduled' AND (is_withdrawn OR starts_at <= $1))
ORDER BY starts_at, tenant, campaign_id
LIMIT $2";

/// Campaigns for which something is due, at most `limit`.
pub async fn due(db: &Db, now: DateTime<Utc>, limit: usize) -> Result<Vec<DueCampaign>, DbError> {
    let mut tx = db.read_all().await?;
    let rows = sqlx::query(DUE).bind(now).bind(limit as i64).fetch_all(&mut *tx.0).await?;
    rows.iter()
        .map(|row| {
            Ok(DueCampaign {
                tenant: parse(row.try_get("tenant")?)?,
                campaign: id(row.try_get("campaign_id")?)?,
                firmware: id(row.try_get("firmware_id")?)?,
                due: match row.try_get("due")? {
                    "end" => Due::End,
                    "withdrawn" => Due::Withdrawn,
                    _ => Due::Start,
                },
            })
        })
        .collect()
}

/// The next scheduled start after `now`.
pub async fn next_start(db: &Db, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, DbError> {
    let mut tx = db.read_all().await?;
    let sql = "SELECT min(starts_at) FROM rollout_campaigns WHERE starts_at > $1 AND status = $2";
    let query = sqlx::query_scalar(sql).bind(now).bind(CampaignStatus::Scheduled.word());
    Ok(query.fetch_one(&mut *tx.0).await?)
}

fn id<T: std::str::FromStr>(text: String) -> Result<T, DbError> {
    text.parse().map_err(|_| DbError::Invalid(format!("{text:?} is no id")))
}
