//! What a campaign would have done with other settings.
//!
//! With other gates alone, they are run again over the recorded events, in their order ([`WhatIf::would_stop`]). It assumes that devices report
//! as they did. Devices that never began because the campaign was stopped are left out. The gates are run after each report, while the
//! service runs them about once a second: so with the campaign's own limits the stop may come some reports earlier.
//!
//! With any settings, [`WhatIf::courses`] rehearses the whole campaign: the policy decides when each device begins.

mod course;
mod progress;
mod settings;
mod track;

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

pub use course::{COURSE_DEVICES_MAX, Course, CourseEnd};
pub use settings::OtherSettings;

use super::{Counts, FailedDevice, PacedUntil, RolloutStep, RolloutView, assumed_update_seconds};
use crate::campaign::{
    Campaign, CampaignEvent, CampaignSpec, CampaignStatus, EVIDENCE_DEVICES_MAX, GateKind, GateResult, Verdict,
};
use crate::device::{DeviceEvent, Outcome, UpdateKind};
use crate::ids::{CampaignId, DeviceId};
use crate::values::Transport;
use course::{Rehearsal, Role};
use progress::DeviceProgress;
use track::{Track, Typical};

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

/// A device that takes part.
#[derive(Debug, Clone, Default)]
struct Member {
    wave: u16,
    progress: DeviceProgress,
    /// Ordinal of its rollback: the gates don't count rollbacks.
    rollback: Option<u32>,
    /// Its first update.
    first: Option<(u32, Track)>,
}

/// The bounds of what would have happened: devices that have no outcome of their own are assumed to confirm, or to fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Courses {
    /// Devices that take part and have no outcome of their own.
    pub unknown: u32,
    pub if_unknown_confirm: Course,
    pub if_unknown_fail: Course,
}

/// The events of a campaign and of its devices so far, in the order of the log.
#[derive(Debug)]
pub struct WhatIf {
    id: CampaignId,
    settings: OtherSettings,
    campaign: Campaign,
    waves: Vec<Counts>,
    devices: HashMap<DeviceId, Member>,
    failed: Vec<FailedDevice>,
    /// The first stop with the other settings.
    pub would_stop: Option<Stop>,
    /// The first stop that really happened.
    pub stopped: Option<Stop>,
}

impl WhatIf {
    pub fn new(id: CampaignId, settings: OtherSettings) -> Self {
        Self {
            id,
            settings,
            campaign: Campaign::default(),
            waves: vec![],
            devices: HashMap::new(),
            failed: vec![],
            would_stop: None,
            stopped: None,
        }
    }

