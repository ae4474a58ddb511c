//! Turns an operator's order into the device's command: firmware, limits, attempts.

use domain::device::{FirmwareSnapshot, Limits, UpdateKind, UpdateRequest};
use domain::firmware::Firmware;
use domain::preconditions::Preconditions;
use domain::tenant::TenantRules;
use domain::values::{MINUTES_MAX, Priority};
use domain::{FirmwareId, Key, RejectionKind};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::fields::Checks;
use crate::http::Problem;
use crate::state::{ApiConfig, App};

/// Retries if the order gives none.
pub(crate) const RETRIES_DEFAULT: u16 = 3;
/// Working time over all attempts, in minutes.
pub(crate) const TIMEOUT_DEFAULT_MINUTES: u32 = 60;
/// Waiting time: 7 days, in minutes.
pub(crate) const WAIT_DEFAULT_MINUTES: u32 = 7 * 24 * 60;

/// An order to update a device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "firmware_id": "7c9e6679-7425-5de3-944b-e07fc1f90ae7", "priority": "high", "preconditions": {"min_battery_percent": 30},
    "reason": "customer asked for it",
}))]
pub(crate) struct UpdateOrder {
    #[schema(value_type = uuid::Uuid)]
    pub(super) firmware_id: FirmwareId,
    /// If given, it must be the path's.
    pub(super) device_id: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "normal")]
    pub(super) priority: Priority,
    /// Working time over all attempts, from the device's first answer.
    #[serde(default = "timeout_default")]
    #[schema(default = 60)]
    pub(super) timeout_minutes: u32,
    /// Waiting time until the device's first answer; 7 days by default.
    #[serde(default = "wait_default")]
    #[schema(default = 10080)]
    pub(super) wait_for_device_minutes: u32,
    /// Install even if the version runs already.
    #[serde(default)]
    pub(super) force_update: bool,
    #[serde(default)]
    pub(super) allow_downgrade: bool,
    #[schema(value_type = Option<crate::campaigns::PreconditionsSchema>)]
    pub(super) preconditions: Option<Preconditions>,
    /// The device must report the SHA-256 of what it received before it leaves *verifying*.
    #[serde(default)]
    pub(super) require_digest_report: bool,
    pub(super) reason: Option<String>,
}

pub(super) fn timeout_default() -> u32 {
    TIMEOUT_DEFAULT_MINUTES
}

pub(super) fn wait_default() -> u32 {
    WAIT_DEFAULT_MINUTES
}

impl UpdateOrder {
    /// The device's command.
    pub(super) fn request(
        &self,
        config: &ApiConfig,
        rules: TenantRules,
        firmware: FirmwareSnapshot,
    ) -> Result<UpdateRequest, Problem> {
        for (field, minutes) in
            [("timeout_minutes", self.timeout_minutes), ("wait_for_device_minutes", self.wait_for_device_minutes)]
        {
            if !(1..=MINUTES_MAX).contains(&minutes) {
                return Err(Problem::invalid(field, format!("1 to {MINUTES_MAX}")));
            }
        }
        let mut checks = Checks::default();
        let preconditions = checks.preconditions(self.preconditions);
        checks.finish()?;
        Ok(UpdateRequest {
            firmware,
            priority: self.priority,
            kind: UpdateKind::Update,
            limits: limits(config, self.timeout_minutes, self.wait_for_device_minutes),
            max_attempts: RETRIES_DEFAULT + 1,
            activate: true,
            force_update: self.force_update,
            allow_downgrade: self.allow_downgrade,
            preconditions,
            require_digest_report: self.require_digest_report || rules.require_digest_report,
            retry_of: None,
            rolls_back: None,
        })
    }
}

/// Limits of an update.
pub(crate) fn limits(config: &ApiConfig, timeout_minutes: u32, wait_for_device_minutes: u32) -> Limits {
    Limits {
        wait_s: wait_for_device_minutes.saturating_mul(60),
        total_s: timeout_minutes.saturating_mul(60),
        dispatch_s: config.dispatch_patience_s,
        backoff_s: config.retry_backoff_s,
        ..Limits::default()
    }
}

/// The firmware that a body names, if it may be used for new updates: 422 if it doesn't exist, 409 if it is withdrawn or deleted.
pub(crate) async fn usable_firmware(app: &App, caller: &Caller, id: FirmwareId) -> Result<FirmwareSnapshot, Problem> {
    let loaded = app.store.load_fresh(&Key::<Firmware>::new(&caller.tenant, &id)).await?;
    let policy = app.tenants.firmware_policy(&caller.tenant).await?;
    loaded.aggregate.snapshot_for_new_work(id, &policy).map_err(|rejection| match rejection.kind() {
        RejectionKind::Unknown => Problem::invalid("firmware_id", rejection.to_string()),
        RejectionKind::Conflict | RejectionKind::Invalid => rejection.into(),
    })
}
