//! Which devices get their image together, and how long that takes.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{DEVICES_MAX, DeploymentPlan, MulticastClass, PlannedDevice};
use crate::ids::{CampaignId, DeviceId, FirmwareId};
use crate::lorawan::{Parameters, Region};
use crate::lorawan_profile::ProfileFacts;
use crate::values::Sha256Digest;

/// Shortest and longest time for which a device waits for others of its group, in seconds.
pub const GATHER_RANGE_S: (u32, u32) = (2, 3_600);
/// Uplinks of each device in that time: it gets its command with one and answers with the next.
const GATHER_UPLINKS: u32 = 2;

/// A device that has accepted its update and waits for the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingTransfer {
    pub device: DeviceId,
    pub dev_eui: String,
    pub ordinal: u32,
    pub attempt: u16,
    pub campaign: Option<CampaignId>,
    pub accepted_at: DateTime<Utc>,
    pub firmware_id: FirmwareId,
    /// Bytes.
    pub size: u64,
    pub sha256: Sha256Digest,
    pub application_id: String,
    pub device_profile_id: String,
}

/// What is to be done with waiting devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathered {
    pub plans: Vec<DeploymentPlan>,
    /// Devices of a region that can't be sent an image of this size.
    pub too_large: Vec<PendingTransfer>,
    /// When the first of the groups that wait for further devices is due.
    pub due_at: Option<DateTime<Utc>>,
}

/// How long the first device of a group waits for others, in seconds.
pub fn gather_s(uplink_interval_s: u32) -> u32 {
    uplink_interval_s.saturating_mul(GATHER_UPLINKS).clamp(GATHER_RANGE_S.0, GATHER_RANGE_S.1)
}

/// Groups waiting devices by firmware, application and profile, which has one region. A group is planned when its first device has waited
/// long enough, or when it is full. Devices of profiles that are not known, or that can't be sent images, are left alone.
pub fn gather(pending: &[PendingTransfer], profiles: &BTreeMap<String, ProfileFacts>, now: DateTime<Utc>) -> Gathered {
    let mut groups: BTreeMap<(FirmwareId, &str, &str), Vec<&PendingTransfer>> = BTreeMap::new();
    for one in pending {
        groups.entry((one.firmware_id, &one.application_id, &one.device_profile_id)).or_default().push(one);
    }
    let mut gathered = Gathered::default();
    for ((_, _, profile), members) in groups {
        let facts = profiles.get(profile).filter(|facts| facts.takes_images());
        let Some((facts, region)) = facts.and_then(|facts| Some((facts, facts.region?))) else { continue };
        let Some(first) = members.first() else { continue };
        let Some(parameters) = Parameters::plan(first.size, region, facts.uplink_interval_s) else {
            gathered.too_large.extend(members.into_iter().cloned());
            continue;
        };
        let wait = TimeDelta::seconds(gather_s(parameters.uplink_interval_s).into());
        gathered.add_group(members, region, &parameters, wait, now);
    }
    gathered
}

impl Gathered {
    fn add_group(
        &mut self,
        mut members: Vec<&PendingTransfer>,
        region: Region,
        parameters: &Parameters,
        wait: TimeDelta,
        now: DateTime<Utc>,
    ) {
        members.sort_by(|one, other| (one.accepted_at, &one.device).cmp(&(other.accepted_at, &other.device)));
        for part in members.chunks(DEVICES_MAX) {
            let Some(first) = part.first() else { continue };
            let due_at = first.accepted_at + wait;
            if part.len() < DEVICES_MAX && now < due_at {
                self.due_at = Some(self.due_at.map_or(due_at, |known| known.min(due_at)));
            } else {
                self.plans.push(plan_of(part, first, region, parameters));
            }
        }
    }
}

fn plan_of(
    part: &[&PendingTransfer],
    first: &PendingTransfer,
    region: Region,
    parameters: &Parameters,
) -> DeploymentPlan {
    let mut devices: Vec<PlannedDevice> = part
        .iter()
        .map(|one| PlannedDevice {
            device: one.device.clone(),
            dev_eui: one.dev_eui.clone(),
            ordinal: one.ordinal,
            attempt: one.attempt,
            campaign: one.campaign,
        })
        .collect();
    devices.sort_by(|one, other| one.device.cmp(&other.device));
    DeploymentPlan {
        firmware_id: first.firmware_id,
        size: first.size,
        sha256: first.sha256,
        application_id: first.application_id.clone(),
        device_profile_id: first.device_profile_id.clone(),
        region,
        class: MulticastClass::C,
        parameters: parameters.clone(),
        devices,
    }
}

/// What devices of a forecast have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForecastKey {
    pub application_id: Option<String>,
    pub device_profile_id: Option<String>,
}

/// Devices that get an image together, as far as is known before they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForecastGroup {
    pub key: ForecastKey,
    pub devices: u32,
    pub region: Option<Region>,
    /// Deployments that these devices need.
    pub deployments: u32,
    /// How it is sent; none: the profile is not known, or its devices can't be sent images this way.
    pub parameters: Option<Parameters>,
    /// Longest time of one deployment with the time in which its devices gather, in seconds.
    pub seconds: Option<u64>,
}

/// How long the LoRaWAN devices of a campaign take, by group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    pub devices: u32,
    pub groups: Vec<ForecastGroup>,
}

impl Forecast {
    /// Longest time of the groups, which are sent at the same time, in seconds. None if none is known.
    pub fn longest_s(&self) -> Option<u64> {
        self.groups.iter().filter_map(|group| group.seconds).max()
    }
}

/// The forecast for an image of this size, and devices by application and profile.
pub fn forecast(
    size: u64,
    devices: &BTreeMap<ForecastKey, u32>,
    profiles: &BTreeMap<String, ProfileFacts>,
) -> Forecast {
    let group = |(key, count): (&ForecastKey, &u32)| {
        let facts = key.device_profile_id.as_ref().and_then(|id| profiles.get(id));
        let can = facts.filter(|facts| facts.takes_images() && key.application_id.is_some());
        let parameters = can.and_then(|facts| Parameters::plan(size, facts.region?, facts.uplink_interval_s));
        let gathers = |parameters: &Parameters| u64::from(gather_s(parameters.uplink_interval_s));
        ForecastGroup {
            key: key.clone(),
            devices: *count,
            region: facts.and_then(|facts| facts.region),
            deployments: count.div_ceil(DEVICES_MAX as u32),
            seconds: parameters.as_ref().map(|parameters| parameters.duration_s() + gathers(parameters)),
            parameters,
        }
    };
    Forecast { devices: devices.values().sum(), groups: devices.iter().map(group).collect() }
}
