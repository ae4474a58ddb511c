//! What a campaign would have done with other limits: its gates are run again over its recorded events.
//!
//! It assumes that devices report as they did. Devices that never began because the campaign was stopped are left out. The gates are run after
//! each report, while the service runs them about once a second: so with the campaign's own limits the stop may come some reports earlier.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{Counts, FailedDevice, RolloutStep, RolloutView};
use crate::campaign::{
    Campaign, CampaignEvent, CampaignSpec, CampaignStatus, EVIDENCE_DEVICES_MAX, GateKind, GateResult, Verdict,
};
use crate::device::{DeviceEvent, Phase, UpdateKind};
use crate::ids::{CampaignId, DeviceId};
use crate::values::Threshold;

/// Other limits. Each replaces the campaign's and those of its waves.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OtherLimits {
    pub failure_threshold_percent: Option<Threshold>,
    pub failure_count: Option<u32>,
    pub gate_min_settled: Option<u32>,
    pub success_threshold_percent: Option<Threshold>,
}

impl OtherLimits {
    fn applied(&self, mut spec: CampaignSpec) -> CampaignSpec {
        if let Some(percent) = self.failure_threshold_percent {
            spec.failure_threshold_percent = percent;
            spec.waves.iter_mut().for_each(|wave| wave.failure_threshold_percent = None);
        }
        if let Some(percent) = self.success_threshold_percent {
            spec.success_threshold_percent = Some(percent);
            spec.waves.iter_mut().for_each(|wave| wave.success_threshold_percent = None);
        }
        spec.failure_count = self.failure_count.or(spec.failure_count);
        spec.gate_min_settled = self.gate_min_settled.unwrap_or(spec.gate_min_settled);
        spec
    }
}

/// A gate that stops the campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    pub result: GateResult,
    pub at: DateTime<Utc>,
    /// Position of the record that it is based on.
    pub position: u64,
    /// Devices that had answered their update by then.
    pub reached: u32,
}

/// What the events so far say of a device.
#[derive(Debug, Clone, Copy, Default)]
struct DeviceProgress {
    wave: u16,
    reached: bool,
    gate_failed: bool,
    confirmed_ever: bool,
    staged: bool,
    has_ended: bool,
    /// Ordinal of its rollback: the gates don't count rollbacks.
    rollback: Option<u32>,
}

/// The events of a campaign and of its devices so far, in the order of the log.
#[derive(Debug)]
pub struct WhatIf {
    id: CampaignId,
    limits: OtherLimits,
    campaign: Campaign,
    waves: Vec<Counts>,
    devices: HashMap<DeviceId, DeviceProgress>,
    failed: Vec<FailedDevice>,
    /// The first stop with the other limits.
    pub would_stop: Option<Stop>,
    /// The first stop that really happened.
    pub stopped: Option<Stop>,
}

impl WhatIf {
    pub fn new(id: CampaignId, limits: OtherLimits) -> Self {
        Self {
            id,
            limits,
            campaign: Campaign::default(),
            waves: vec![],
            devices: HashMap::new(),
            failed: vec![],
            would_stop: None,
            stopped: None,
        }
    }

    /// Devices that have answered their update so far.
    pub fn reached(&self) -> u32 {
        self.waves.iter().map(|wave| wave.reached).sum()
    }

    pub fn apply_campaign(&mut self, at: DateTime<Utc>, position: u64, event: &CampaignEvent) {
        use CampaignEvent as E;
        if let Some(result) = self.campaign.gate_result(event) {
            self.judge(at, position, result);
        }
        self.campaign.apply(event);
        match event {
            E::Planned { summary } => {
                self.waves =
                    summary.waves.iter().map(|enrolled| Counts { enrolled: *enrolled, ..Counts::default() }).collect();
            }
            E::Adjusted { sample: Some(sample), .. } => {
                self.waves.iter_mut().zip(&sample.waves).for_each(|(wave, enrolled)| wave.enrolled = *enrolled);
            }
            E::Staged { .. } | E::WaveOpened { wave: 1, forced: true, .. } => {
                self.begin_activation();
                self.accept();
            }
            E::Resumed { accept_failures: true } => self.accept(),
            _ => {}
        }
        self.look(at, position);
    }

    fn accept(&mut self) {
        for wave in &mut self.waves {
            (wave.accepted_failed, wave.accepted_settled) = (wave.gate_failed, wave.gate_settled);
        }
        self.failed.iter_mut().for_each(|failed| failed.counts = false);
    }

    /// Failures while staging don't count for the activation.
    fn begin_activation(&mut self) {
        for seen in self.devices.values_mut().filter(|seen| seen.gate_failed && !seen.has_ended) {
            let before = seen.counts();
            seen.gate_failed = false;
            if let Some(counts) = usize::from(seen.wave).checked_sub(1).and_then(|index| self.waves.get_mut(index)) {
                *counts = counts.minus(before).plus(seen.counts());
            }
        }
    }

