//! The failed devices that gates name as evidence.

use domain::campaign::EVIDENCE_DEVICES_MAX;
use domain::rollout::FailedDevice;
use sqlx::Row as _;

use super::predicates::{COUNTED_BY_GATE, ended_in_failure};
use super::rows::CampaignRow;
use crate::db::{DbError, ReadTx};
use crate::row::parse;

/// The first members that the failure gate counts, that the success gate counts in the open wave, and that failed at all. Those of the
/// latest wave come first, in the order of the index of failed members.
pub(super) async fn failed_devices(tx: &mut ReadTx, row: &CampaignRow) -> Result<Vec<FailedDevice>, DbError> {
    let ended = ended_in_failure();
    let first = |condition: &str| {
        format!(
            "(SELECT m.device_id, m.wave, {COUNTED_BY_GATE} AS counts, {ended} AS ended FROM rollout_members m
              WHERE m.tenant = $1 AND m.campaign_id = $2 AND m.plan = $3 AND {condition}
              ORDER BY m.wave DESC, m.device_id DESC LIMIT {EVIDENCE_DEVICES_MAX})"
        )
    };
    let parts = [COUNTED_BY_GATE, &format!("m.wave = $4 AND {ended}"), "m.gate_failed"].map(first).join(" UNION ");
    let sql = format!("SELECT * FROM ({parts}) f ORDER BY wave DESC, device_id DESC");
    let rows = sqlx::query(&sql)
        .bind(&row.tenant)
        .bind(&row.campaign_id)
        .bind(&row.plan)
        .bind(i64::from(row.wave))
        .fetch_all(&mut *tx.0)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(FailedDevice {
                device: parse(row.try_get("device_id")?)?,
                wave: row.try_get::<i64, _>("wave")? as u16,
                counts: row.try_get("counts")?,
                ended: row.try_get("ended")?,
            })
        })
        .collect()
}
