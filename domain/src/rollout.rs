//! The rollout policy: the next steps of a campaign, computed from a view of a prefix of the log. Pure, so it can be run against any
//! history.
//!
//! An aggregate checks every step again, and all counters except slots in use only grow. So a lagging view makes a step late, never wrong.
//! A device that answers late takes a slot without a grant, so slots are granted only on a view that has reached the end of the log (ADR
//! 15).

mod blue_green;
mod counts;
mod estimate;
mod gate;
mod gate_results;
mod jitter;
mod pace;
mod rollback;
#[cfg(test)]
mod tests;
mod waits;
mod what_if;
mod windows;

use chrono::{DateTime, TimeDelta, Utc};

pub use counts::Counts;
pub use estimate::{
    ASSUMED_ACTIVATION_S, ASSUMED_DOWNLOAD_BYTES_PER_S, ASSUMED_INSTALL_S, PaceLimit, WaveEstimate,
    assumed_update_seconds,
};
pub use pace::PacedUntil;
pub use rollback::{ROLLBACK_FAILED_MAX_PERCENT, RollbackView};
pub use waits::{Wait, waits, waits_before_start};
pub use what_if::{COURSE_DEVICES_MAX, Course, CourseEnd, Courses, OtherSettings, Stop, WhatIf};

use crate::campaign::{CampaignResult, CampaignSpec, CampaignStatus, Evidence, GateKind, RollbackEvidence};
use crate::firmware::Lack;
use crate::ids::DeviceId;
use crate::ledger::{GRANT_DEVICES_MAX, Slots};
use crate::per_transport::{PACED, PerTransport};
use crate::values::Transport;

/// A campaign as its read model shows it: the state after a prefix of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutView {
    pub spec: CampaignSpec,
    pub status: CampaignStatus,
    /// Position that the view has reached.
    pub position: u64,
    /// Number of the open wave, 0 before the first.
    pub wave: u16,
    /// When it opened, plus the time spent paused.
    pub wave_opened_at: Option<DateTime<Utc>>,
    /// When its soak began, plus the time spent paused.
    pub soaking_since: Option<DateTime<Utc>>,
    pub wave_completed: bool,
    /// An operator accepted the failures while this wave was open.
    pub accepted: bool,
    /// Counts of each wave, in order.
    pub waves: Vec<Counts>,
    /// End of the rate intervals of all devices granted so far.
    pub paced_until: PacedUntil,
    pub ends_at: Option<DateTime<Utc>>,
    /// Some failed devices, for evidence: the first of each kind, those of the latest wave first.
    pub failed_devices: Vec<FailedDevice>,
    /// Its rollback, also while that is paused.
    pub rollback: Option<RollbackView>,
    /// The zones of its devices. Empty unless its windows follow the zone of each device.
    pub zones: Vec<Option<String>>,
    /// Why nothing of it may be dispatched, if so.
    pub kept_back: Option<KeptBack>,
    /// When the last time ended in which nothing might be dispatched. What waits for devices waits its whole time again from here.
    pub released_at: Option<DateTime<Utc>>,
}

/// Why nothing of a campaign may be dispatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptBack {
    /// Nothing may be dispatched to devices of its tenant.
    Freeze,
    /// Its firmware lacks what the tenant asks for.
    Firmware(Lack),
}

/// A device that failed in at least one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDevice {
    pub device: DeviceId,
    pub wave: u16,
    /// The failure gate counts it: no operator has accepted the failure.
    pub counts: bool,
    /// The success gate counts it: its update ended in failure or regressed, and no operator has accepted that.
    pub ended: bool,
}

/// What should happen next.
#[derive(Debug, Clone, PartialEq)]
pub enum RolloutStep {
    /// Grant slots to at most this many devices of each transport that are ready.
    Grant {
        devices_max: PerTransport<u32>,
    },
    /// Enough devices have staged the version.
    CompleteStaging {
        evidence: Evidence,
    },
    /// Cancel the updates of staged devices: they will not activate them any more.
    CancelStaged,
    PassGate {
        wave: u16,
        evidence: Evidence,
    },
    BreakSoak {
        wave: u16,
        evidence: Evidence,
    },
    CompleteWave {
        wave: u16,
        evidence: Evidence,
    },
    CloseGate {
        gate: GateKind,
        wave: Option<u16>,
        threshold_percent: u8,
        evidence: Evidence,
    },
    /// Take back commands that devices have not answered.
    WithdrawUnanswered,
    /// Cancel what can be cancelled in the devices.
    CancelUpdates,
    FinishCancel,
    FinishRollback {
        evidence: RollbackEvidence,
    },
    Finish {
        result: CampaignResult,
        evidence: Evidence,
    },
}

