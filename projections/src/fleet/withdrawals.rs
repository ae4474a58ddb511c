//! Updates that are to be taken back because their firmware was withdrawn or deleted.

use domain::{DeviceId, FirmwareId, TenantId};
use sqlx::Row as _;

use crate::db::{Db, DbError};
use crate::row::parse;

/// Devices with an update of a withdrawn or deleted firmware that can still be taken back, with that firmware.
pub async fn due(db: &Db, limit: usize) -> Result<Vec<(TenantId, DeviceId, FirmwareId)>, DbError> {
    let mut tx = db.read_all().await?;
    let rows = sqlx::query(
        "SELECT t.tenant, t.device_id, t.firmware_id FROM firmware f
         JOIN updates t ON t.tenant = f.tenant AND t.firmware_id = f.firmware_id
         WHERE f.status IN ('withdrawn', 'deleted') AND t.open AND NOT t.cancel_refused
           AND t.phase NOT IN ('installing', 'rebooting', 'cancelling') LIMIT $1",
    )
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    rows.iter()
        .map(|row| {
            let firmware: String = row.try_get("firmware_id")?;
            let firmware = firmware.parse().map_err(|_| DbError::Invalid(format!("{firmware:?} is no UUID")))?;
            Ok((parse(row.try_get("tenant")?)?, parse(row.try_get("device_id")?)?, FirmwareId(firmware)))
        })
        .collect()
}
