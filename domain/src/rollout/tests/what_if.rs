//! The same history under other limits.

use std::collections::BTreeMap;

use super::world::request;
use super::*;
use crate::Decider;
use crate::campaign::tests::{facts, percent, summary, threshold};
use crate::campaign::{Campaign, CampaignCommand as C, CampaignEvent, Evidence, GateKind, GateRollback};
use crate::device::{
    CampaignRef, CodeClass, Device, DeviceCommand, DeviceEvent, Grant, OVERTAKEN, Presence, Profile, Report,
    ReportStatus, UpdateKind, UpdateRequest,
};

const DEVICES: u32 = 20;

/// A campaign in two waves of the same size, in its first one.
fn begun(limits: OtherSettings) -> WhatIf {
    let mut spec = spec(&[50, 100]);
    (spec.gate_min_settled, spec.waves[0].percentage) = (4, percent(50));
    let plan = summary(&[DEVICES / 2, DEVICES / 2]);
    let mut campaign = Campaign::default();
    let mut history = WhatIf::new(campaign_id(), limits);
    for command in [
        C::Create { id: campaign_id(), spec: Box::new(spec) },
        C::Start { plan: plan.plan, firmware: Box::new(facts()), expected: None },
        C::RecordPlan { summary: Box::new(plan) },
    ] {
        for event in campaign.decide(at(0), &command).unwrap() {
            campaign.apply(&event);
            history.apply_campaign(at(0), 1, &event);
        }
    }
    history
}

fn versions(version: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("firmware".to_owned(), version.to_owned())])
}

fn boots(boot: &str, version: &str) -> DeviceCommand {
    Presence { boot_id: Some(boot.into()), versions: versions(version), ..Presence::default() }.into()
}

fn report(ordinal: u32, status: ReportStatus, code: Option<&str>) -> DeviceCommand {
    let code = code.map(str::to_owned);
    Report { ordinal, attempt: 1, status, sha256: None, code, message: None, retry_after_s: None }.into()
}

fn register() -> DeviceCommand {
    DeviceCommand::Register {
        profile: Profile { device_model: Some("wm-200".into()), ..Profile::default() },
        versions: versions("1.0.0"),
    }
}

/// A slot of the first wave.
fn slot(rank: u32, number: u64, request: UpdateRequest) -> DeviceCommand {
    let campaign = CampaignRef { id: campaign_id(), wave: 1, rank, round: 0 };
    DeviceCommand::GrantSlot { request: Box::new(request), grant: Grant { campaign, number, wait_until: at(10_000) } }
}

/// The events of a new device after these commands.
fn events_of(now: DateTime<Utc>, commands: &[DeviceCommand]) -> Vec<DeviceEvent> {
    let mut device = Device::default();
    let decide = |command: &DeviceCommand| {
        let events = device.decide(now, command).unwrap();
        events.iter().for_each(|event| device.apply(event));
        events
    };
    commands.iter().flat_map(decide).collect()
}

/// All events of a device that takes part, in its life from the registration to the end of its update.
fn device_events(n: u32, kind: UpdateKind, succeeds: bool) -> Vec<DeviceEvent> {
    let target = if kind == UpdateKind::Rollback { "0.9.0" } else { "2.0.0" };
    let mut commands = vec![
        register(),
        boots("b1", "1.0.0"),
        slot(n, 1, request(target, kind)),
        report(1, ReportStatus::Received, None),
    ];
    match succeeds {
        true => commands.extend([report(1, ReportStatus::Installing, None), boots("b2", target)]),
        false => commands.push(report(1, ReportStatus::Failed, Some("unsupported"))),
    }
    events_of(at(n.into()), &commands)
}

/// A device of the first wave answers, and then succeeds or fails.
fn settles(history: &mut WhatIf, n: u32, succeeds: bool) {
    let device = DeviceId::new(format!("d-{n}")).unwrap();
    for event in device_events(n, UpdateKind::Update, succeeds) {
        history.apply_device(at(n.into()), u64::from(n) + 10, &device, &event);
    }
}

