//! What is expected of a campaign before it begins.

use crate::campaign::tests::spec;
use crate::campaign::{CampaignSpec, TransportLimits};
use crate::per_transport::PerTransport;
use crate::rollout::{PaceLimit, assumed_update_seconds};

/// Devices of MQTT alone.
fn mqtt<const N: usize>(waves: [u32; N]) -> [PerTransport<u32>; N] {
    waves.map(|devices| PerTransport::of_total(devices, 0))
}

/// An update takes as long by MQTT, and an hour by LoRaWAN.
fn takes(seconds: f64) -> PerTransport<f64> {
    PerTransport { mqtt: seconds, lorawan: 3_600.0 }
}

#[test]
fn the_narrowest_limit_sets_the_pace_of_a_wave() {
    let expected = |slots: u32, rate: Option<u32>, batch: Option<u32>, devices: u32| {
        let mut spec = spec(&[100]);
        (spec.max_concurrent_updates, spec.rate_per_minute, spec.batch_size) = (slots, rate, batch);
        let wave = spec.estimate(&mqtt([devices]), takes(100.0))[0];
        (wave.updating.as_secs(), wave.limited_by)
    };
    assert_eq!(expected(50, None, None, 50), (100, PaceLimit::Update));
    assert_eq!(expected(50, None, None, 51), (200, PaceLimit::Slots));
    assert_eq!(expected(50, None, None, 1_000), (2_000, PaceLimit::Slots));
    assert_eq!(expected(1_000, Some(60), None, 1_000), (999 + 100, PaceLimit::Rate));
    assert_eq!(expected(1_000, Some(60), Some(400), 1_000), (600 + 100, PaceLimit::Rate));
    assert_eq!(expected(1_000, None, Some(10), 1_000), (99 + 100, PaceLimit::Batch));
    assert_eq!(expected(1_000, Some(60), None, 0), (0, PaceLimit::Update));
}

#[test]
fn the_last_device_of_a_wave_begins_at_the_end_of_the_jitter() {
    let expected = |jitter_seconds: u32, devices: u32| {
        let mut spec = spec(&[100]);
        (spec.max_concurrent_updates, spec.jitter_seconds) = (10, Some(jitter_seconds));
        let wave = spec.estimate(&mqtt([devices]), takes(100.0))[0];
        (wave.updating.as_secs(), wave.limited_by)
    };
    assert_eq!(expected(600, 1), (100, PaceLimit::Update));
    assert_eq!(expected(600, 10), (540 + 100, PaceLimit::Jitter));
    assert_eq!(expected(600, 100), (900 + 100, PaceLimit::Slots));
}

#[test]
fn waves_follow_each_other_and_soak() {
    let mut spec = spec(&[10, 50, 100]);
    (spec.soak_minutes, spec.waves[1].soak_minutes) = (10, Some(0));
    let waves = spec.estimate(&mqtt([10, 40, 100]), takes(60.0));
    let seconds: Vec<(u64, u64)> = waves.iter().map(|wave| (wave.updating.as_secs(), wave.soak.as_secs())).collect();
    assert_eq!(seconds, [(60, 600), (60, 0), (120, 600)]);
}

#[test]
fn blue_green_stages_all_devices_and_then_activates_them() {
    let mut spec = spec(&[10, 100]);
    assert_eq!(spec.estimate_staging(&mqtt([10, 90]), takes(200.0)), None);
    spec.strategy = crate::campaign::Strategy::BlueGreen;
    assert_eq!(spec.estimate_staging(&mqtt([10, 90]), takes(200.0)).unwrap().as_secs(), 400, "two rounds of 50 slots");
    let waves = spec.estimate(&mqtt([10, 90]), takes(200.0));
    assert_eq!([waves[0].updating.as_secs(), waves[1].updating.as_secs()], [60, 120]);
}

#[test]
fn without_measurements_an_update_takes_its_download_and_three_minutes() {
    assert_eq!(assumed_update_seconds(0), 180.0);
    assert_eq!(assumed_update_seconds(5_000_001), 281.0);
}

#[test]
fn extreme_numbers_stay_numbers() {
    let mut spec = spec(&[100]);
    (spec.max_concurrent_updates, spec.rate_per_minute) = (1, Some(1));
    let wave = spec.estimate(&mqtt([u32::MAX]), takes(f64::MAX))[0];
    assert_eq!(wave.updating.as_secs(), 100 * 365 * 24 * 3_600);
}

#[test]
fn lorawan_devices_have_a_pace_of_their_own() {
    let mut spec = spec(&[100]);
    (spec.max_concurrent_updates, spec.lorawan.max_concurrent_updates) = (50, Some(10));
    let expected = |spec: &CampaignSpec, mqtt, lorawan| {
        let wave = spec.estimate(&[PerTransport { mqtt, lorawan }], takes(60.0))[0];
        (wave.updating.as_secs(), wave.limited_by)
    };
    assert_eq!(expected(&spec, 1_000, 10), (3_600, PaceLimit::Update));
    assert_eq!(expected(&spec, 1_000, 11), (7_200, PaceLimit::Slots));
    assert_eq!(expected(&spec, 10_000, 11), (12_000, PaceLimit::Slots), "the MQTT devices are slower");
    spec.lorawan = TransportLimits::default();
    assert_eq!(expected(&spec, 1_000, 50), (3_600, PaceLimit::Update), "as many as of MQTT");
}