/// Decides the next steps. The same view always gives the same steps.
pub fn decide(view: &RolloutView, now: DateTime<Utc>) -> Vec<RolloutStep> {
    let steps = decide_by_status(view, now);
    if view.kept_back.is_some() { without_dispatch(view, steps) } else { steps }
}

/// While it is kept back, nothing begins and unanswered grants are taken back, as in a pause. What has begun is judged as ever, but devices
/// that could not be reached close no gate.
fn without_dispatch(view: &RolloutView, mut steps: Vec<RolloutStep>) -> Vec<RolloutStep> {
    steps.retain(|step| {
        !matches!(step, RolloutStep::Grant { .. } | RolloutStep::CloseGate { gate: GateKind::TooFewReached, .. })
    });
    if matches!(view.status, CampaignStatus::Running | CampaignStatus::RollingBack) {
        steps.push(RolloutStep::WithdrawUnanswered);
    }
    steps
}

fn decide_by_status(view: &RolloutView, now: DateTime<Utc>) -> Vec<RolloutStep> {
    match view.status {
        CampaignStatus::Running => decide_running(view, now),
        CampaignStatus::Paused => decide_paused(view, now),
        CampaignStatus::Cancelling => {
            // Devices past the point of no return finish first.
            if view.is_at_rest() {
                vec![RolloutStep::CancelUpdates, RolloutStep::FinishCancel]
            } else {
                vec![RolloutStep::CancelUpdates]
            }
        }
        CampaignStatus::RollingBack => {
            view.rollback.as_ref().map(|rollback| rollback::decide(view, rollback, now)).unwrap_or_default()
        }
        CampaignStatus::Absent
        | CampaignStatus::Draft
        | CampaignStatus::AwaitingApproval
        | CampaignStatus::Approved
        | CampaignStatus::Rejected
        | CampaignStatus::Scheduled
        | CampaignStatus::Deleted
        | CampaignStatus::Planning
        | CampaignStatus::Cancelled
        | CampaignStatus::RolledBack
        | CampaignStatus::Completed
        | CampaignStatus::CompletedWithFailures
        | CampaignStatus::Failed => vec![],
    }
}

/// While paused nothing begins. A pause does not postpone the campaign's end.
fn decide_paused(view: &RolloutView, now: DateTime<Utc>) -> Vec<RolloutStep> {
    if !view.is_over(now) || view.rollback.is_some() {
        return vec![RolloutStep::WithdrawUnanswered];
    }
    match (view.total().staged > 0, view.is_at_rest()) {
        (true, _) => vec![RolloutStep::WithdrawUnanswered, RolloutStep::CancelStaged],
        (false, true) => vec![view.finish()],
        (false, false) => vec![RolloutStep::WithdrawUnanswered],
    }
}

fn decide_running(view: &RolloutView, now: DateTime<Utc>) -> Vec<RolloutStep> {
    if let Some(closed) = view.failure_gate() {
        return vec![closed];
    }
    let over = view.is_over(now);
    let staged = view.total().staged > 0;
    // A remaining wave without devices does not have to be opened.
    if (over && view.is_at_rest() && !staged) || (view.wave_completed && view.has_everybody_ended()) {
        return vec![view.finish()];
    }
    // After the end only devices that continue a begun update are ready.
    let judged = if view.is_staging() { view.staging_decision(now) } else { view.wave_decision(now) };
    let mut decisions = judged.filter(|_| !over).into_iter().collect::<Vec<_>>();
    decisions.extend((over && staged).then_some(RolloutStep::CancelStaged));
    let devices_max = view.grantable(now);
    if devices_max.sum() > 0 {
        decisions.push(RolloutStep::Grant { devices_max });
    }
    decisions
}

impl RolloutView {
    pub fn total(&self) -> Counts {
        self.waves.iter().copied().fold(Counts::default(), Counts::plus)
    }

    /// `progress_percent`, the result and the end use this same set of devices.
    pub fn has_everybody_ended(&self) -> bool {
        self.total().has_everybody_ended()
    }

