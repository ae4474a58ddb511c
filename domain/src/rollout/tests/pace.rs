//! How fast slots are granted with a rate limit.

use proptest::prelude::*;

use super::invariants::check_rate;
use super::*;

fn paced(rate: u32, burst: Option<u32>) -> RolloutView {
    let counts = Counts { enrolled: 10_000, ready: 10_000, ..Counts::default() };
    let mut view = running(counts, Counts::default());
    view.spec.max_concurrent_updates = 10_000;
    (view.spec.rate_per_minute, view.spec.batch_size) = (Some(rate), burst);
    view
}

fn second(second: i64) -> DateTime<Utc> {
    at(0) + TimeDelta::seconds(second)
}

/// Grants what is allowed, and returns the number of devices.
fn grant(view: &mut RolloutView, now: DateTime<Utc>) -> usize {
    let [RolloutStep::Grant { devices_max }] = decide(view, now)[..] else { return 0 };
    let devices = PerTransport { mqtt: devices_max.mqtt as usize, lorawan: devices_max.lorawan as usize };
    view.paced_until = view.spec.paced_until(view.paced_until, now, devices);
    devices.sum()
}

fn adjust(view: &mut RolloutView, now: DateTime<Utc>, rate: Option<u32>, burst: Option<u32>) {
    let mut new = view.spec.clone();
    (new.rate_per_minute, new.batch_size) = (rate, burst);
    view.paced_until = view.spec.paced_again(&new, view.paced_until, now);
    view.spec = new;
}

#[test]
fn a_batch_begins_at_once_and_then_the_rate_counts() {
    let mut view = paced(60, Some(2));
    assert_eq!((grant(&mut view, second(0)), grant(&mut view, second(0))), (2, 0));
    let each_half_second: Vec<usize> =
        (1..=6).map(|half| grant(&mut view, at(0) + TimeDelta::milliseconds(500 * half))).collect();
    assert_eq!(each_half_second, [0, 1, 0, 1, 0, 1]);
    assert_eq!(grant(&mut view, second(600)), 2, "idle time adds no credit beyond a batch");
}

#[test]
fn without_a_batch_one_second_of_the_rate_is_granted_at_once() {
    let mut slow = paced(10, None);
    assert_eq!([0, 5, 6, 11, 12].map(|at| grant(&mut slow, second(at))), [1, 0, 1, 0, 1]);
    let mut fast = paced(6_000, None);
    assert_eq!([0, 0, 1, 10].map(|at| grant(&mut fast, second(at))), [100, 0, 100, 100]);
}

#[test]
fn the_time_of_the_next_grant_is_known() {
    let mut view = paced(10, Some(2));
    assert_eq!(view.next_grant_at(second(0)), None, "nothing has been granted");
    grant(&mut view, second(0));
    assert_eq!(view.next_grant_at(second(0)), Some(second(6)));
    assert_eq!(view.next_grant_at(second(6)), None, "it may be now");
    view.waves[0].ready = 0;
    assert_eq!(view.next_grant_at(second(0)), None, "no device is ready then");
    (view.waves[0].ready, view.status) = (1, CampaignStatus::Paused);
    assert_eq!(view.next_grant_at(second(0)), None);
}

#[test]
fn a_new_rate_counts_from_now_on() {
    let mut view = paced(1, Some(10));
    assert_eq!(grant(&mut view, second(0)), 10);
    adjust(&mut view, second(30), Some(60), Some(10));
    assert_eq!([30, 31, 32].map(|at| grant(&mut view, second(at))), [0, 1, 1], "half a device's interval was over");
    adjust(&mut view, second(32), Some(6), Some(1));
    assert_eq!([32, 41, 42].map(|at| grant(&mut view, second(at))), [0, 0, 1], "no more in advance than the new burst");
    adjust(&mut view, second(42), None, None);
    assert_eq!(grant(&mut view, second(42)), 500);
    adjust(&mut view, second(42), Some(60), Some(3));
    assert_eq!(grant(&mut view, second(42)), 3, "devices that began without a rate don't count");
}

proptest! {
    #[test]
    fn no_more_devices_begin_than_burst_and_rate_allow(
        rate in 1..5_000u32, burst in proptest::option::of(1..600u32),
        looks in proptest::collection::vec((0..20_000_000i64, 1..600u32), 1..100),
    ) {
        let mut view = paced(rate, burst);
        let (mut now, mut granted) = (at(0), vec![]);
        for (pause_us, ready) in looks {
            now += TimeDelta::microseconds(pause_us);
            view.waves[0].ready = ready;
            let devices = grant(&mut view, now);
            if devices > 0 {
                granted.push((now, devices));
                check_rate(&granted, rate, view.spec.pace(Transport::Mqtt).burst());
            }
        }
        // Ready devices begin at the announced time.
        view.waves[0].ready = 1;
        if let Some(next) = view.next_grant_at(now) {
            prop_assert_eq!(grant(&mut view.clone(), next - TimeDelta::microseconds(2)), 0);
            prop_assert_eq!(grant(&mut view, next), 1);
        }
    }
}
