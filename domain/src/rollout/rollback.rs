//! The policy of a campaign's rollback: devices go back under the campaign's slots and rate, until too many of them fail.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{RolloutStep, RolloutView};
use crate::campaign::{Evidence, GateKind, RollbackEvidence};
use crate::ids::DeviceId;
use crate::per_transport::PerTransport;
use crate::rollback::RollbackObstacle;

/// Share of failed rollbacks, in percent, at which a rollback pauses.
pub const ROLLBACK_FAILED_MAX_PERCENT: u8 = 50;

/// The devices of a campaign that is rolled back, after a prefix of the log. All counts are of the present round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RollbackView {
    /// When it began, plus the time spent paused.
    pub since: DateTime<Utc>,
    /// Devices that could be granted a slot now.
    pub ready: PerTransport<u32>,
    /// Devices that have yet to go back and can, ready or not.
    pub waiting: u32,
    /// Devices whose rollback is under way, or waits for its device.
    pub under_way: u32,
    pub rolled_back: u32,
    pub failed: u32,
    /// Devices whose rollback expired or was cancelled.
    pub given_up: u32,
    pub impossible: BTreeMap<RollbackObstacle, u32>,
    /// The part of `rolled_back` and of `failed` from before an operator accepted the failures.
    pub accepted_rolled_back: u32,
    pub accepted_failed: u32,
    /// Some of those that failed.
    pub failed_devices: Vec<DeviceId>,
}

pub(super) fn decide(view: &RolloutView, rollback: &RollbackView, now: DateTime<Utc>) -> Vec<RolloutStep> {
    if let Some(closed) = view.rollback_gate(rollback) {
        return vec![closed];
    }
    let mut steps = vec![RolloutStep::CancelUpdates];
    let devices_max = view.within_rate(view.rollbacks_within_slots(rollback), now);
    let none_left = rollback.waiting == 0 || (rollback.ready.sum() == 0 && now >= view.rollback_wait_ends(rollback));
    if devices_max.sum() > 0 {
        steps.push(RolloutStep::Grant { devices_max });
    } else if view.is_at_rest() && rollback.under_way == 0 && none_left {
        steps.push(RolloutStep::FinishRollback { evidence: rollback.evidence(view.position) });
    }
    steps
}

impl RollbackView {
    fn evidence(&self, position: u64) -> RollbackEvidence {
        let impossible = self.impossible.iter().map(|(obstacle, devices)| (obstacle.word().to_owned(), *devices));
        RollbackEvidence {
            position,
            rolled_back: self.rolled_back,
            failed: self.failed,
            unreached: self.waiting + self.given_up,
            impossible: impossible.collect(),
        }
    }
}

impl RolloutView {
    /// Too many rollbacks have failed: it isn't better there than here.
    fn rollback_gate(&self, rollback: &RollbackView) -> Option<RolloutStep> {
        let failed = rollback.failed.saturating_sub(rollback.accepted_failed);
        let rolled_back = rollback.rolled_back.saturating_sub(rollback.accepted_rolled_back);
        let settled = rolled_back + failed;
        let all = settled + rollback.under_way + rollback.waiting;
        let least = self.spec.gate_min_settled.min(all).max(1);
        let is_failing = settled >= least
            && failed > 0
            && u64::from(failed) * 100 >= u64::from(ROLLBACK_FAILED_MAX_PERCENT) * u64::from(settled);
        let evidence = Evidence {
            position: self.position,
            enrolled: all,
            reached: settled + rollback.under_way,
            settled,
            confirmed: rolled_back,
            failed,
            staged: 0,
            devices: rollback.failed_devices.clone(),
        };
        is_failing.then_some(RolloutStep::CloseGate {
            gate: GateKind::Rollback,
            wave: None,
            threshold_percent: ROLLBACK_FAILED_MAX_PERCENT,
            evidence,
        })
    }

    /// Rollbacks that may begin, before the rate is looked at.
    pub(super) fn rollbacks_within_slots(&self, rollback: &RollbackView) -> PerTransport<u32> {
        self.within_slots(rollback.ready)
    }

    /// When devices that haven't come are no longer waited for: after the time that the campaign gives a device.
    pub(super) fn rollback_wait_ends(&self, rollback: &RollbackView) -> DateTime<Utc> {
        self.waits_from(rollback.since) + TimeDelta::minutes(self.spec.wait_for_device_minutes.into())
    }
}
