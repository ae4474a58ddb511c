//! The rollout policy: what to do next with a campaign, from a view of the log's prefix. Pure, so it can be run against any history.
//!
//! Every decision goes to an aggregate that checks it again, and every counter but that of slots in use only grows, so a view that lags
//! makes decisions late, never wrong. A device that answers late takes a slot without a grant, so slots are granted on a view that has
//! reached the log's end (ADR 15).

mod gate;
mod pace;
#[cfg(test)]
mod tests;
mod waits;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use waits::{Wait, waits};

use crate::campaign::{CampaignResult, CampaignSpec, CampaignStatus, Evidence, GateKind};
use crate::ids::DeviceId;
use crate::ledger::GRANT_DEVICES_MAX;

/// Devices of one wave (or of all waves together), counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Its devices.
    pub enrolled: u32,
    /// Answered `received` at least once.
    pub reached: u32,
    pub confirmed: u32,
    /// Failed, timed out, rejected or regressed.
    pub failed: u32,
    /// Count for the failure gate: ended in failure, or one try failed by the image's or the device's own fault. Only grows.
    pub gate_failed: u32,
    /// Confirmed at some time or counted as failed by the gate. Only grows.
    pub gate_settled: u32,
    /// Hold a slot.
    pub in_use: u32,
    /// Reached and neither ended nor deferred nor staged, or being cancelled.
    pub working: u32,
    /// Could be granted a slot now.
    pub ready: u32,
    pub expired: u32,
    pub cancelled: u32,
    pub superseded: u32,
    /// `gate_failed` and `gate_settled` when an operator accepted the failures.
    pub accepted_failed: u32,
    pub accepted_settled: u32,
    /// Of `failed`, those whose fault had been counted by then: an attempt that goes on and fails again is no news.
    pub accepted_ended: u32,
}

impl Counts {
    /// Devices with an outcome of any kind.
    pub fn ended(&self) -> u32 {
        self.confirmed + self.failed + self.expired + self.cancelled + self.superseded
    }

    pub fn has_everybody_ended(&self) -> bool {
        self.ended() >= self.enrolled
    }

    fn plus(self, other: Self) -> Self {
        Self {
            enrolled: self.enrolled + other.enrolled,
            reached: self.reached + other.reached,
            confirmed: self.confirmed + other.confirmed,
            failed: self.failed + other.failed,
            gate_failed: self.gate_failed + other.gate_failed,
            gate_settled: self.gate_settled + other.gate_settled,
            in_use: self.in_use + other.in_use,
            working: self.working + other.working,
            ready: self.ready + other.ready,
            expired: self.expired + other.expired,
            cancelled: self.cancelled + other.cancelled,
            superseded: self.superseded + other.superseded,
            accepted_failed: self.accepted_failed + other.accepted_failed,
            accepted_settled: self.accepted_settled + other.accepted_settled,
            accepted_ended: self.accepted_ended + other.accepted_ended,
        }
    }
}

/// A campaign as its read model shows it: always a prefix of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutView {
    pub spec: CampaignSpec,
    pub status: CampaignStatus,
    /// Position that the view has reached.
    pub position: u64,
    /// Number of the open wave, 0 before the first.
    pub wave: u16,
    /// When it opened, moved on by the time spent paused.
    pub wave_opened_at: Option<DateTime<Utc>>,
    /// When its soak began, moved on by the time spent paused.
    pub soaking_since: Option<DateTime<Utc>>,
    pub wave_completed: bool,
    /// An operator accepted the failures while this wave was open.
    pub accepted: bool,
    /// Counts of each wave, in order.
    pub waves: Vec<Counts>,
    /// When the intervals of all devices granted so far are over, at the campaign's rate.
    pub paced_until: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    /// Devices that failed, for evidence: the first of each kind, those of the latest wave first.
    pub failed_devices: Vec<FailedDevice>,
}

/// A device that failed, at least in one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDevice {
    pub device: DeviceId,
    pub wave: u16,
    /// No operator has accepted it: the failure gate counts it.
    pub counts: bool,
    /// It ended so or has fallen back, and no operator has accepted that: the success gate counts it.
    pub ended: bool,
}

/// What should happen next.
#[derive(Debug, Clone, PartialEq)]
pub enum RolloutStep {
    /// Grant slots to at most this many devices that are ready.
    Grant {
        devices_max: u32,
    },
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
    /// Take back commands that devices haven't answered.
    WithdrawUnanswered,
    /// Cancel what can be cancelled in the devices.
    CancelUpdates,
    FinishCancel,
    Finish {
        result: CampaignResult,
        evidence: Evidence,
    },
}

