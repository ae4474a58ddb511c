//! Failure gate, success gate, soak, and the end of a campaign.

use super::*;
use crate::campaign::tests::threshold;

fn none() -> Counts {
    Counts { enrolled: 20, ..Counts::default() }
}

fn in_use(counts: Counts, in_use: u32) -> Counts {
    Counts { in_use, working: in_use, reached: counts.reached + in_use, ..counts }
}

#[test]
fn the_failure_gate_waits_for_enough_settled_devices() {
    decides(&running(in_use(settled(20, 0, 9), 5), none()), 1, &[]);
    decides(&running(in_use(settled(20, 7, 3), 5), none()), 1, &["close Failure 1 at 20"]);
    decides(&running(in_use(settled(20, 8, 2), 5), none()), 1, &[]);
}

#[test]
fn a_wave_smaller_than_the_minimum_is_judged_when_all_have_settled() {
    decides(&running(in_use(settled(4, 2, 1), 1), none()), 1, &[]);
    decides(&running(settled(4, 3, 1), none()), 1, &["close Failure 1 at 20"]);
}

#[test]
fn a_failure_count_closes_the_gate_before_enough_devices_have_settled() {
    let mut view = running(in_use(settled(20, 0, 2), 5), none());
    view.spec.failure_count = Some(2);
    decides(&view, 1, &["close Failure 1 at 20"]);
}

#[test]
fn the_whole_campaign_is_judged_too() {
    let mut view = running(settled(20, 12, 8), in_use(settled(20, 10, 0), 5));
    view.wave = 2;
    decides(&view, 1, &["close Failure all at 20"]);
    view.waves[1].gate_failed = 5;
    decides(&view, 1, &["close Failure 2 at 20"]);
}

#[test]
fn a_wave_may_have_a_threshold_of_its_own() {
    let mut view = running(in_use(settled(20, 9, 1), 5), none());
    view.spec.waves[0].failure_threshold_percent = Some(threshold(5));
    decides(&view, 1, &["close Failure 1 at 5"]);
}

#[test]
fn offline_devices_are_not_failures() {
    let view = running(settled(20, 14, 0), none());
    decides(&view, 59, &[]);
    decides(&view, 60, &["pass 1"]);
    decides(&running(settled(20, 16, 0), none()), 1, &["pass 1"]);
}

#[test]
fn the_success_gate_is_undecided_while_devices_work_or_are_ready() {
    decides(&running(in_use(settled(20, 19, 0), 1), none()), 59, &[]);
    let ready = Counts { ready: 1, ..settled(20, 19, 0) };
    decides(&running(ready, none()), 120, &["grant 1"]);
}

#[test]
fn late_devices_keep_a_gate_undecided_only_while_their_failure_would_matter() {
    decides(&running(in_use(settled(20, 19, 0), 1), none()), 60, &["pass 1"]);
    decides(&running(in_use(settled(20, 14, 1), 3), none()), 60, &[]);
    decides(&running(in_use(settled(20, 5, 0), 1), none()), 60, &[]);
}

#[test]
fn a_campaign_with_too_few_reached_devices_pauses_after_the_wait() {
    let view = running(settled(20, 9, 0), none());
    decides(&view, 59, &[]);
    decides(&view, 60, &["close TooFewReached 1 at 80"]);
    let expired = Counts { expired: 11, ..settled(20, 8, 1) };
    decides(&running(expired, none()), 1, &["close TooFewReached 1 at 80"]);
    let mut accepted = view;
    accepted.accepted = true;
    decides(&accepted, 60, &["pass 1"]);
}

#[test]
fn a_wave_that_has_ended_without_failures_passes() {
    decides(&running(Counts { expired: 11, ..settled(20, 9, 0) }, none()), 1, &["pass 1"]);
    decides(&running(Counts { expired: 20, ..none() }, none()), 1, &["pass 1"]);
    let accepted =
        Counts { expired: 12, accepted_failed: 1, accepted_settled: 8, accepted_ended: 1, ..settled(20, 7, 1) };
    decides(&running(accepted, none()), 1, &["pass 1"]);
}