#[test]
fn a_stricter_limit_would_have_stopped_earlier() {
    let strict = OtherSettings { failure_threshold_percent: Some(threshold(10)), ..OtherSettings::default() };
    for (limits, stops_at) in [(OtherSettings::default(), None), (strict, Some(5))] {
        let mut history = begun(limits);
        // One of five fails: 20 % is within the campaign's own limit.
        (1..=10).for_each(|n| settles(&mut history, n, n % 5 != 0));
        let stop = history.would_stop.as_ref();
        assert_eq!(stop.map(|stop| (stop.position, stop.reached)), stops_at.map(|n: u32| (u64::from(n) + 10, n)));
        assert_eq!((history.reached(), &history.stopped), (10, &None));
        if let Some(stop) = stop {
            assert_eq!((stop.result.gate, stop.result.measured_percent()), (GateKind::Failure, 20));
            assert_eq!(stop.result.evidence.devices, [DeviceId::new("d-5").unwrap()]);
        }
    }
}

#[test]
fn a_count_stops_before_a_share_can_be_judged() {
    let count = OtherSettings { failure_count: Some(1), ..OtherSettings::default() };
    let mut history = begun(count);
    settles(&mut history, 1, true);
    settles(&mut history, 2, false);
    assert_eq!(history.would_stop.map(|stop| stop.position), Some(12));
}

#[test]
fn a_looser_limit_would_not_have_stopped_where_the_campaign_did() {
    let loose = OtherSettings { failure_threshold_percent: Some(threshold(60)), ..OtherSettings::default() };
    let mut history = begun(loose);
    (1..=4).for_each(|n| settles(&mut history, n, n > 2));
    let evidence = Evidence { settled: 4, failed: 2, ..Evidence::default() };
    let closed = CampaignEvent::GateClosed {
        gate: GateKind::Failure,
        wave: Some(1),
        threshold_percent: 20,
        evidence,
        rollback: GateRollback::NotWanted,
    };
    history.apply_campaign(at(9), 99, &closed);
    assert_eq!((history.would_stop, history.stopped.map(|stop| stop.position)), (None, Some(99)));
}

#[test]
fn another_success_threshold_judges_what_was_judged() {
    let strict = OtherSettings { success_threshold_percent: Some(threshold(95)), ..OtherSettings::default() };
    let mut history = begun(strict);
    let evidence = Evidence { settled: 10, confirmed: 9, failed: 1, ..Evidence::default() };
    let passed = CampaignEvent::GatePassed { wave: 1, evidence, soak_minutes: 0 };
    history.apply_campaign(at(9), 99, &passed);
    let stop = history.would_stop.unwrap();
    assert_eq!((stop.result.gate, stop.result.limit_percent), (GateKind::Success, 95));
}

#[test]
fn what_takes_devices_back_is_not_judged() {
    let count = OtherSettings { failure_count: Some(1), ..OtherSettings::default() };
    let mut history = begun(count);
    let device = DeviceId::new("d-1").unwrap();
    for event in device_events(1, UpdateKind::Rollback, false) {
        history.apply_device(at(1), 20, &device, &event);
    }
    assert_eq!(history.would_stop, None);
}

/// The first `touched` of twenty devices, in two waves of ten. Each takes ten minutes from its turn to its end, and every fifth fails.
fn recorded(settings: OtherSettings, touched: u32) -> WhatIf {
    let mut history = begun(settings);
    (0..touched).for_each(|rank| {
        let device = DeviceId::new(format!("d-{rank}")).unwrap();
        let events = device_events(rank, UpdateKind::Update, rank % 5 != 4);
        let last = events.len() - 1;
        for (index, event) in events.iter().enumerate() {
            let minutes = if index == last { 10 } else { 0 };
            history.apply_device(at(i64::from(rank) + minutes), u64::from(rank) + 10, &device, event);
        }
    });
    history
}

