//! Counts of devices and campaigns over all tenants, for `/metrics`.

use domain::campaign::CampaignStatus;
use domain::device::Reachability;
use sqlx::Row as _;

use crate::db::{Db, DbError};
use crate::sql::HAS_BEGUN;

/// Counts by word; a word without rows counts 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    pub devices: Vec<(String, u64)>,
    pub updates_in_flight: u64,
    pub campaigns: Vec<(String, u64)>,
}

impl Census {
    /// Shows the counts as gauges.
    pub fn show(&self) {
        for (reachability, count) in &self.devices {
            metrics::gauge!("waybill_devices", "reachability" => reachability.clone()).set(*count as f64);
        }
        for (status, count) in &self.campaigns {
            metrics::gauge!("waybill_campaigns", "status" => status.clone()).set(*count as f64);
        }
        metrics::gauge!("waybill_updates_in_flight").set(self.updates_in_flight as f64);
    }
}

/// Reads the sums of all tenants, and counts the updates under way. Too slow to run for each request.
pub async fn census(db: &Db) -> Result<Census, DbError> {
    let mut tx = db.read_all().await?;
    let mut counted = async |sql: &str| {
        let rows = sqlx::query(sql).fetch_all(&mut *tx.0).await?;
        let count = |row: &sqlx::postgres::PgRow| Ok((row.try_get("word")?, row.try_get::<i64, _>("count")? as u64));
        rows.iter().map(count).collect::<Result<Vec<(String, u64)>, DbError>>()
    };
    let of = |what: &str| {
        format!(
            "SELECT split_part(c.key, '.', 2) AS word, sum(c.value::bigint)::bigint AS count
             FROM statistics s, jsonb_each_text(s.counts) c WHERE s.period = 'now' AND c.key LIKE '{what}.%' GROUP BY 1"
        )
    };
    let mut devices = counted(&of("device")).await?;
    devices.retain(|(status, _)| Reachability::from_word(status).is_some());
    let in_flight = format!("SELECT '' AS word, count(*) AS count FROM updates WHERE {HAS_BEGUN}");
    let in_flight = counted(&in_flight).await?;
    let campaigns = counted(&of("campaign")).await?;
    let statuses = CampaignStatus::all().filter(|status| *status != CampaignStatus::Absent);
    Ok(Census {
        devices: with_zeros(devices, Reachability::all().map(|reachability| reachability.word().to_owned())),
        updates_in_flight: in_flight.first().map_or(0, |(_, count)| *count),
        campaigns: with_zeros(campaigns, statuses.map(|status| status.word().to_owned())),
    })
}

fn with_zeros(mut counts: Vec<(String, u64)>, words: impl IntoIterator<Item = String>) -> Vec<(String, u64)> {
    for word in words {
        if !counts.iter().any(|(known, _)| *known == word) {
            counts.push((word, 0));
        }
    }
    counts
}