/// One of two devices is confirmed, the other never connects.
#[test]
fn the_last_gate_does_not_close_for_missing_answers() {
    let mut alone = running(settled(2, 1, 0), Counts::default());
    alone.spec.gate_min_settled = 10;
    decides(&alone, 59, &[]);
    decides(&alone, 600, &[]);
    alone.waves[0].expired = 1;
    decides(&alone, 600, &["pass 1"]);
    // Also the last wave, whose failures are judged although few devices were reached.
    let mut last = running(settled(20, 20, 0), Counts { expired: 11, ..settled(20, 8, 1) });
    last.wave = 2;
    decides(&last, 1, &["pass 2"]);
    last.waves[1] = Counts { expired: 11, ..settled(20, 6, 3) };
    last.spec.failure_threshold_percent = threshold(100);
    last.spec.success_threshold_percent = Some(threshold(90));
    decides(&last, 1, &["close Success 2 at 90"]);
    last.accepted = true;
    last.waves[1].accepted_ended = 3;
    decides(&last, 1, &["pass 2"]);
    // If a later wave has devices, the gate closes until an operator accepts the failures.
    let mut guarding = running(settled(2, 1, 0), none());
    decides(&guarding, 60, &["close TooFewReached 1 at 80"]);
    guarding.accepted = true;
    decides(&guarding, 60, &["pass 1"]);
}

#[test]
fn reached_devices_that_deferred_or_were_cancelled_do_not_count() {
    let deferred = Counts { reached: 20, ..settled(20, 10, 0) };
    decides(&running(deferred, none()), 1, &[]);
    decides(&running(deferred, none()), 60, &["pass 1"]);
    let cancelled = Counts { reached: 20, cancelled: 10, ..settled(20, 10, 0) };
    decides(&running(cancelled, none()), 1, &["pass 1"]);
    let only_deferred = Counts { reached: 20, ..settled(20, 0, 0) };
    decides(&running(only_deferred, none()), 60, &["close TooFewReached 1 at 80"]);
}

#[test]
fn a_wave_without_remaining_devices_passes() {
    let gone = Counts { superseded: 15, cancelled: 5, ..none() };
    decides(&running(gone, none()), 1, &["pass 1"]);
    decides(&running(Counts::default(), none()), 1, &["pass 1"]);
}

#[test]
fn too_few_confirmed_closes_the_gate() {
    let mut view = running(settled(20, 17, 3), none());
    decides(&view, 1, &["pass 1"]);
    view.spec.success_threshold_percent = Some(threshold(90));
    decides(&view, 1, &["close Success 1 at 90"]);
}

#[test]
fn a_soak_lasts_its_minutes_and_a_broken_gate_ends_it() {
    let mut view = running(settled(20, 20, 0), none());
    view.spec.soak_minutes = 30;
    view.soaking_since = Some(at(10));
    decides(&view, 39, &[]);
    decides(&view, 40, &["complete 1"]);
    view.spec.success_threshold_percent = Some(threshold(95));
    view.waves[0] = Counts { gate_settled: 20, ..settled(20, 18, 2) };
    decides(&view, 40, &["break 1"]);
    view.waves[0] = Counts { gate_settled: 20, ..settled(20, 15, 5) };
    decides(&view, 40, &["close Failure 1 at 20"]);
}

#[test]
fn a_completed_wave_is_not_judged_again_for_success() {
    let mut view = running(settled(20, 17, 3), none());
    view.spec.success_threshold_percent = Some(threshold(90));
    view.wave_completed = true;
    decides(&view, 1, &[]);
}

