//! Reads the specification from a campaign's body. Strategies differ only in how they set the waves.
//!
//! Fields that this version doesn't support, and fields of another strategy, are refused by name, never ignored.

use chrono::{DateTime, Utc};
use domain::campaign::{CampaignSpec, STAGED_PERCENTAGES, Strategy, TargetFilters, TransportLimits, WaveSpec};
use domain::preconditions::Preconditions;
use domain::tenant::TenantRules;
use domain::values::{Percent, Priority, Threshold};
use domain::window::MaintenanceWindows;
use domain::{DeviceId, FirmwareId, GroupId, Sealed};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::parts;
use crate::fields::Checks;
use crate::http::Problem;

/// Share of devices that go first when a canary campaign gives none.
const CANARY_PERCENTAGE_DEFAULT: u8 = 5;

/// A campaign to create, or the new content of a draft.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Q4 2024 Update", "firmware_id": "7c9e6679-7425-5de3-944b-e07fc1f90ae7", "deployment_strategy": "staged",
    "target_filters": {"device_type": "smart_frame", "firmware_version": "<2.0.0"},
    "waves": [
        {"percentage": 10, "soak_minutes": 60, "advance": "manual"},
        {"percentage": 50, "advance": "manual"},
        {"percentage": 100},
    ],
    "max_concurrent_updates": 50, "batch_size": 10, "failure_threshold_percent": 20, "reason": "security fix",
}))]
pub(crate) struct CampaignRequest {
    /// Public: readers of FEED see it.
    name: String,
    #[schema(value_type = uuid::Uuid)]
    pub(super) firmware_id: FirmwareId,
    /// `immediate`, `scheduled` (immediate at a `scheduled_start`, which it needs), `staged`, `canary` or `blue_green`: all devices install into
    /// their standby slot, then they activate it in waves.
    #[schema(value_type = String, example = "staged")]
    deployment_strategy: Strategy,
    description: Option<String>,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    target_devices: Vec<DeviceId>,
    /// Groups whose members are targets beside `target_devices`, up to 100. Who the members are is decided when the campaign is planned.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    target_groups: Vec<GroupId>,
    #[schema(value_type = Option<parts::TargetFilters>)]
    target_filters: Option<TargetFilters>,
    target_all: Option<bool>,
    /// Share of the eligible devices, 1 to 100.
    #[schema(value_type = Option<u8>, default = 100)]
    rollout_percentage: Option<Percent>,
    sample_seed: Option<String>,
    /// Most updates at the same time, of each transport by itself. LoRaWAN devices have slots of their own: this number of them, or the number
    /// in `lorawan`.
    #[schema(default = 100)]
    max_concurrent_updates: Option<u32>,
    /// Most devices that begin together.
    batch_size: Option<u32>,
    /// Other limits for its LoRaWAN devices, whose updates take hours. A limit that is absent here is the campaign's. LoRaWAN devices are counted
    /// apart from the other devices in any case.
    #[serde(default)]
    #[schema(value_type = Option<parts::TransportLimits>)]
    lorawan: TransportLimits,
    /// Staged and blue_green only: cumulative percentages, the last 100. By default 10, 50, 100; for blue_green one wave of 100.
    /// After a wave with `"advance": "manual"` the next wave begins only when an operator opens it. The wave itself begins automatically, except
    /// the first one of blue_green: with `manual` it, too, waits for an operator.
    #[schema(
        value_type = Option<Vec<parts::WaveRequest>>,
        example = json!([{"percentage": 10, "advance": "manual"}, {"percentage": 50, "advance": "manual"}, {"percentage": 100}])
    )]
    waves: Option<Vec<WaveSpec>>,
    /// Canary only, 1 to 99.
    #[schema(value_type = Option<u8>, default = 5)]
    canary_percentage: Option<Percent>,
    /// Canary only, instead of a percentage: the number of devices that go first.
    canary_size: Option<u32>,
    soak_minutes: Option<u32>,
    #[schema(value_type = Option<u8>)]
    success_threshold_percent: Option<Threshold>,
    #[schema(value_type = Option<u8>, default = 20)]
    failure_threshold_percent: Option<Threshold>,
    failure_count: Option<u32>,
    #[schema(default = 10)]
    gate_min_settled: Option<u32>,
    #[schema(value_type = Option<u8>, default = 80)]
    min_reached_percent: Option<Threshold>,
    #[schema(default = 60)]
    wave_wait_minutes: Option<u32>,
    /// Devices that begin in a minute, evenly distributed: 60 is one each second. After a pause `batch_size` devices begin at once; without
    /// it the devices of one second, at least one.
    rate_per_minute: Option<u32>,
    /// Devices of a wave begin evenly distributed over this time after the wave opens, in the campaign's order, at most 86400. A device that
    /// has yet to begin holds no slot.
    #[schema(minimum = 0, maximum = 86400)]
    jitter_seconds: Option<u32>,
    /// When the failure gate closes for the first time, the devices go back to what they ran before. Otherwise the gate pauses the campaign.
    #[serde(default)]
    auto_rollback: bool,
    /// End of the campaign, also while it is paused: waiting updates expire, updates under way finish, and the campaign ends. In the
    /// future; by default 30 days after the start.
    ends_at: Option<chrono::DateTime<chrono::Utc>>,
    #[schema(default = 60)]
    timeout_minutes: Option<u32>,
    #[schema(default = 10080)]
    wait_for_device_minutes: Option<u32>,
    #[schema(default = 3)]
    max_retries: Option<u16>,
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "normal")]
    priority: Priority,
    #[serde(default)]
    force_update: bool,
    #[serde(default)]
    allow_downgrade: bool,
    /// Devices must report the SHA-256 of what they received before they leave *verifying*.
    #[serde(default)]
    require_digest_report: bool,
    pub(super) reason: Option<String>,
    /// With every strategy: after an operator has started the campaign, it begins at this time by itself; later if the service was down. In
    /// the future, at most 366 days from now, before `ends_at`.
    scheduled_start: Option<DateTime<Utc>>,
    /// Before the start another person than the creator and the last editor must approve it (`POST /campaigns/{campaign_id}/approve`).
    requires_approval: Option<bool>,
    /// When devices may be released and may begin to install: while any of these windows is open. Without windows at any time. An update
    /// that is installing when its window closes runs to its end; one before that waits for the next window.
    #[schema(value_type = Option<Vec<parts::MaintenanceWindow>>)]
    maintenance_window: Option<MaintenanceWindows>,
    #[schema(value_type = Option<parts::Preconditions>)]
    preconditions: Option<Preconditions>,
}

