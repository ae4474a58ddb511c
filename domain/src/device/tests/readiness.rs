//! Readiness and wait reason of an update must agree.

use std::collections::BTreeSet;

use super::*;
use crate::device::{Conditions, Hold, Occupancy, Readiness, Turn};

fn occupancies(between: &BTreeSet<u32>, now: DateTime<Utc>) -> Vec<Occupancy<'_>> {
    let until = |minutes: i64| Some(Hold { until: Some(now + TimeDelta::minutes(minutes)) });
    let mut all = Vec::new();
    for hold in [None, Some(Hold { until: None }), until(5), until(-5)] {
        for live in [None, Some(1), Some(2)] {
            for online in [true, false] {
                all.push(Occupancy { decommissioned: false, online, hold, live, between_attempts: between });
            }
        }
    }
    all
}

fn turns(now: DateTime<Utc>) -> Vec<Turn> {
    let mut all = Vec::new();
    for waits_for in WaitReason::all().map(Some).chain([None]) {
        for not_before in [None, Some(now), Some(now - TimeDelta::minutes(1)), Some(now + TimeDelta::minutes(1))] {
            for goes_first in [true, false] {
                all.push(Turn { ordinal: Some(1), waits_for, not_before, goes_first });
            }
        }
    }
    all
}

#[test]
fn an_update_may_begin_exactly_when_it_waits_only_for_its_slot() {
    let now = at(0);
    let conditions = Conditions { of_campaign: true, paused: false, met: true };
    for between in [vec![], vec![1], vec![2], vec![1, 2]] {
        let between = between.into_iter().collect();
        for device in occupancies(&between, now) {
            for turn in turns(now) {
                // A wait reason has no time. Only a pause between attempts ends by itself.
                let pauses = matches!(turn.waits_for, Some(WaitReason::Backoff | WaitReason::Unresponsive));
                let turn = Turn { not_before: turn.not_before.filter(|_| pauses), ..turn };
                let may_begin = match device.readiness(&turn) {
                    Readiness::Now => true,
                    Readiness::At(from) => from <= now,
                    Readiness::No(_) => false,
                };
                let reason = device.wait_reason(&turn, conditions, now);
                assert_eq!(may_begin, reason == Some(WaitReason::Slot), "{device:?} {turn:?} {reason:?}");
            }
        }
    }
}

#[test]
fn an_update_of_a_decommissioned_device_may_begin_to_end() {
    let between = BTreeSet::from([2]);
    let device = Occupancy { decommissioned: true, online: false, hold: None, live: None, between_attempts: &between };
    let turn = Turn { ordinal: None, waits_for: None, not_before: None, goes_first: false };
    assert_eq!(device.readiness(&turn), Readiness::Now);
    let later = Turn { not_before: Some(at(0)), ..turn };
    assert_eq!(device.readiness(&later), Readiness::At(at(0)));
}