#[test]
fn the_failure_gate_counts_only_failures_since_the_acceptance() {
    let accepted = |confirmed, failed| Counts {
        accepted_failed: 4,
        accepted_settled: 10,
        accepted_ended: 4,
        ..settled(40, confirmed, failed)
    };
    let mut view = running(in_use(accepted(6, 4), 5), none());
    view.accepted = true;
    decides(&view, 1, &[]);
    view.waves[0] = in_use(accepted(14, 6), 5);
    decides(&view, 1, &[]);
    view.waves[0] = in_use(accepted(13, 7), 5);
    decides(&view, 1, &["close Failure 1 at 20"]);
    view.waves[0] = accepted(36, 4);
    decides(&view, 1, &["pass 1"]);
}

#[test]
fn a_campaign_finishes_when_its_last_wave_is_done_and_everybody_has_an_outcome() {
    let last = |second: Counts| {
        let mut view = running(settled(10, 10, 0), second);
        (view.wave, view.wave_completed) = (2, true);
        view
    };
    decides(&last(settled(10, 10, 0)), 1, &["finish Completed"]);
    decides(&last(settled(10, 9, 1)), 1, &["finish CompletedWithFailures"]);
    decides(&last(Counts { superseded: 1, ..settled(10, 9, 0) }), 1, &["finish Completed"]);
    decides(&last(Counts { expired: 1, ..settled(10, 9, 0) }), 1, &["finish CompletedWithFailures"]);
    // A cancelled device counts the same in every phase of its update.
    decides(&last(Counts { cancelled: 1, ..settled(10, 9, 0) }), 1, &["finish Completed"]);
    decides(&last(settled(10, 9, 0)), 1, &[]);
    let mut failed = last(settled(1, 0, 1));
    failed.waves[0] = Counts::default();
    failed.spec.failure_threshold_percent = threshold(100);
    decides(&failed, 1, &["finish Failed"]);
    let mut expired = last(Counts { expired: 10, enrolled: 10, ..Counts::default() });
    decides(&expired, 1, &["finish CompletedWithFailures"]);
    expired.waves[0] = Counts::default();
    decides(&expired, 1, &["finish Failed"]);
    expired.waves[1] = Counts { cancelled: 10, enrolled: 10, ..Counts::default() };
    decides(&expired, 1, &["finish Failed"]);
    // Empty waves wait for no operator.
    let mut early = running(settled(2, 2, 0), Counts::default());
    early.wave_completed = true;
    decides(&early, 1, &["finish Completed"]);
}

#[test]
fn an_ended_campaign_only_finishes_the_updates_that_it_began() {
    let mut view = running(Counts { ready: 5, ..in_use(settled(20, 10, 0), 2) }, none());
    view.ends_at = Some(at(100));
    decides(&view, 99, &["grant 5"]);
    decides(&view, 100, &["grant 5"]);
    view.waves[0].ready = 0;
    decides(&view, 100, &[]);
    view.waves[0] = settled(20, 10, 0);
    decides(&view, 100, &["finish CompletedWithFailures"]);
}

#[test]
fn cancelling_ends_when_no_device_works_or_holds_a_slot() {
    let mut view = running(in_use(settled(20, 10, 0), 2), none());
    view.status = CampaignStatus::Cancelling;
    decides(&view, 1, &["cancel"]);
    view.waves[0].working = 0;
    decides(&view, 1, &["cancel"]);
    view.waves[0].in_use = 0;
    decides(&view, 1, &["cancel", "finish cancel"]);
}

#[test]
fn only_campaigns_under_way_get_decisions() {
    let mut view = running(settled(20, 0, 20), none());
    for status in CampaignStatus::all() {
        view.status = status;
        let expected: &[&str] = match status {
            CampaignStatus::Running => &["close Failure 1 at 20"],
            CampaignStatus::Paused => &["withdraw"],
            CampaignStatus::Cancelling => &["cancel", "finish cancel"],
            _ => &[],
        };
        decides(&view, 1, expected);
    }
}
