//! How long a tenant keeps what isn't an event: in requests and replies, and from when on something is shown.

use chrono::{DateTime, TimeDelta, Utc};
use domain::TenantId;
use domain::change::Change;
use domain::tenant::{Kept, Retention, RetentionPatch};
use event_store::StoreError;
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Tenants;
use super::same_fields::same_fields;

/// For how many days the tenant keeps what isn't an event; null: for as many as tenants without a setting. Events are kept for ever.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionBody {
    /// Measurements and notices of network servers: 1 to 7, by default 7. With a setting this holds for the latest measurements, too; without, they
    /// stay as long as the device.
    #[schema(minimum = 1, maximum = 7)]
    telemetry_days: Option<u16>,
    /// Logs of updates: 1 to 365, by default 30.
    #[schema(minimum = 1, maximum = 365)]
    update_log_days: Option<u16>,
    /// Which device downloaded which firmware on which day: 1 to 1100, by default 400.
    #[schema(minimum = 1, maximum = 1100)]
    device_download_days: Option<u16>,
    /// Dead letters: 1 to 30, by default 30.
    #[schema(minimum = 1, maximum = 30)]
    dead_letter_days: Option<u16>,
}

/// Retention to change; `null` goes back to the default.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionAmendment {
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 7)]
    telemetry_days: Change<u16>,
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 365)]
    update_log_days: Change<u16>,
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 1100)]
    device_download_days: Change<u16>,
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 30)]
    dead_letter_days: Change<u16>,
}

same_fields!(Retention, RetentionBody { telemetry_days, update_log_days, device_download_days, dead_letter_days });
same_fields!(RetentionAmendment => RetentionPatch {
    telemetry_days,
    update_log_days,
    device_download_days,
    dead_letter_days,
});

impl Tenants {
    /// From when on something is shown. What is older may not have been removed yet.
    pub(crate) async fn kept_since(&self, tenant: &TenantId, kept: Kept) -> Result<DateTime<Utc>, StoreError> {
        let days = self.get(tenant).await?.spec.retention.set(kept).unwrap_or(kept.default_days());
        Ok(days_ago(days))
    }

    /// The same, or none if the tenant has set nothing.
    pub(crate) async fn set_to_keep_since(
        &self,
        tenant: &TenantId,
        kept: Kept,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(self.get(tenant).await?.spec.retention.set(kept).map(days_ago))
    }
}

fn days_ago(days: u16) -> DateTime<Utc> {
    clock::now() - TimeDelta::days(i64::from(days))
}
