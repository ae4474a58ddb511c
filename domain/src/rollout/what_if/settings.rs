//! The settings that a campaign is tried with.

use chrono::{DateTime, Utc};

use crate::campaign::{CampaignSpec, WaveSpec};
use crate::rejection::Rejection;
use crate::values::Threshold;

/// Other settings. What is absent stays as it is in the campaign.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OtherSettings {
    /// Replaces the campaign's and, unless `waves` are given, those of its waves. The same holds for `success_threshold_percent`.
    pub failure_threshold_percent: Option<Threshold>,
    pub failure_count: Option<u32>,
    pub gate_min_settled: Option<u32>,
    pub success_threshold_percent: Option<Threshold>,
    pub waves: Option<Vec<WaveSpec>>,
    pub max_concurrent_updates: Option<u32>,
}

impl OtherSettings {
    /// Whether devices begin at other times than they did.
    pub fn change_the_order(&self) -> bool {
        self.waves.is_some() || self.max_concurrent_updates.is_some()
    }

    /// Refuses settings that break a rule which the campaign's own keep.
    pub fn check(&self, own: &CampaignSpec, now: DateTime<Utc>) -> Result<(), Rejection> {
        self.applied(own.clone()).check_change(own, now)
    }

    /// A specification with these settings.
    pub fn applied(&self, mut spec: CampaignSpec) -> CampaignSpec {
        if let Some(waves) = &self.waves {
            (spec.waves, spec.canary_size) = (waves.clone(), None);
        }
        let own_waves = spec.waves.iter_mut().filter(|_| self.waves.is_none());
        for wave in own_waves {
            if self.failure_threshold_percent.is_some() {
                wave.failure_threshold_percent = None;
            }
            if self.success_threshold_percent.is_some() {
                wave.success_threshold_percent = None;
            }
        }
        spec.failure_threshold_percent = self.failure_threshold_percent.unwrap_or(spec.failure_threshold_percent);
        spec.success_threshold_percent = self.success_threshold_percent.or(spec.success_threshold_percent);
        spec.failure_count = self.failure_count.or(spec.failure_count);
        spec.gate_min_settled = self.gate_min_settled.unwrap_or(spec.gate_min_settled);
        spec.max_concurrent_updates = self.max_concurrent_updates.unwrap_or(spec.max_concurrent_updates);
        spec
    }
}
