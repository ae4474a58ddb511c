//! The failed devices that gates name as evidence.

use domain::campaign::EVIDENCE_DEVICES_MAX;
use domain::rollout::FailedDevice;
use sqlx::Row as _;

use super::rows::CampaignRow;
use crate::db::{DbError, ReadTx};
use crate::row::parse;

/// The failure gate counts it.
const COUNTS: &str = "(m.gate_failed AND NOT m.gate_accepted)";
/// Its update failed or it has fallen back, and the success gate counts it. That gate counts the same outcomes as failed.
const ENDED: &str = "(m.gate_failed AND NOT m.failure_accepted
     AND (m.regressed_at IS NOT NULL OR coalesce(m.outcome IN ('failed', 'timed_out', 'rejected'), false)))";

/// The first members that the failure gate counts, that the success gate counts in the open wave, and that failed at all. Those of the
/// latest wave come first, in the order of the index of failed members.
pub(super) async fn failed_devices(tx: &mut ReadTx, row: &CampaignRow) -> Result<Vec<FailedDevice>, DbError> {
    let first = |condition: &str| {
        format!(
            "(SELECT m.device_id, m.wave, {COUNTS} AS counts, {ENDED} AS ended FROM rollout_members m
              WHERE m.tenant = $1 AND m.campaign_id = $2 AND m.plan = $3 AND {condition}
              ORDER BY m.wave DESC, m.device_id DESC LIMIT {EVIDENCE_DEVICES_MAX})"
        )
    };
    let parts = [COUNTS, &format!("m.wave = $4 AND {ENDED}"), "m.gate_failed"].map(first).join(" UNION ");
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