fn waves(percentages: &[u8]) -> Option<Vec<crate::campaign::WaveSpec>> {
    Some(spec(percentages).waves)
}

fn minutes(course: &Course) -> i64 {
    course.after.num_minutes()
}

#[test]
fn a_course_with_its_own_settings_gives_what_happened() {
    let courses = recorded(OtherSettings::default(), 20).courses().unwrap();
    assert_eq!((courses.unknown, &courses.if_unknown_confirm), (0, &courses.if_unknown_fail));
    let course = courses.if_unknown_confirm;
    assert_eq!(course.end, CourseEnd::Finished(CampaignResult::CompletedWithFailures));
    let Counts { confirmed, failed, reached, .. } = course.counts;
    assert_eq!((course.begun, reached, confirmed, failed, course.unknown), (20, 20, 16, 4, 0));
}

#[test]
fn a_course_stops_where_a_gate_closes_and_says_how_many_had_begun() {
    let strict = OtherSettings { failure_threshold_percent: Some(threshold(10)), ..OtherSettings::default() };
    let course = recorded(strict, 20).courses().unwrap().if_unknown_fail;
    let CourseEnd::Stopped(result) = &course.end else { panic!("{course:?}") };
    assert_eq!((result.gate, result.wave, result.limit_percent), (GateKind::Failure, Some(1), 10));
    assert_eq!(result.evidence.devices, ["d-4", "d-9"].map(|name| DeviceId::new(name).unwrap()));
    assert_eq!((course.begun, minutes(&course)), (10, 10), "all of the first wave began at once");
}

/// Devices 4 and 9 of the first wave fail in their second attempt.
#[test]
fn the_success_gate_of_a_course_names_devices_that_failed_after_a_retry() {
    let mut history = begun(OtherSettings {
        failure_threshold_percent: Some(threshold(60)),
        success_threshold_percent: Some(threshold(95)),
        ..OtherSettings::default()
    });
    for rank in 0..DEVICES / 2 {
        let device = DeviceId::new(format!("d-{rank}")).unwrap();
        let fails = rank % 5 == 4;
        let mut events = device_events(rank, UpdateKind::Update, !fails);
        let last = events.pop().unwrap();
        events.iter().for_each(|event| history.apply_device(at(0), 10, &device, event));
        if fails {
            let (update, code, class) = (last.update().cloned().unwrap(), "boot_failed".to_owned(), CodeClass::Image);
            let retried =
                DeviceEvent::UpdateAttemptFailed { update, code, class, message: None, retry_at: at(6), mark: None };
            history.apply_device(at(5), 10, &device, &retried);
        }
        history.apply_device(at(10), 10, &device, &last);
    }
    let course = history.courses().unwrap().if_unknown_confirm;
    let CourseEnd::Stopped(result) = &course.end else { panic!("{course:?}") };
    assert_eq!((result.gate, result.wave), (GateKind::Success, Some(1)));
    assert_eq!(result.evidence.devices, ["d-4", "d-9"].map(|name| DeviceId::new(name).unwrap()));
}

#[test]
fn fewer_devices_at_a_time_spare_devices_and_take_longer() {
    let one_by_one = |max_concurrent_updates| OtherSettings {
        failure_threshold_percent: Some(threshold(10)),
        max_concurrent_updates: Some(max_concurrent_updates),
        ..OtherSettings::default()
    };
    for (slots, begun, after) in [(1, 5, 50), (2, 6, 30), (100, 10, 10)] {
        let course = recorded(one_by_one(slots), 20).courses().unwrap().if_unknown_confirm;
        assert!(matches!(course.end, CourseEnd::Stopped(_)), "{course:?}");
        assert_eq!((course.begun, minutes(&course)), (begun, after), "with {slots} slots");
    }
}

