//! What an operator may change while a campaign runs: pace, sample (upwards), thresholds, soak, windows, end.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::spec::{CampaignSpec, TransportLimits};
use super::{Campaign, CampaignEvent, CampaignStatus, PlanSummary};
use crate::change::Change;
use crate::device::Exclusion;
use crate::rejection::Rejection;
use crate::values::{Percent, Threshold};
use crate::window::MaintenanceWindows;

/// New limits of the devices of one transport. A cleared one is as in the campaign.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransportAdjustments {
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub max_concurrent_updates: Change<u32>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub rate_per_minute: Change<u32>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub batch_size: Change<u32>,
}

impl TransportAdjustments {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn apply_to(&self, limits: &mut TransportLimits) {
        self.max_concurrent_updates.apply_to(&mut limits.max_concurrent_updates);
        self.rate_per_minute.apply_to(&mut limits.rate_per_minute);
        self.batch_size.apply_to(&mut limits.batch_size);
    }
}

/// New values for a running campaign. Absent fields keep their values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adjustments {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_updates: Option<u32>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub rate_per_minute: Change<u32>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub batch_size: Change<u32>,
    /// Of its LoRaWAN devices.
    #[serde(default, skip_serializing_if = "TransportAdjustments::is_empty")]
    pub lorawan: TransportAdjustments,
    /// Can only be raised: devices that were not sampled join the last wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_percentage: Option<Percent>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub success_threshold_percent: Change<Threshold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_threshold_percent: Option<Threshold>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub failure_count: Change<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_min_settled: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_reached_percent: Option<Threshold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave_wait_minutes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_minutes: Option<u32>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub ends_at: Change<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub maintenance_window: Change<MaintenanceWindows>,
}

/// A sample that was raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Number of devices that take part from now on: the first ones by rank.
    pub devices: u32,
    /// Devices of each wave, in order.
    pub waves: Vec<u32>,
}

impl CampaignSpec {
    /// The specification with the new values.
    #[must_use]
    pub fn adjusted(&self, changes: &Adjustments) -> Self {
        let mut spec = self.clone();
        let set = |field: &mut u32, value: Option<u32>| *field = value.unwrap_or(*field);
        set(&mut spec.max_concurrent_updates, changes.max_concurrent_updates);
        set(&mut spec.gate_min_settled, changes.gate_min_settled);
        set(&mut spec.wave_wait_minutes, changes.wave_wait_minutes);
        set(&mut spec.soak_minutes, changes.soak_minutes);
        changes.rate_per_minute.apply_to(&mut spec.rate_per_minute);
        changes.batch_size.apply_to(&mut spec.batch_size);
        changes.lorawan.apply_to(&mut spec.lorawan);
        changes.success_threshold_percent.apply_to(&mut spec.success_threshold_percent);
        changes.failure_count.apply_to(&mut spec.failure_count);
        changes.ends_at.apply_to(&mut spec.ends_at);
        match &changes.maintenance_window {
            Change::Keep => {}
            Change::Clear => spec.maintenance_window = MaintenanceWindows::default(),
            Change::Set(windows) => spec.maintenance_window.clone_from(windows),
        }
        spec.rollout_percentage = changes.rollout_percentage.unwrap_or(spec.rollout_percentage);
        spec.failure_threshold_percent = changes.failure_threshold_percent.unwrap_or(spec.failure_threshold_percent);
        spec.min_reached_percent = changes.min_reached_percent.unwrap_or(spec.min_reached_percent);
        spec
    }
}

impl PlanSummary {
    /// The sample for a larger percentage: devices that were not sampled before join the last wave.
    fn raised_to(&self, percentage: Percent) -> Sample {
        let left_out = self.excluded.get(&Exclusion::NotSampled).copied().unwrap_or(0);
        let eligible = u64::from(self.devices) + u64::from(left_out);
        let devices = (percentage.of_rounded_up(eligible) as u32).max(self.devices);
        let mut waves = self.waves.clone();
        if let Some(last) = waves.last_mut() {
            *last += devices - self.devices;
        }
        Sample { devices, waves }
    }

    /// Applies a raised sample.
    pub fn resample(&mut self, sample: &Sample) {
        let joined = sample.devices - self.devices.min(sample.devices);
        if let Some(left_out) = self.excluded.get_mut(&Exclusion::NotSampled) {
            *left_out = left_out.saturating_sub(joined);
        }
        self.excluded.retain(|_, count| *count > 0);
        self.devices = sample.devices;
        self.waves.clone_from(&sample.waves);
    }
}

impl Campaign {
    pub(super) fn adjust(&self, now: DateTime<Utc>, changes: &Adjustments) -> Result<Vec<CampaignEvent>, Rejection> {
        let (Some(present), Some(summary)) = (&self.spec, &self.summary) else {
            let status = format!("{} without a plan", CampaignStatus::Paused.word());
            return Err(Rejection::IllegalInState { command: "adjusted".to_owned(), status });
        };
        let spec = present.adjusted(changes);
        if spec == *present {
            return Ok(vec![]);
        }
        spec.check_change(present, now)?;
        if spec.ends_at.is_none() && present.ends_at.is_some() {
            let reason = "a running campaign always has an end: give another time".to_owned();
            return Err(Rejection::Invalid { field: "ends_at".into(), reason });
        }
        if spec.rollout_percentage < present.rollout_percentage {
            let reason = format!("can only rise: it is {}", present.rollout_percentage.get());
            return Err(Rejection::Invalid { field: "rollout_percentage".into(), reason });
        }
        let sample = (spec.rollout_percentage > present.rollout_percentage)
            .then(|| summary.raised_to(spec.rollout_percentage))
            .filter(|sample| sample.devices > summary.devices);
        Ok(vec![CampaignEvent::Adjusted { changes: Box::new(changes.clone()), sample }])
    }
}