/// Decides what to do next. Deciding again on the same view gives the same.
pub fn decide(view: &RolloutView, now: DateTime<Utc>) -> Vec<RolloutStep> {
    match view.status {
        CampaignStatus::Running => decide_running(view, now),
        CampaignStatus::Paused => decide_paused(view, now),
        CampaignStatus::Cancelling => {
            // Devices past the point of no return run to their end first.
            if view.is_at_rest() {
                vec![RolloutStep::CancelUpdates, RolloutStep::FinishCancel]
            } else {
                vec![RolloutStep::CancelUpdates]
            }
        }
        CampaignStatus::Absent
        | CampaignStatus::Draft
        | CampaignStatus::Deleted
        | CampaignStatus::Planning
        | CampaignStatus::Cancelled
        | CampaignStatus::Completed
        | CampaignStatus::CompletedWithFailures
        | CampaignStatus::Failed => vec![],
    }
}

/// Nothing begins; but a pause doesn't put off the campaign's end.
fn decide_paused(view: &RolloutView, now: DateTime<Utc>) -> Vec<RolloutStep> {
    if view.is_over(now) && view.is_at_rest() { vec![view.finish()] } else { vec![RolloutStep::WithdrawUnanswered] }
}

fn decide_running(view: &RolloutView, now: DateTime<Utc>) -> Vec<RolloutStep> {
    if let Some(closed) = view.failure_gate() {
        return vec![closed];
    }
    let over = view.is_over(now);
    // A wave with nobody in it needs nobody to open it.
    if (over && view.is_at_rest()) || (view.wave_completed && view.has_everybody_ended()) {
        return vec![view.finish()];
    }
    // Behind the end only those are ready that go on with what they began.
    let mut decisions = view.wave_decision(now).filter(|_| !over).into_iter().collect::<Vec<_>>();
    let devices_max = view.grantable(now);
    if devices_max > 0 {
        decisions.push(RolloutStep::Grant { devices_max });
    }
    decisions
}

impl RolloutView {
    pub fn total(&self) -> Counts {
        self.waves.iter().copied().fold(Counts::default(), Counts::plus)
    }

    /// The set that `progress_percent`, the result and the end count alike.
    pub fn has_everybody_ended(&self) -> bool {
        self.total().has_everybody_ended()
    }

    /// Its end has passed: what waits expires, what is under way goes on.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.ends_at.is_some_and(|ends_at| now >= ends_at)
    }

    /// No device has anything to do with a slot.
    fn is_at_rest(&self) -> bool {
        let total = self.total();
        total.in_use == 0 && total.working == 0
    }

    fn finish(&self) -> RolloutStep {
        RolloutStep::Finish { result: self.result(), evidence: self.evidence_of_all() }
    }

    /// The limits in their order: rate, slots, batch.
    fn grantable(&self, now: DateTime<Utc>) -> u32 {
        self.spec.paced(self.paced_until, now).min(self.grantable_but_for_rate())
    }

    fn grantable_but_for_rate(&self) -> u32 {
        let slots = self.spec.max_concurrent_updates.saturating_sub(self.total().in_use);
        let batch = self.spec.batch_size.unwrap_or(u32::MAX).min(GRANT_DEVICES_MAX as u32);
        let ready: u32 = self.waves.iter().take(self.wave.into()).map(|wave| wave.ready).sum();
        slots.min(batch).min(ready)
    }

    /// When more may be granted without anything else happening: where nothing but the rate holds devices back.
    pub fn next_grant_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let waits = self.status == CampaignStatus::Running && self.grantable_but_for_rate() > 0;
        self.spec.next_paced(self.paced_until).filter(|next| waits && *next > now)
    }

    fn result(&self) -> CampaignResult {
        // It never came to a plan.
        if self.waves.is_empty() {
            return CampaignResult::Failed;
        }
        // Who was taken out, cancelled or superseded, counts on neither side; nobody is `completed` by being taken out alone.
        let total = self.total();
        let missed = total.enrolled.saturating_sub(total.confirmed + total.superseded + total.cancelled);
        match (missed, total.confirmed) {
            (0, 0) if total.cancelled > 0 => CampaignResult::Failed,
            (0, _) => CampaignResult::Completed,
            (_, 0) => CampaignResult::Failed,
            (_, _) => CampaignResult::CompletedWithFailures,
        }
    }

    fn elapsed_minutes(since: Option<DateTime<Utc>>, now: DateTime<Utc>, minutes: u32) -> bool {
        since.is_some_and(|since| now >= since + TimeDelta::minutes(minutes.into()))
    }
}
