//! The specification of a campaign. [`super::rules`] has the rules of each field.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::device::Overrides;
use crate::ids::{DeviceId, FirmwareId, GroupId};
use crate::preconditions::Preconditions;
use crate::sealed::Sealed;
use crate::values::{Percent, Priority, Threshold, Transport};
use crate::window::MaintenanceWindows;

/// Most waves of a campaign.
pub const WAVES_MAX: usize = 100;
/// Most devices that a campaign can name one by one.
pub const TARGET_DEVICES_MAX: usize = 10_000;
/// Most groups that a campaign can target.
pub const TARGET_GROUPS_MAX: usize = 100;
/// Most updates of one campaign at a time.
pub const CONCURRENT_MAX: u32 = 100_000;
/// Most retries of one update.
pub const RETRIES_MAX: u16 = 10;
/// Longest time over which the devices of a wave begin, in seconds.
pub const JITTER_MAX_SECONDS: u32 = 24 * 3_600;
/// Longest time from now to a scheduled start, in days.
pub const SCHEDULED_AHEAD_MAX_DAYS: i64 = 366;
/// Cumulative percentages of a staged campaign that names no waves.
pub const STAGED_PERCENTAGES: [u8; 3] = [10, 50, 100];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Strategy {
    Immediate,
    Scheduled,
    Staged,
    Canary,
    BlueGreen,
}

/// How the next wave opens. On the last wave it has no effect. With blue/green the first wave's value also says how its own activation begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advance {
    #[default]
    Auto,
    Manual,
}

/// One wave: a cumulative share of the campaign's devices and its gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveSpec {
    pub percentage: Percent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_minutes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_threshold_percent: Option<Threshold>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_threshold_percent: Option<Threshold>,
    #[serde(default)]
    pub advance: Advance,
}

impl WaveSpec {
    pub fn at(percentage: Percent) -> Self {
        Self {
            percentage,
            name: None,
            soak_minutes: None,
            success_threshold_percent: None,
            failure_threshold_percent: None,
            advance: Advance::Auto,
        }
    }
}

/// Which devices a campaign targets. All given filters must match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetFilters {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_version: Option<String>,
    /// A version requirement; a bare version means exactly that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_version: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl TargetFilters {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits of the devices of one transport. What is absent is as in the campaign, and counted apart from other transports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransportLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_updates: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u32>,
}

impl TransportLimits {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How many devices of one transport update at a time, and how fast they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub max_concurrent_updates: u32,
    pub rate_per_minute: Option<u32>,
    pub batch_size: Option<u32>,
}

/// A campaign's whole specification. Durations carry their unit in the name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignSpec {
    pub name: Sealed<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Sealed<String>>,
    pub firmware_id: FirmwareId,
    pub strategy: Strategy,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_devices: Vec<DeviceId>,
    /// Their members are targets beside `target_devices`. Which devices these are is resolved when the campaign is planned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_groups: Vec<GroupId>,
    #[serde(default, skip_serializing_if = "TargetFilters::is_empty")]
    pub target_filters: TargetFilters,
    #[serde(default)]
    pub target_all: bool,
    pub rollout_percentage: Percent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_seed: Option<String>,
    /// Of each transport: LoRaWAN devices have slots of their own.
    pub max_concurrent_updates: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u32>,
    /// Other limits for its LoRaWAN devices.
    #[serde(default, skip_serializing_if = "TransportLimits::is_empty")]
    pub lorawan: TransportLimits,
    /// Never empty: each strategy is translated into waves.
    pub waves: Vec<WaveSpec>,
    /// Number of devices of the first wave, instead of its percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_size: Option<u32>,
    pub soak_minutes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_threshold_percent: Option<Threshold>,
    pub failure_threshold_percent: Threshold,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_count: Option<u32>,
    pub gate_min_settled: u32,
    pub min_reached_percent: Threshold,
    pub wave_wait_minutes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
    /// Devices of a wave begin spread over this time after its opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_seconds: Option<u32>,
    #[serde(default)]
    pub auto_rollback: bool,
    /// Another person than the creator and the last editor must approve it before it starts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_approval: bool,
    /// After an operator has started it, it begins at this time by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_start: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<DateTime<Utc>>,
    pub timeout_minutes: u32,
    pub wait_for_device_minutes: u32,
    pub max_retries: u16,
    pub priority: Priority,
    #[serde(default)]
    pub force_update: bool,
    #[serde(default)]
    pub allow_downgrade: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
    /// An update does not leave *verifying* before its device has reported the SHA-256 of what it received.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_digest_report: bool,
    /// When its devices may be released, and may begin to install.
    #[serde(default, skip_serializing_if = "MaintenanceWindows::is_empty")]
    pub maintenance_window: MaintenanceWindows,
}

impl CampaignSpec {
    /// Whether its targets are members of these groups and nobody else.
    pub fn stays_within(&self, groups: &BTreeSet<GroupId>) -> bool {
        let by_groups = !self.target_all && self.target_devices.is_empty() && self.target_filters.is_empty();
        by_groups && !self.target_groups.is_empty() && self.target_groups.iter().all(|group| groups.contains(group))
    }

    /// Wave by number, from 1.
    pub fn wave(&self, number: u16) -> Option<&WaveSpec> {
        self.waves.get(usize::from(number).checked_sub(1)?)
    }

    /// Whether devices stage the version first, and activate it in waves (ADR 34).
    pub fn stages(&self) -> bool {
        self.strategy == Strategy::BlueGreen
    }

    /// The pace of the devices of one transport.
    pub fn pace(&self, transport: Transport) -> Pace {
        let own = if transport == Transport::Lorawan { self.lorawan } else { TransportLimits::default() };
        Pace {
            max_concurrent_updates: own.max_concurrent_updates.unwrap_or(self.max_concurrent_updates),
            rate_per_minute: own.rate_per_minute.or(self.rate_per_minute),
            batch_size: own.batch_size.or(self.batch_size),
        }
    }

    /// What its updates ask of devices beside the firmware.
    pub fn overrides(&self) -> Overrides {
        let Self { force_update, allow_downgrade, .. } = *self;
        Overrides { force_update, allow_downgrade, stages: self.stages() }
    }

    /// How the wave after this one opens. Wave 0 is the staging: the first wave's value applies.
    pub fn advance_after(&self, wave: u16) -> Advance {
        self.wave(wave.max(1)).map_or(Advance::Auto, |wave| wave.advance)
    }

    pub fn failure_threshold(&self, wave: Option<u16>) -> Threshold {
        let own = wave.and_then(|number| self.wave(number)).and_then(|wave| wave.failure_threshold_percent);
        own.unwrap_or(self.failure_threshold_percent)
    }

    /// 0 to 100.
    pub fn success_threshold(&self, wave: u16) -> u8 {
        let own = self.wave(wave).and_then(|wave| wave.success_threshold_percent);
        match own.or(self.success_threshold_percent) {
            Some(percent) => percent.get(),
            None => 100 - self.failure_threshold(Some(wave)).get(),
        }
    }

    pub fn soak_minutes(&self, wave: u16) -> u32 {
        self.wave(wave).and_then(|wave| wave.soak_minutes).unwrap_or(self.soak_minutes)
    }
}