impl CampaignRequest {
    /// The specification, with every default filled in, as the rules of the tenant ask.
    pub(super) fn into_spec(self, now: DateTime<Utc>, rules: TenantRules) -> Result<CampaignSpec, Problem> {
        let mut checks = self.check();
        if rules.require_approval && self.requires_approval == Some(false) {
            checks.fail("requires_approval", "the rules of the tenant ask for an approval");
        }
        let waves = self.wave_specs();
        let spec = CampaignSpec {
            name: Sealed::Plain(self.name),
            description: self.description.map(Sealed::Plain),
            firmware_id: self.firmware_id,
            strategy: self.deployment_strategy,
            target_devices: self.target_devices,
            target_groups: self.target_groups,
            target_filters: self.target_filters.unwrap_or_default(),
            target_all: self.target_all.unwrap_or(false),
            rollout_percentage: self.rollout_percentage.unwrap_or(Percent::ALL),
            sample_seed: self.sample_seed,
            max_concurrent_updates: self.max_concurrent_updates.unwrap_or(100),
            batch_size: self.batch_size,
            lorawan: self.lorawan,
            waves,
            canary_size: self.canary_size,
            soak_minutes: self.soak_minutes.unwrap_or(0),
            success_threshold_percent: self.success_threshold_percent,
            failure_threshold_percent: self.failure_threshold_percent.unwrap_or(threshold(20)),
            failure_count: self.failure_count,
            gate_min_settled: self.gate_min_settled.unwrap_or(10),
            min_reached_percent: self.min_reached_percent.unwrap_or(threshold(80)),
            wave_wait_minutes: self.wave_wait_minutes.unwrap_or(60),
            rate_per_minute: self.rate_per_minute,
            jitter_seconds: self.jitter_seconds.filter(|seconds| *seconds > 0),
            auto_rollback: self.auto_rollback,
            requires_approval: self.requires_approval.unwrap_or(rules.require_approval),
            scheduled_start: self.scheduled_start,
            ends_at: self.ends_at,
            timeout_minutes: self.timeout_minutes.unwrap_or(60),
            wait_for_device_minutes: self.wait_for_device_minutes.unwrap_or(10_080),
            max_retries: self.max_retries.unwrap_or(3),
            priority: self.priority,
            force_update: self.force_update,
            allow_downgrade: self.allow_downgrade,
            require_digest_report: self.require_digest_report || rules.require_digest_report,
            preconditions: self.preconditions.filter(|wanted| !wanted.is_empty()),
            maintenance_window: self.maintenance_window.unwrap_or_default(),
        };
        checks.violations(spec.violations(now));
        checks.finish()?;
        Ok(spec)
    }

