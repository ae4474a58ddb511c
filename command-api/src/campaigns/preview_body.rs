//! A preview in replies.

use std::collections::BTreeMap;

use domain::CampaignId;
use domain::campaign::{CampaignSpec, PlanSummary, WaveSpec};
use domain::per_transport::PerTransport;
use domain::plan::{PlanEntry, RANK_ALGORITHM};
use domain::rollout::WaveEstimate;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::expected::{Average, ExpectedDuration};
use super::lorawan::LorawanForecast;
use super::preview_plan::PreviewPlan;
use super::warnings::warnings;
use crate::http::List;

/// Devices of each wave that a preview names outside its list.
const FIRST_DEVICES_MAX: usize = 10;
/// Excluded devices of each reason that a preview names outside its list.
const EXCLUDED_DEVICES_MAX: usize = 5;

/// A device of a preview.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewDevice {
    device_id: String,
    /// 0 for excluded devices.
    wave: u16,
    /// Position in the campaign's order, from 0.
    rank: u32,
    #[schema(value_type = Option<String>)]
    excluded: Option<&'static str>,
    from_version: Option<String>,
}

impl From<&PlanEntry> for PreviewDevice {
    fn from(entry: &PlanEntry) -> Self {
        Self {
            device_id: entry.device.to_string(),
            wave: entry.wave,
            rank: entry.rank,
            excluded: entry.excluded.map(|reason| reason.word()),
            from_version: entry.from_version.clone(),
        }
    }
}

/// A wave of a preview.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewWave {
    /// From 1.
    wave: u16,
    name: Option<String>,
    devices: u32,
    /// The LoRaWAN devices among them.
    lorawan_devices: u32,
    /// From its opening until its last device is confirmed.
    expected_seconds: u64,
    soak_seconds: u64,
    /// What sets its pace: `update` (all devices begin at once), `slots`, `rate`, `batch` or `jitter`.
    limited_by: &'static str,
    /// Its first devices by rank, at most 10; all of them are in `members`.
    first_devices: Vec<PreviewDevice>,
}

/// What a campaign would do if it began now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewBody {
    /// Absent for a campaign that isn't created.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<CampaignId>,
    firmware_id: String,
    firmware_version: String,
    /// Devices that take part.
    devices: u32,
    waves: Vec<PreviewWave>,
    /// Excluded devices, by reason.
    #[schema(example = json!({"already_on_version": 12}))]
    excluded: BTreeMap<&'static str, u32>,
    /// The first of them by id, at most 5 of each reason.
    #[schema(example = json!({"already_on_version": ["meter-17"]}))]
    excluded_devices: BTreeMap<&'static str, Vec<String>>,
    /// Size of the firmware times the devices that take part.
    bytes: u64,
    expected_duration: ExpectedDuration,
    /// How the image gets to the LoRaWAN devices that take part, before a sample is taken of them; absent without such devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    lorawan: Option<LorawanForecast>,
    /// Decides which devices go first. For a campaign that isn't created and has no `sample_seed`, create it with this one to get this
    /// plan: by default a campaign's id is its seed.
    seed: String,
    algorithm: &'static str,
    /// The position that the devices were read at.
    #[schema(example = "1790000000123-42")]
    at_position: String,
    /// Names the plan. The same devices, specification and seed give the same hash. A start that names it says whether the plan has changed.
    plan_hash: String,
    /// Devices in the campaign's order, excluded ones first.
    members: List<PreviewDevice>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl PreviewBody {
    pub(super) fn of(
        campaign_id: Option<CampaignId>,
        plan: &PreviewPlan,
        average: &Average,
        at_position: String,
        members: List<PreviewDevice>,
    ) -> Self {
        let (devices, seconds) = (plan.devices_per_wave(), average.with_lorawan(plan.lorawan.longest_s()));
        let estimates = plan.spec.estimate(&devices, seconds);
        let staging = plan.spec.estimate_staging(&devices, seconds);
        let mut excluded_devices: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for entry in plan.left_out() {
            let Some(reason) = entry.excluded else { continue };
            let named = excluded_devices.entry(reason.word()).or_default();
            if named.len() < EXCLUDED_DEVICES_MAX {
                named.push(entry.device.to_string());
            }
        }
        Self {
            campaign_id,
            firmware_id: plan.firmware.firmware_id.to_string(),
            firmware_version: plan.firmware.version.clone(),
            devices: plan.counts.devices,
            waves: waves(plan, &devices, &estimates),
            excluded: plan.counts.excluded.iter().map(|(reason, count)| (reason.word(), *count)).collect(),
            excluded_devices,
            bytes: plan.firmware.size.saturating_mul(u64::from(plan.counts.devices)),
            expected_duration: ExpectedDuration::of(&plan.spec, staging, &estimates, average),
            lorawan: LorawanForecast::of(&plan.lorawan),
            seed: plan.seed.clone(),
            algorithm: RANK_ALGORITHM,
            at_position,
            plan_hash: plan.hash.clone(),
            members,
            warnings: expected_warnings(&plan.spec, plan),
        }
    }
}

fn waves(plan: &PreviewPlan, devices: &[PerTransport<u32>], estimates: &[WaveEstimate]) -> Vec<PreviewWave> {
    let counted = (1..).zip(&plan.spec.waves).zip(devices.iter().zip(estimates));
    let wave =
        |((wave, spec), (devices, estimate)): ((u16, &WaveSpec), (&PerTransport<u32>, &WaveEstimate))| PreviewWave {
            wave,
            name: spec.name.clone(),
            devices: devices.sum(),
            lorawan_devices: devices.lorawan,
            expected_seconds: estimate.updating.as_secs(),
            soak_seconds: estimate.soak.as_secs(),
            limited_by: estimate.limited_by.word(),
            first_devices: plan.first_of_wave(wave, FIRST_DEVICES_MAX).iter().map(PreviewDevice::from).collect(),
        };
    counted.map(wave).collect()
}

/// The warnings that the campaign would have after its start.
fn expected_warnings(spec: &CampaignSpec, plan: &PreviewPlan) -> Vec<String> {
    let counts = plan.counts.clone();
    let summary = PlanSummary {
        plan: Uuid::nil(),
        chunks: 0,
        devices: counts.devices,
        excluded: counts.excluded,
        waves: counts.waves,
        seed: String::new(),
        algorithm: String::new(),
        at_position: plan.at_position,
        plan_hash: String::new(),
        drift: None,
    };
    warnings(spec, Some(&summary), Some(&plan.firmware))
}