    /// Whether devices begin in the recorded order, so that [`Self::would_stop`] answers.
    pub fn keeps_the_order(&self) -> bool {
        !self.settings.change_the_order()
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

    fn begin_activation(&mut self) {
        for member in self.devices.values_mut() {
            let before = member.progress;
            member.progress.begins_activation();
            recount(&mut self.waves, member.wave, before, member.progress);
        }
    }

    pub fn apply_device(&mut self, at: DateTime<Utc>, position: u64, device: &DeviceId, event: &DeviceEvent) {
        let Some(update) = event.update().filter(|update| update.campaign == Some(self.id)) else { return };
        let member = self.devices.entry(device.clone()).or_default();
        if let DeviceEvent::UpdateQueued { spec, .. } = event {
            let is_rollback = spec.kind == UpdateKind::Rollback;
            member.rollback = is_rollback.then_some(update.ordinal);
            member.wave = spec.campaign.map_or(member.wave, |campaign| campaign.wave);
            let begins = spec.campaign.filter(|_| member.first.is_none() && !is_rollback);
            member.first =
                member.first.take().or(begins.map(|of| (update.ordinal, Track::new(of.rank, spec.transport, at))));
            // An update that another one overtook goes on under a new ordinal.
            let goes_on =
                |(ordinal, track): &&mut (u32, Track)| spec.retry_of == Some(*ordinal) && track.is_superseded();
            if let Some((ordinal, _)) = member.first.as_mut().filter(goes_on) {
                *ordinal = update.ordinal;
            }
        }
        if member.rollback == Some(update.ordinal) {
            return;
        }
        let before = member.progress;
        member.progress.apply(event);
        let after = member.progress;
        if let Some((_, track)) = member.first.as_mut().filter(|(ordinal, _)| *ordinal == update.ordinal) {
            track.push(at, after);
        }
        let wave = member.wave;
        if after.gate_failed && !before.gate_failed && self.failed.len() < EVIDENCE_DEVICES_MAX * self.waves.len() {
            self.failed.push(FailedDevice { device: device.clone(), wave, counts: true, ended: true });
        }
        if recount(&mut self.waves, wave, before, after) {
            self.look(at, position);
        }
    }

    /// What would have happened. None for blue/green, whose devices have two turns, and for more than [`COURSE_DEVICES_MAX`] devices.
    pub fn courses(&self) -> Option<Courses> {
        let devices: u32 = self.waves.iter().map(|wave| wave.enrolled).sum();
        let spec = self.spec().filter(|spec| !spec.stages() && devices <= COURSE_DEVICES_MAX)?;
        let waves = match &self.settings.waves {
            None => self.waves.iter().map(|wave| wave.enrolled).collect(),
            Some(_) => of_waves(&spec.wave_ends(devices.into())),
        };
        let firmware_bytes = self.campaign.firmware.as_ref().map_or(0, |firmware| firmware.size);
        let assumed = TimeDelta::seconds(assumed_update_seconds(firmware_bytes) as i64);
        let mut tracks: Vec<Option<(&DeviceId, &Track)>> = vec![None; devices as usize];
        for (device, (_, track)) in self.devices.iter().filter_map(|(id, member)| Some((id, member.first.as_ref()?))) {
            if let Some(place) = tracks.get_mut(track.rank as usize) {
                *place = Some((device, track));
            }
        }
        let typical = Typical::of(tracks.iter().flatten().map(|(_, track)| *track), assumed);
        let run = |outcome| {
            let role = |place: &Option<(&'_ DeviceId, &Track)>| {
                let known = place.and_then(|(_, track)| track.known());
                Role {
                    // A device that had no turn counts as an MQTT device.
                    transport: place.map_or(Transport::Mqtt, |(_, track)| track.transport),
                    is_assumed: known.is_none(),
                    changes: known.map_or_else(
                        || typical.changes(place.map(|(_, track)| track), outcome),
                        <[track::Change]>::to_vec,
                    ),
                }
            };
            let names = tracks.iter().map(|place| place.map(|(device, _)| device)).collect();
            Rehearsal::new(spec.clone(), &waves, tracks.iter().map(role).collect(), names).run()
        };
        let unknown = tracks.iter().filter(|place| place.and_then(|(_, track)| track.known()).is_none()).count();
        Some(Courses {
            unknown: u32::try_from(unknown).unwrap_or(u32::MAX),
            if_unknown_confirm: run(Outcome::Confirmed),
            if_unknown_fail: run(Outcome::Failed),
        })
    }

    /// Runs the failure gate with the other settings.
    fn look(&mut self, at: DateTime<Utc>, position: u64) {
        if self.would_stop.is_some() || self.settings.change_the_order() {
            return;
        }
        let Some(view) = self.view(position) else { return };
        let Some(RolloutStep::CloseGate { gate, wave, threshold_percent, evidence }) = view.failure_gate() else {
            return;
        };
        let result = GateResult { gate, wave, verdict: Verdict::Closed, limit_percent: threshold_percent, evidence };
        self.would_stop = Some(Stop { result, at, position, reached: self.reached() });
    }

    /// Checks a recorded result of the success gate against the other settings.
    fn judge(&mut self, at: DateTime<Utc>, position: u64, result: GateResult) {
        let stop = |result| Stop { result, at, position, reached: self.reached() };
        let (gate, verdict, wave) = (result.gate, result.verdict, result.wave);
        let is_empty = result.evidence.settled == 0;
        let may_stop = self.would_stop.is_none() && !self.settings.change_the_order();
        if gate == GateKind::Success && may_stop && !is_empty {
            let limit = self.spec().map(|spec| spec.success_threshold(wave.unwrap_or(0)));
            let missed = limit.filter(|limit| result.measured_percent() < u32::from(*limit));
            if let Some(limit_percent) = missed {
                let closed = GateResult { limit_percent, verdict: Verdict::Closed, ..result.clone() };
                self.would_stop = Some(stop(closed));
            }
        } else if gate == GateKind::TooFewReached && may_stop && !self.is_enough(&result) {
            self.would_stop = Some(stop(result.clone()));
        }
        if verdict == Verdict::Closed && gate != GateKind::Rollback && self.stopped.is_none() {
            self.stopped = Some(Stop { result, at, position, reached: self.reached() });
        }
    }

    /// Whether the settled devices are enough by the other settings, after the wait.
    fn is_enough(&self, result: &GateResult) -> bool {
        let least = self.settings.gate_min_settled.map(|least| least.min(result.evidence.enrolled));
        least.is_some_and(|least| result.evidence.settled >= least)
    }

    /// The specification with the other settings, without the targets, which the gates don't need.
    fn spec(&self) -> Option<CampaignSpec> {
        let spec = self.campaign.spec.as_ref()?;
        let spec = CampaignSpec { target_devices: vec![], target_groups: vec![], ..spec.clone() };
        Some(self.settings.applied(spec))
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
            paced_until: PacedUntil::default(),
            ends_at: None,
            failed_devices: self.failed.clone(),
            rollback: None,
            zones: vec![],
            kept_back: None,
            released_at: None,
        })
    }
}

/// Counts a device of a wave anew. Whether anything changes.
fn recount(waves: &mut [Counts], wave: u16, before: DeviceProgress, after: DeviceProgress) -> bool {
    let counts = usize::from(wave).checked_sub(1).and_then(|index| waves.get_mut(index));
    let (before, after) = (before.counts(), after.counts());
    if let Some(counts) = counts.filter(|_| before != after) {
        *counts = counts.minus(before).plus(after);
        return true;
    }
    false
}

/// Devices of each wave, from the ranks at which they end.
fn of_waves(ends: &[u64]) -> Vec<u32> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    ends.iter().zip(starts).map(|(end, start)| u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX)).collect()
}
