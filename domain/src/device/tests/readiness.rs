//! Readiness and wait reason of an update must agree.

use std::collections::BTreeSet;

use super::*;
use crate::device::{Availability, Conditions, Hold, PendingUpdate, Readiness};

fn availabilities(between: &BTreeSet<u32>, now: DateTime<Utc>) -> Vec<Availability<'_>> {
    let until = |minutes: i64| Some(Hold { until: Some(now + TimeDelta::minutes(minutes)) });
    let mut all = Vec::new();
    for hold in [None, Some(Hold { until: None }), until(5), until(-5)] {
        for live in [None, Some(1), Some(2)] {
            for online in [true, false] {
                all.push(Availability { decommissioned: false, online, hold, live, between_attempts: between });
            }
        }
    }
    all
}

fn pending_updates(now: DateTime<Utc>) -> Vec<PendingUpdate> {
    let mut all = Vec::new();
    for waits_for in WaitReason::all().map(Some).chain([None]) {
        for not_before in [None, Some(now), Some(now - TimeDelta::minutes(1)), Some(now + TimeDelta::minutes(1))] {
            for goes_first in [true, false] {
                all.push(PendingUpdate { ordinal: Some(1), waits_for, not_before, goes_first });
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
        for device in availabilities(&between, now) {
            for pending in pending_updates(now) {
                // A wait reason has no time. Only a pause between attempts ends by itself.
                let pauses = matches!(pending.waits_for, Some(WaitReason::Backoff | WaitReason::Unresponsive));
                let pending = PendingUpdate { not_before: pending.not_before.filter(|_| pauses), ..pending };
                let may_begin = match device.readiness(&pending) {
                    Readiness::Now => true,
                    Readiness::At(from) => from <= now,
                    Readiness::No(_) => false,
                };
                let reason = device.wait_reason(&pending, conditions, now);
                assert_eq!(may_begin, reason == Some(WaitReason::Slot), "{device:?} {pending:?} {reason:?}");
            }
        }
    }
}

#[test]
fn an_update_of_a_decommissioned_device_may_begin_to_end() {
    let between = BTreeSet::from([2]);
    let device =
        Availability { decommissioned: true, online: false, hold: None, live: None, between_attempts: &between };
    let pending = PendingUpdate { ordinal: None, waits_for: None, not_before: None, goes_first: false };
    assert_eq!(device.readiness(&pending), Readiness::Now);
    let later = PendingUpdate { not_before: Some(at(0)), ..pending };
    assert_eq!(device.readiness(&later), Readiness::At(at(0)));
}