    /// Checks that concern only the request: fields of other strategies, and unsupported fields.
    fn check(&self) -> Checks {
        let mut checks = Checks::default();
        let names_waves = matches!(self.deployment_strategy, Strategy::Staged | Strategy::BlueGreen);
        if self.waves.is_some() && !names_waves {
            checks.fail("waves", "belongs to the strategies staged and blue_green");
        }
        if self.canary_percentage.is_some() && self.deployment_strategy != Strategy::Canary {
            checks.fail("canary_percentage", "belongs to the strategy canary");
        }
        if self.canary_size.is_some() && self.deployment_strategy != Strategy::Canary {
            checks.fail("canary_size", "belongs to the strategy canary");
        }
        if self.canary_size.is_some() && self.canary_percentage.is_some() {
            checks.fail("canary_size", "give canary_size or canary_percentage, not both");
        }
        if self.canary_percentage == Some(Percent::ALL) {
            checks.fail("canary_percentage", "1 to 99");
        }
        checks
    }

    fn wave_specs(&self) -> Vec<WaveSpec> {
        let at = |percentages: &[u8]| percentages.iter().map(|value| WaveSpec::at(percent(*value))).collect();
        match self.deployment_strategy {
            Strategy::Staged => self.waves.clone().unwrap_or_else(|| at(&STAGED_PERCENTAGES)),
            Strategy::Canary => {
                // A size replaces the share, which must only be below 100.
                let share = if self.canary_size.is_some() { 1 } else { CANARY_PERCENTAGE_DEFAULT };
                let first = self.canary_percentage.unwrap_or(percent(share));
                vec![WaveSpec::at(first), WaveSpec::at(Percent::ALL)]
            }
            Strategy::BlueGreen => self.waves.clone().unwrap_or_else(|| at(&[100])),
            Strategy::Immediate | Strategy::Scheduled => at(&[100]),
        }
    }
}

/// A percentage given in this file.
fn percent(value: u8) -> Percent {
    Percent::new(value).unwrap_or(Percent::ALL)
}

fn threshold(value: u8) -> Threshold {
    Threshold::new(value).unwrap_or_else(|| unreachable!("at most 100"))
}

/// The specification as replies show it: the fields of the request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpecBody {
    name: Option<String>,
    description: Option<String>,
    firmware_id: String,
    deployment_strategy: &'static str,
    #[schema(value_type = parts::CampaignSettings)]
    #[serde(flatten)]
    rest: Value,
}

impl SpecBody {
    pub(super) fn of(spec: &CampaignSpec) -> Self {
        let mut rest = serde_json::to_value(spec).unwrap_or_default();
        if let Some(fields) = rest.as_object_mut() {
            for named in ["name", "description", "firmware_id", "strategy", "ends_at"] {
                fields.remove(named);
            }
        }
        Self {
            name: spec.name.plain().cloned(),
            description: spec.description.as_ref().and_then(|description| description.plain().cloned()),
            firmware_id: spec.firmware_id.to_string(),
            deployment_strategy: spec.strategy.word(),
            rest,
        }
    }
}

#[cfg(test)]
mod tests;
