//! Which signatures a firmware has, and which its tenant asks for, in one snapshot.

use domain::TenantId;
use domain::device::FirmwareSnapshot;
use domain::firmware::{FirmwareSignature, SignaturePolicy};
use domain::tenant::Tenant;

use crate::db::{DbError, ReadTx};

/// What a tenant asks for; nothing if it hasn't been adopted yet.
pub(crate) async fn policy(tx: &mut ReadTx, tenant: &str) -> Result<SignaturePolicy, DbError> {
    let state: Option<serde_json::Value> = sqlx::query_scalar("SELECT state FROM tenants WHERE tenant = $1")
        .bind(tenant)
        .fetch_optional(&mut *tx.0)
        .await?;
    let tenant: Option<Tenant> = state.map(serde_json::from_value).transpose()?;
    Ok(tenant.map(|tenant| tenant.signature_policy()).unwrap_or_default())
}

/// A firmware as its tenant's policy judges it now. What was judged when `firmware` was made does not count.
pub(crate) async fn judged(
    tx: &mut ReadTx,
    tenant: &TenantId,
    firmware: &FirmwareSnapshot,
) -> Result<FirmwareSnapshot, DbError> {
    let policy = policy(tx, tenant.as_str()).await?;
    let unsigned = policy.required > 0 && policy.refuses(&signatures(tx, tenant, firmware).await?);
    Ok(FirmwareSnapshot { unsigned, ..firmware.clone() })
}

async fn signatures(
    tx: &mut ReadTx,
    tenant: &TenantId,
    firmware: &FirmwareSnapshot,
) -> Result<Vec<FirmwareSignature>, DbError> {
    let found: Option<serde_json::Value> =
        sqlx::query_scalar("SELECT signatures FROM firmware WHERE tenant = $1 AND firmware_id = $2")
            .bind(tenant.as_str())
            .bind(firmware.firmware_id.to_string())
            .fetch_optional(&mut *tx.0)
            .await?;
    Ok(found.map(serde_json::from_value).transpose()?.unwrap_or_default())
}