#[test]
fn other_waves_take_the_same_devices_in_the_same_order() {
    let small = OtherSettings { waves: waves(&[25, 50, 100]), ..OtherSettings::default() };
    let course = recorded(small.clone(), 20).courses().unwrap().if_unknown_confirm;
    assert_eq!((course.begun, course.counts.enrolled, minutes(&course)), (20, 20, 30), "three waves of ten minutes");
    let strict = OtherSettings { failure_threshold_percent: Some(threshold(10)), ..small };
    let course = recorded(strict, 20).courses().unwrap().if_unknown_confirm;
    assert_eq!(course.begun, 5, "the fifth device fails in the first wave");
}

#[test]
fn what_is_not_known_gives_bounds() {
    // Ten devices had their turn, then somebody stopped the campaign.
    let courses = recorded(OtherSettings::default(), 10).courses().unwrap();
    let (best, worst) = (&courses.if_unknown_confirm, &courses.if_unknown_fail);
    assert_eq!((courses.unknown, best.unknown, worst.unknown), (10, 10, 10));
    assert_eq!(best.end, CourseEnd::Finished(CampaignResult::CompletedWithFailures));
    assert_eq!((best.counts.confirmed, minutes(best)), (18, 20), "they take as long as the others did");
    let CourseEnd::Stopped(result) = &worst.end else { panic!("{worst:?}") };
    assert_eq!((result.gate, result.wave), (GateKind::Failure, Some(2)));
}

#[test]
fn devices_with_ddi_have_the_slots_of_mqtt_devices_in_a_course() {
    let mut history = begun(OtherSettings::default());
    for rank in 0..DEVICES {
        let device = DeviceId::new(format!("d-{rank}")).unwrap();
        for mut event in device_events(rank, UpdateKind::Update, true) {
            if let DeviceEvent::UpdateQueued { spec, .. } = &mut event {
                spec.transport = Transport::Ddi;
            }
            history.apply_device(at(rank.into()), u64::from(rank) + 10, &device, &event);
        }
    }
    let course = history.courses().unwrap().if_unknown_fail;
    assert_eq!((course.end, course.begun), (CourseEnd::Finished(CampaignResult::Completed), DEVICES));
}

/// Its campaign's update waits while the device takes an update of an operator, and goes on under another ordinal.
#[test]
fn an_overtaken_device_has_the_outcome_of_the_update_that_continues() {
    let events = events_of(
        at(0),
        &[
            register(),
            slot(0, 1, request("2.0.0", UpdateKind::Update)),
            DeviceCommand::RequestUpdate { request: Box::new(request("1.5.0", UpdateKind::Update)) },
            boots("b1", "1.0.0"),
            report(2, ReportStatus::Received, None),
            report(2, ReportStatus::Installing, None),
            boots("b2", "1.5.0"),
            slot(0, 2, request("2.0.0", UpdateKind::Update)),
            report(3, ReportStatus::Received, None),
            report(3, ReportStatus::Installing, None),
            boots("b3", "2.0.0"),
        ],
    );
    let is_overtaken =
        |event: &DeviceEvent| matches!(event, DeviceEvent::UpdateSuperseded { reason, .. } if reason == OVERTAKEN);
    assert!(events.iter().any(is_overtaken), "{events:?}");
    let mut history = begun(OtherSettings::default());
    let device = DeviceId::new("d-0").unwrap();
    events.iter().for_each(|event| history.apply_device(at(0), 10, &device, event));
    let courses = history.courses().unwrap();
    assert_eq!(courses.unknown, DEVICES - 1);
    let Counts { confirmed, superseded, .. } = courses.if_unknown_confirm.counts;
    assert_eq!((confirmed, superseded), (DEVICES, 0));
}

#[test]
fn other_waves_have_the_rules_of_a_campaign() {
    let check = |percentages: &[u8]| {
        let settings = OtherSettings { waves: waves(percentages), ..OtherSettings::default() };
        settings.check(&spec(&[50, 100]), at(0)).map_err(|rejection| rejection.code())
    };
    assert_eq!((check(&[10, 100]), check(&[10, 50]), check(&[50, 10, 100])), (Ok(()), Err("invalid"), Err("invalid")));
}