    pub fn apply_device(&mut self, at: DateTime<Utc>, position: u64, device: &DeviceId, event: &DeviceEvent) {
        use DeviceEvent as E;
        let Some(update) = event.update().filter(|update| update.campaign == Some(self.id)) else { return };
        let seen = self.devices.entry(device.clone()).or_default();
        if let E::UpdateQueued { spec, .. } = event {
            seen.rollback = (spec.kind == UpdateKind::Rollback).then_some(update.ordinal);
            seen.wave = spec.campaign.map_or(seen.wave, |campaign| campaign.wave);
        }
        if seen.rollback == Some(update.ordinal) {
            return;
        }
        let before = *seen;
        seen.reached |= matches!(event, E::UpdateAccepted { .. });
        seen.confirmed_ever |= matches!(event, E::UpdateConfirmed { .. });
        seen.gate_failed |= event.is_gate_failure();
        if let Some(phase) = event.phase() {
            (seen.staged, seen.has_ended) = (phase == Phase::Staged, phase.is_ended());
        }
        let (after, wave) = (*seen, seen.wave);
        if after.gate_failed && !before.gate_failed && self.failed.len() < EVIDENCE_DEVICES_MAX * self.waves.len() {
            self.failed.push(FailedDevice { device: device.clone(), wave, counts: true, ended: true });
        }
        let Some(counts) = usize::from(wave).checked_sub(1).and_then(|index| self.waves.get_mut(index)) else { return };
        *counts = counts.minus(before.counts()).plus(after.counts());
        if before.counts() != after.counts() {
            self.look(at, position);
        }
    }

    /// Runs the failure gate with the other limits.
    fn look(&mut self, at: DateTime<Utc>, position: u64) {
        if self.would_stop.is_some() {
            return;
        }
        let Some(view) = self.view(position) else { return };
        let Some(RolloutStep::CloseGate { gate, wave, threshold_percent, evidence }) = view.failure_gate() else {
            return;
        };
        let result = GateResult { gate, wave, verdict: Verdict::Closed, limit_percent: threshold_percent, evidence };
        self.would_stop = Some(Stop { result, at, position, reached: self.reached() });
    }

    /// Checks a recorded result of the success gate against the other limits.
    fn judge(&mut self, at: DateTime<Utc>, position: u64, result: GateResult) {
        let stop = |result| Stop { result, at, position, reached: self.reached() };
        let (gate, verdict, wave) = (result.gate, result.verdict, result.wave);
        let is_empty = result.evidence.settled == 0;
        if gate == GateKind::Success && self.would_stop.is_none() && !is_empty {
            let limit = self.spec().map(|spec| spec.success_threshold(wave.unwrap_or(0)));
            let missed = limit.filter(|limit| result.measured_percent() < u32::from(*limit));
            if let Some(limit_percent) = missed {
                let closed = GateResult { limit_percent, verdict: Verdict::Closed, ..result.clone() };
                self.would_stop = Some(stop(closed));
            }
        } else if gate == GateKind::TooFewReached && self.would_stop.is_none() && !self.is_enough(&result) {
            self.would_stop = Some(stop(result.clone()));
        }
        if verdict == Verdict::Closed && gate != GateKind::Rollback && self.stopped.is_none() {
            self.stopped = Some(Stop { result, at, position, reached: self.reached() });
        }
    }

    /// Whether the settled devices are enough by the other limits, after the wait.
    fn is_enough(&self, result: &GateResult) -> bool {
        let least = self.limits.gate_min_settled.map(|least| least.min(result.evidence.enrolled));
        least.is_some_and(|least| result.evidence.settled >= least)
    }

    /// The specification with the other limits, without the targets, which the gates don't need.
    fn spec(&self) -> Option<CampaignSpec> {
        let spec = self.campaign.spec.as_ref()?;
        let spec = CampaignSpec { target_devices: vec![], target_groups: vec![], ..spec.clone() };
        Some(self.limits.applied(spec))
    }

    fn view(&self, position: u64) -> Option<RolloutView> {
        if self.campaign.status != CampaignStatus::Running || self.waves.is_empty() {
            return None;
        }
        Some(RolloutView {
            spec: self.spec()?,
            status: self.campaign.status,
            position,
            wave: self.campaign.wave,
            wave_opened_at: None,
            soaking_since: None,
            wave_completed: self.campaign.wave_completed,
            accepted: false,
            waves: self.waves.clone(),
            paced_until: None,
            ends_at: None,
            failed_devices: self.failed.clone(),
            rollback: None,
            zones: vec![],
            kept_back: None,
            released_at: None,
        })
    }
}

impl DeviceProgress {
    fn counts(self) -> Counts {
        Counts {
            reached: self.reached.into(),
            gate_failed: self.gate_failed.into(),
            gate_settled: (self.gate_failed || self.confirmed_ever).into(),
            confirmed: self.confirmed_ever.into(),
            staged: self.staged.into(),
            staged_failed: (self.staged && self.gate_failed).into(),
            ..Counts::default()
        }
    }
}
