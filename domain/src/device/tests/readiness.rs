//! Readiness and wait reason of an update must agree.

use std::collections::BTreeSet;

use super::*;
use crate::device::{Availability, Clocks, Conditions, Hold, PendingUpdate, Readiness, UpdateState, idle_in};
use crate::window::{DeviceWindows, MaintenanceWindows};

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
    let conditions = Conditions { of_campaign: true, paused: false, met: true, open: true };
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

#[test]
fn the_working_clock_stands_still_for_a_closed_window_and_for_a_slot_after_a_deferral() {
    let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
    let daily = r#"[{"days":["thursday","friday"],"start":"00:00","end":"01:00"}]"#;
    let windows: MaintenanceWindows = serde_json::from_str(daily).unwrap();
    let of = Some(DeviceWindows { windows: &windows, zone: None });
    let ends = |phase: Phase, since: i64, windows| {
        let state = UpdateState { phase, reached: true, ..UpdateState::queued() };
        let limits = Limits { total_s: 3_600, ..Limits::default() };
        let (reached_at, phase_since) = (Some(at(10)), at(since));
        let clocks = Clocks {
            state: &state,
            of_campaign: true,
            limits: &limits,
            wait_until: at(0),
            reached_at,
            phase_since,
            idle: TimeDelta::zero(),
            windows,
        };
        assert_eq!(clocks.first(), clocks.earliest().map(|(at, _)| at));
        clocks.first()
    };
    let backoff = Phase::Waiting(WaitReason::Backoff);
    // 1970 began on a Thursday. Without a window the clock ends at 01:10.
    assert_eq!(ends(backoff, 50, None), Some(at(70)));
    assert_eq!(ends(backoff, 50, of), Some(at(24 * 60 + 10)), "10 minutes of Thursday, 10 of Friday");
    assert_eq!(ends(backoff, 80, of), Some(at(70)), "it was over before");
    assert_eq!(ends(Phase::Waiting(WaitReason::Slot), 50, None), None);
    assert_eq!(idle_in(backoff, at(50), at(90), of), TimeDelta::minutes(30));
    assert_eq!(idle_in(backoff, at(50), at(90), None), TimeDelta::zero());
    assert_eq!(idle_in(Phase::Waiting(WaitReason::Slot), at(50), at(90), None), TimeDelta::minutes(40));
    assert_eq!(idle_in(Phase::Installing, at(50), at(90), of), TimeDelta::zero());
}
