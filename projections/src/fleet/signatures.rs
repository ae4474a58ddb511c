//! Which signatures and documents a firmware has, and which its tenant asks for, in one snapshot.

use domain::TenantId;
use domain::device::FirmwareSnapshot;
use domain::firmware::{FirmwareDocument, FirmwarePolicy, FirmwareSignature};
use domain::tenant::Tenant;

use crate::db::{DbError, ReadTx};

/// What a tenant asks for; nothing if it hasn't been adopted yet.
pub(crate) async fn policy(tx: &mut ReadTx, tenant: &str) -> Result<FirmwarePolicy, DbError> {
    let state: Option<serde_json::Value> = sqlx::query_scalar("SELECT state FROM tenants WHERE tenant = $1")
        .bind(tenant)
        .fetch_optional(&mut *tx.0)
        .await?;
    let tenant: Option<Tenant> = state.map(serde_json::from_value).transpose()?;
    Ok(tenant.map(|tenant| tenant.firmware_policy()).unwrap_or_default())
}

/// A firmware as its tenant's policy judges it now. What was judged when `firmware` was made does not count.
pub(crate) async fn judged(
    tx: &mut ReadTx,
    tenant: &TenantId,
    firmware: &FirmwareSnapshot,
) -> Result<FirmwareSnapshot, DbError> {
    let policy = policy(tx, tenant.as_str()).await?;
    let lack = match policy.asks_nothing() {
        true => None,
        false => {
            let (signatures, documents) = proofs(tx, tenant, firmware).await?;
            policy.lack(&signatures, &documents)
        }
    };
    Ok(FirmwareSnapshot { lack, ..firmware.clone() })
}

async fn proofs(
    tx: &mut ReadTx,
    tenant: &TenantId,
    firmware: &FirmwareSnapshot,
) -> Result<(Vec<FirmwareSignature>, Vec<FirmwareDocument>), DbError> {
    let found: Option<(serde_json::Value, serde_json::Value)> =
        sqlx::query_as("SELECT signatures, documents FROM firmware WHERE tenant = $1 AND firmware_id = $2")
            .bind(tenant.as_str())
            .bind(firmware.firmware_id.to_string())
            .fetch_optional(&mut *tx.0)
            .await?;
    let Some((signatures, documents)) = found else { return Ok((vec![], vec![])) };
    Ok((serde_json::from_value(signatures)?, serde_json::from_value(documents)?))
}
