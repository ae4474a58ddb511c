//! The rollout policy: tables of single decisions, and a simulation of whole rollouts with lag and crashes.

mod blue_green;
mod estimate;
mod evidence;
mod freezes;
mod gates;
mod grants;
mod invariants;
mod jitter;
mod manager;
mod member;
mod pace;
mod rollback;
mod simulation;
mod view;
mod waits;
mod what_if;
mod windows;
mod world;

use super::*;
use crate::campaign::tests::{campaign_id, spec};

pub(super) fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(30_000_000 + minutes)
}

/// A running campaign in its first of two waves, each of these counts.
pub(super) fn running(first: Counts, second: Counts) -> RolloutView {
    RolloutView {
        spec: spec(&[50, 100]),
        status: CampaignStatus::Running,
        position: 42,
        wave: 1,
        wave_opened_at: Some(at(0)),
        soaking_since: None,
        wave_completed: false,
        accepted: false,
        waves: vec![first, second],
        paced_until: PacedUntil::default(),
        ends_at: None,
        failed_devices: vec![],
        rollback: None,
        zones: vec![],
        kept_back: None,
        released_at: None,
    }
}

/// Number of devices, and of those that were reached and settled: confirmed or failed.
pub(super) fn settled(enrolled: u32, confirmed: u32, failed: u32) -> Counts {
    Counts {
        enrolled,
        reached: confirmed + failed,
        confirmed,
        failed,
        gate_failed: failed,
        gate_settled: confirmed + failed,
        ..Counts::default()
    }
}

/// A decision in short.
pub(super) fn said(decision: &RolloutStep) -> String {
    match decision {
        RolloutStep::Grant { devices_max: PerTransport { mqtt, lorawan: 0 } } => format!("grant {mqtt}"),
        RolloutStep::Grant { devices_max } => format!("grant {} and {} LoRaWAN", devices_max.mqtt, devices_max.lorawan),
        RolloutStep::PassGate { wave, .. } => format!("pass {wave}"),
        RolloutStep::BreakSoak { wave, .. } => format!("break {wave}"),
        RolloutStep::CompleteWave { wave, .. } => format!("complete {wave}"),
        RolloutStep::CloseGate { gate, wave, threshold_percent, .. } => {
            let scope = wave.map_or("all".to_owned(), |wave| wave.to_string());
            format!("close {gate:?} {scope} at {threshold_percent}")
        }
        RolloutStep::CompleteStaging { evidence } => format!("completes staging with {} staged", evidence.staged),
        RolloutStep::CancelStaged => "cancel staged".into(),
        RolloutStep::WithdrawUnanswered => "withdraw".into(),
        RolloutStep::CancelUpdates => "cancel".into(),
        RolloutStep::FinishCancel => "finish cancel".into(),
        RolloutStep::FinishRollback { evidence } => format!("finish rollback of {}", evidence.rolled_back),
        RolloutStep::Finish { result, .. } => format!("finish {result:?}"),
    }
}

#[track_caller]
pub(super) fn decides(view: &RolloutView, minutes: i64, expected: &[&str]) {
    let decided: Vec<String> = decide(view, at(minutes)).iter().map(said).collect();
    assert_eq!(decided, expected);
}
