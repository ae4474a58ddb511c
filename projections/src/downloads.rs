//! Table `download_counters`: downloads of each firmware, outside campaigns and per campaign. By day and by device: [`by_day`].
//!
//! Filled by the processes that serve downloads, not from EVENTS: never rebuilt, never compared. Invariant: a flush counts once, also
//! when it is sent again.

mod by_day;

use domain::{CampaignId, DeviceId, FirmwareId, TenantId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::db::{Db, DbError, ReadTx};

pub use by_day::{DownloadGroup, DownloadedBy, grouped, of_days};

/// How long the latest flush of a process that sends no more is kept, in days.
const FLUSHES_KEPT_DAYS: i32 = 7;

/// Counts of downloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Downloads {
    /// Requests for the file's beginning.
    pub started: u64,
    /// Responses that included the file's last byte.
    pub completed: u64,
    /// Bytes that were sent.
    pub bytes: u64,
}

/// Counts since the previous flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub tenant: TenantId,
    pub firmware: FirmwareId,
    /// None for a download outside campaigns.
    pub campaign: Option<CampaignId>,
    /// None for a link that was made for no device.
    pub device: Option<DeviceId>,
    pub downloads: Downloads,
}

/// Identifies one flush of one process. A flush that is sent again adds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flush {
    /// The process, with a new id at each start.
    pub writer: Uuid,
    /// Counts up from 1. A flush is sent under its number until it is stored.
    pub number: u64,
}

/// Adds to the counters, unless this flush was added before.
pub async fn add(db: &Db, flush: Flush, counted: &[Counted]) -> Result<(), DbError> {
    let mut tx = db.write_durably().await?;
    if is_new(&mut tx, flush).await? {
        add_all(&mut tx, counted).await?;
        by_day::add(&mut tx, counted).await?;
    }
    Ok(tx.commit().await?)
}

async fn is_new(connection: &mut PgConnection, flush: Flush) -> Result<bool, DbError> {
    if flush.number == 1 {
        sqlx::query("DELETE FROM download_flushes WHERE at < now() - make_interval(days => $1)")
            .bind(FLUSHES_KEPT_DAYS)
            .execute(&mut *connection)
            .await?;
    }
    let noted = sqlx::query(
        "INSERT INTO download_flushes AS f (writer, number, at) VALUES ($1, $2, now())
         ON CONFLICT (writer) DO UPDATE SET number = EXCLUDED.number, at = EXCLUDED.at WHERE f.number < EXCLUDED.number",
    )
    .bind(flush.writer)
    .bind(flush.number as i64)
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() > 0)
}

/// In key order, so that two processes wait for each other and don't deadlock.
async fn add_all(connection: &mut PgConnection, counted: &[Counted]) -> Result<(), DbError> {
    let texts = |text: fn(&Counted) -> String| counted.iter().map(text).collect::<Vec<_>>();
    let counts = |count: fn(&Downloads) -> u64| counted.iter().map(|row| count(&row.downloads) as i64).collect();
    let (started, completed, bytes): (Vec<i64>, Vec<i64>, Vec<i64>) =
        (counts(|row| row.started), counts(|row| row.completed), counts(|row| row.bytes));
    sqlx::query(
        "INSERT INTO download_counters AS d (tenant, firmware_id, campaign_id, started, completed, bytes)
         SELECT tenant, firmware_id, campaign_id, sum(started)::bigint, sum(completed)::bigint, sum(bytes)::bigint
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
           AS c (tenant, firmware_id, campaign_id, started, completed, bytes)
         GROUP BY tenant, firmware_id, campaign_id
         ORDER BY tenant, firmware_id, campaign_id
         ON CONFLICT (tenant, firmware_id, campaign_id) DO UPDATE SET
           started = d.started + EXCLUDED.started, completed = d.completed + EXCLUDED.completed, bytes = d.bytes + EXCLUDED.bytes",
    )
    .bind(texts(|row| row.tenant.to_string()))
    .bind(texts(|row| row.firmware.to_string()))
    .bind(texts(|row| row.campaign.map(|id| id.to_string()).unwrap_or_default()))
    .bind(started)
    .bind(completed)
    .bind(bytes)
    .execute(connection)
    .await?;
    Ok(())
}

/// Downloads of a firmware, in and outside campaigns.
pub async fn of_firmware(tx: &mut ReadTx, firmware: &FirmwareId) -> Result<Downloads, DbError> {
    sum(tx, "firmware_id", firmware.to_string()).await
}

/// Downloads within a campaign, of any firmware.
pub async fn of_campaign(tx: &mut ReadTx, campaign: &CampaignId) -> Result<Downloads, DbError> {
    sum(tx, "campaign_id", campaign.to_string()).await
}

async fn sum(tx: &mut ReadTx, column: &'static str, value: String) -> Result<Downloads, DbError> {
    let sql = format!(
        "SELECT coalesce(sum(started), 0)::bigint AS started, coalesce(sum(completed), 0)::bigint AS completed,
           coalesce(sum(bytes), 0)::bigint AS bytes
         FROM download_counters WHERE {column} = $1"
    );
    let row = sqlx::query(&sql).bind(value).fetch_one(&mut *tx.0).await?;
    let count = |row: &PgRow, name| row.try_get::<i64, _>(name).map(|count| count.max(0) as u64);
    Ok(Downloads {
        started: count(&row, "started")?,
        completed: count(&row, "completed")?,
        bytes: count(&row, "bytes")?,
    })
}
