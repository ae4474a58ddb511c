//! How long updates of campaigns took, for what is expected of the next one.

use domain::FirmwareId;
use sqlx::Row as _;

use crate::db::{DbError, ReadTx};

/// Most campaigns that are looked at, the newest ones.
const CAMPAIGNS_MAX: i64 = 100;

/// Confirmed updates of campaigns, from the first `received` to the confirmation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpdateTimes {
    pub confirmed: u64,
    /// Of all of them together.
    pub milliseconds: u64,
}

impl UpdateTimes {
    /// None without updates.
    pub fn average_seconds(self) -> Option<f64> {
        (self.confirmed > 0).then(|| self.milliseconds as f64 / 1_000.0 / self.confirmed as f64)
    }
}

/// Times in the newest campaigns of a firmware, or of any firmware.
pub async fn update_times(tx: &mut ReadTx, firmware: Option<&FirmwareId>) -> Result<UpdateTimes, DbError> {
    let row = sqlx::query(
        "SELECT coalesce(sum(p.confirmed), 0)::bigint AS confirmed, coalesce(sum(p.confirmed_ms), 0)::bigint AS milliseconds
         FROM (SELECT tenant, campaign_id FROM campaigns WHERE $1::text IS NULL OR firmware_id = $1
               ORDER BY created_at DESC LIMIT $2) c
         JOIN campaign_progress p ON p.tenant = c.tenant AND p.campaign_id = c.campaign_id",
    )
    .bind(firmware.map(ToString::to_string))
    .bind(CAMPAIGNS_MAX)
    .fetch_one(&mut *tx.0)
    .await?;
    let count = |name| row.try_get::<i64, _>(name).map(|count| count.max(0) as u64);
    Ok(UpdateTimes { confirmed: count("confirmed")?, milliseconds: count("milliseconds")? })
}
