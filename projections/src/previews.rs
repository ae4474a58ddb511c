//! Table `campaign_previews`: what a preview has shown, by the hash of its plan, so that a start that names the hash can say what has
//! changed.
//!
//! Rows are written by the processes that serve previews, not from EVENTS: never rebuilt, never compared. Without its row a start still compares
//! the hash, but its drift has no numbers of the preview.

use domain::TenantId;
use domain::plan::PreviewedPlan;
use sqlx::types::Json;

use crate::db::{Db, DbError, ReadTx};

/// How long a row is kept, in days.
const KEPT_DAYS: i32 = 7;

/// Keeps what a preview has shown. A later preview of the same plan replaces it.
pub async fn keep(db: &Db, tenant: &TenantId, plan_hash: &str, previewed: &PreviewedPlan) -> Result<(), DbError> {
    let mut tx = db.write_durably().await?;
    sqlx::query("DELETE FROM campaign_previews WHERE tenant = $1 AND made_at < now() - make_interval(days => $2)")
        .bind(tenant.as_str())
        .bind(KEPT_DAYS)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "INSERT INTO campaign_previews AS p (tenant, plan_hash, made_at, previewed) VALUES ($1, $2, now(), $3)
         ON CONFLICT (tenant, plan_hash) DO UPDATE SET made_at = EXCLUDED.made_at, previewed = EXCLUDED.previewed",
    )
    .bind(tenant.as_str())
    .bind(plan_hash)
    .bind(Json(previewed))
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// What the latest preview with this hash has shown; none if there was none in the last 7 days.
pub async fn find(tx: &mut ReadTx, plan_hash: &str) -> Result<Option<PreviewedPlan>, DbError> {
    let found: Option<Json<PreviewedPlan>> = sqlx::query_scalar(
        "SELECT previewed FROM campaign_previews WHERE plan_hash = $1 AND made_at >= now() - make_interval(days => $2)",
    )
    .bind(plan_hash)
    .bind(KEPT_DAYS)
    .fetch_optional(&mut *tx.0)
    .await?;
    Ok(found.map(|found| found.0))
}
