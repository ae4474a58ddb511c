//! What operators ask: the deployments of a campaign, their devices, and which devices a forecast is about.

use std::collections::BTreeMap;

use domain::fuota::ForecastKey;
use domain::{DeviceId, TenantId};
use serde_json::Value;
use sqlx::Row as _;

use super::{DeploymentDeviceRow, DeploymentRow};
use crate::db::{DbError, ReadTx};
use crate::fleet::lorawan_profiles::PROFILE_OF_DEVICE;
use crate::row::{ColumnValue as _, Row as _};
use crate::table::{Page, Select};

/// Deployments with devices of a campaign, the newest first.
pub async fn of_campaign(
    tx: &mut ReadTx,
    campaign_id: &str,
    after: Option<(&str, &str)>,
    limit: usize,
    count: bool,
) -> Result<Page<DeploymentRow>, DbError> {
    let mut select =
        Select::new(DeploymentRow::columns_of("t"), "fuota_deployments t", "t.planned_at DESC, t.deployment_id DESC");
    let of_campaign =
        "EXISTS (SELECT FROM fuota_devices x WHERE x.tenant = t.tenant AND x.deployment_id = t.deployment_id
                       AND x.campaign_id = $ #>> '{}')";
    select.filter(of_campaign, campaign_id);
    let after = after.map(|(planned_at, id)| {
        let beyond = "(t.planned_at, t.deployment_id) < (($ #>> '{}')::timestamptz, $ #>> '{}')".to_owned();
        (beyond, vec![Value::from(planned_at), Value::from(id)])
    });
    let (items, more, total) = select.page(tx, after, limit, count, DeploymentRow::read).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.planned_at.to_rfc3339(), row.deployment_id.clone()]);
    Ok(Page { items, next, total })
}

/// A deployment, and the devices that the campaign has in it, by id. None if it has none. The bound of a deployment bounds them.
pub async fn with_devices(
    tx: &mut ReadTx,
    campaign_id: &str,
    deployment_id: &str,
) -> Result<Option<(DeploymentRow, Vec<DeploymentDeviceRow>)>, DbError> {
    let sql = format!(
        "SELECT {} FROM fuota_devices x WHERE x.deployment_id = $1 AND x.campaign_id = $2 ORDER BY x.device_id",
        DeploymentDeviceRow::columns_of("x")
    );
    let rows = sqlx::query(&sql).bind(deployment_id).bind(campaign_id).fetch_all(&mut *tx.0).await?;
    let devices: Vec<_> = rows.iter().map(DeploymentDeviceRow::read).collect::<Result<_, _>>()?;
    if devices.is_empty() {
        return Ok(None);
    }
    let sql = format!("SELECT {} FROM fuota_deployments t WHERE t.deployment_id = $1", DeploymentRow::columns_of("t"));
    let row = sqlx::query(&sql).bind(deployment_id).fetch_one(&mut *tx.0).await?;
    Ok(Some((DeploymentRow::read(&row)?, devices)))
}

/// Numbers of LoRaWAN devices by what a deployment groups them by.
pub type ForecastDevices = BTreeMap<ForecastKey, u32>;

/// Counts the LoRaWAN devices among these. A tenant without any costs one look into an index.
pub async fn forecast_devices(
    tx: &mut ReadTx,
    tenant: &TenantId,
    devices: &[&DeviceId],
) -> Result<ForecastDevices, DbError> {
    let any = "SELECT EXISTS (SELECT FROM devices WHERE tenant = $1 AND lorawan_dev_eui IS NOT NULL)";
    if !sqlx::query_scalar::<_, bool>(any).bind(tenant.as_str()).fetch_one(&mut *tx.0).await? {
        return Ok(ForecastDevices::new());
    }
    let names: Vec<&str> = devices.iter().map(|device| device.as_str()).collect();
    let sql = format!(
        "SELECT d.chirpstack_app_id, {PROFILE_OF_DEVICE} AS profile, count(*) AS devices FROM devices d
         WHERE d.tenant = $1 AND d.transport = 'lorawan' AND d.device_id = ANY ($2) GROUP BY 1, 2"
    );
    let rows = sqlx::query(&sql).bind(tenant.as_str()).bind(&names).fetch_all(&mut *tx.0).await?;
    rows.iter()
        .map(|row| {
            let key = ForecastKey {
                application_id: row.try_get("chirpstack_app_id")?,
                device_profile_id: row.try_get("profile")?,
            };
            Ok((key, u32::from_wire(row.try_get("devices")?)?))
        })
        .collect()
}
