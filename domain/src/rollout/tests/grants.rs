//! How many slots one round may grant.

use super::*;

fn ready(ready: u32, in_use: u32) -> Counts {
    Counts { enrolled: 1_000, ready, in_use, ..Counts::default() }
}

/// Ready, in use, batch, rate per minute, devices granted ahead of the rate, decision.
type Row = (u32, u32, Option<u32>, Option<u32>, usize, &'static [&'static str]);

#[test]
fn grants_are_bounded_by_slots_batch_rate_and_devices_that_are_ready() {
    let table: [Row; 8] = [
        (100, 0, None, None, 0, &["grant 50"]),
        (100, 45, None, None, 0, &["grant 5"]),
        (100, 50, None, None, 0, &[]),
        (100, 60, None, None, 0, &[]),
        (3, 0, None, None, 0, &["grant 3"]),
        (100, 0, Some(20), None, 0, &["grant 20"]),
        (100, 0, Some(20), Some(30), 8, &["grant 12"]),
        (100, 0, Some(20), Some(30), 20, &[]),
    ];
    for (devices, in_use, batch_size, rate_per_minute, in_advance, expected) in table {
        let mut view = running(ready(devices, in_use), Counts::default());
        (view.spec.batch_size, view.spec.rate_per_minute) = (batch_size, rate_per_minute);
        let devices = PerTransport { mqtt: in_advance, lorawan: 0 };
        view.paced_until = view.spec.paced_until(PacedUntil::default(), at(1), devices);
        decides(&view, 1, expected);
    }
}

#[test]
fn one_grant_names_no_more_devices_than_fit_in_a_record() {
    let mut view = running(ready(5_000, 0), Counts::default());
    view.spec.max_concurrent_updates = 5_000;
    decides(&view, 1, &["grant 500"]);
}

#[test]
fn only_open_waves_are_granted_and_slots_are_counted_over_all() {
    let mut view = running(ready(10, 30), ready(100, 15));
    decides(&view, 1, &["grant 5"]);
    view.waves[0].ready = 0;
    decides(&view, 1, &[]);
    view.wave = 2;
    decides(&view, 1, &["grant 5"]);
}

#[test]
fn no_slots_are_granted_after_a_failed_gate_or_in_a_pause() {
    let failing = Counts { ready: 50, enrolled: 100, ..settled(100, 5, 6) };
    let mut view = running(failing, Counts::default());
    decides(&view, 1, &["close Failure 1 at 20"]);
    view.status = CampaignStatus::Paused;
    decides(&view, 1, &["withdraw"]);
}

#[test]
fn a_pause_does_not_postpone_the_end() {
    let mut view = running(Counts { ready: 5, ..settled(10, 4, 1) }, Counts { enrolled: 10, ..Counts::default() });
    (view.status, view.ends_at) = (CampaignStatus::Paused, Some(at(5)));
    decides(&view, 4, &["withdraw"]);
    decides(&view, 5, &["finish CompletedWithFailures"]);
    (view.waves[0].in_use, view.waves[0].working) = (1, 0);
    decides(&view, 5, &["withdraw"]);
    (view.waves[0].in_use, view.waves[0].working) = (0, 1);
    decides(&view, 5, &["withdraw"]);
    view.waves.clear();
    view.wave = 0;
    decides(&view, 5, &["finish Failed"]);
}

#[test]
fn each_transport_has_slots_and_a_rate_of_its_own() {
    let mixed = Counts { lorawan_ready: 30, lorawan_in_use: 8, ..ready(100, 20) };
    let mut view = running(mixed, Counts::default());
    decides(&view, 1, &["grant 38 and 30 LoRaWAN"]);
    view.spec.lorawan.max_concurrent_updates = Some(10);
    decides(&view, 1, &["grant 38 and 2 LoRaWAN"]);
    // LoRaWAN devices hold no slots of MQTT devices, and the reverse.
    (view.waves[0].in_use, view.waves[0].lorawan_in_use) = (20, 10);
    decides(&view, 1, &["grant 40"]);
    (view.waves[0].in_use, view.waves[0].lorawan_in_use) = (58, 8);
    decides(&view, 1, &["grant 0 and 2 LoRaWAN"]);
    view.spec.lorawan.rate_per_minute = Some(1);
    let granted = view.spec.paced_until(view.paced_until, at(1), PerTransport { mqtt: 40, lorawan: 1 });
    assert_eq!((granted.mqtt, granted.lorawan), (None, Some(at(2))));
    view.paced_until = granted;
    decides(&view, 1, &[]);
    assert_eq!(view.next_grant_at(at(1)), Some(at(2)));
    decides(&view, 2, &["grant 0 and 1 LoRaWAN"]);
}