    /// Whether its end has passed: waiting updates expire, updates under way continue.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.ends_at.is_some_and(|ends_at| now >= ends_at)
    }

    /// Whether no device holds a slot or is working.
    fn is_at_rest(&self) -> bool {
        let total = self.total();
        total.in_use == 0 && total.working == 0
    }

    fn finish(&self) -> RolloutStep {
        RolloutStep::Finish { result: self.result(), evidence: self.evidence_of_all() }
    }

    /// Devices that may be granted now, limited by rate, slots and batch size.
    fn grantable(&self, now: DateTime<Utc>) -> PerTransport<u32> {
        self.within_rate(self.grantable_but_for_rate(), now)
    }

    fn grantable_but_for_rate(&self) -> PerTransport<u32> {
        let waves = self.waves_at_work().iter().copied().fold(Counts::default(), Counts::plus);
        self.within_slots(waves.ready_by_transport())
    }

    /// As many of them as the rate of each transport lets begin, and as fit in one grant. LoRaWAN devices come first: they take long.
    fn within_rate(&self, devices: PerTransport<u32>, now: DateTime<Utc>) -> PerTransport<u32> {
        let paced = |transport: Transport| {
            let rate = self.spec.pace(transport).paced(*self.paced_until.of(transport), now);
            rate.min(*devices.of(transport))
        };
        let lorawan = paced(Transport::Lorawan).min(GRANT_DEVICES_MAX as u32);
        PerTransport { mqtt: paced(Transport::Mqtt).min(GRANT_DEVICES_MAX as u32 - lorawan), lorawan }
    }

    /// The waves whose devices may begin. All devices may stage; the view counts as ready only those that may begin or activate.
    fn waves_at_work(&self) -> &[Counts] {
        let opened = if self.spec.stages() { self.waves.len() } else { self.wave.into() };
        self.waves.get(..opened).unwrap_or(&self.waves)
    }

    /// The slots of each transport.
    pub fn slots(&self) -> PerTransport<Slots> {
        let in_use = self.total().slots_in_use();
        PerTransport::each(|transport| Slots {
            in_use: *in_use.of(transport),
            max_concurrent_updates: self.spec.pace(transport).max_concurrent_updates,
        })
    }

    /// As many of them as have free slots, and as begin together.
    fn within_slots(&self, ready: PerTransport<u32>) -> PerTransport<u32> {
        let slots = self.slots();
        PerTransport::each(|transport| {
            let batch = self.spec.pace(transport).batch_size.unwrap_or(u32::MAX);
            slots.of(transport).free().min(batch).min(*ready.of(transport))
        })
    }

    /// When the next grant is due without any other event: only if the rate is the only limit.
    pub fn next_grant_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let waiting = match (self.status, &self.rollback) {
            (CampaignStatus::Running, _) => self.grantable_but_for_rate(),
            (CampaignStatus::RollingBack, Some(rollback)) => self.rollbacks_within_slots(rollback),
            _ => PerTransport::default(),
        };
        let waiting = PACED.into_iter().filter(|transport| *waiting.of(*transport) > 0);
        waiting.filter_map(|transport| self.next_paced(transport, now)).min()
    }

    /// When the rate lets the next device of a transport begin; none if that may be now.
    fn next_paced(&self, transport: Transport, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.spec.pace(transport).next_paced(*self.paced_until.of(transport)).filter(|next| *next > now)
    }

    fn result(&self) -> CampaignResult {
        // The campaign never had a plan.
        if self.waves.is_empty() {
            return CampaignResult::Failed;
        }
        // Cancelled and superseded devices count neither as confirmed nor as missed. A campaign with cancelled devices and none confirmed
        // is not `completed`.
        let total = self.total();
        let missed = total.enrolled.saturating_sub(total.confirmed + total.superseded + total.cancelled);
        match (missed, total.confirmed) {
            (0, 0) if total.cancelled > 0 => CampaignResult::Failed,
            (0, _) => CampaignResult::Completed,
            (_, 0) => CampaignResult::Failed,
            (_, _) => CampaignResult::CompletedWithFailures,
        }
    }

    /// When the soak of the open wave is over.
    fn soak_ends(&self, since: DateTime<Utc>) -> DateTime<Utc> {
        since + TimeDelta::minutes(self.spec.soak_minutes(self.wave).into())
    }
}
