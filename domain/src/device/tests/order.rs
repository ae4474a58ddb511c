//! Messages of a device have an order: a message that is older than an applied one is late, however often it is delivered.

use ReportStatus as S;

use super::*;

const STORE_MS: u64 = 1_700_000_000_000;
const CONFIRMED: &str = "update.confirmed 1/1 2.0.0";
const FELL_BACK: &str = "update.attempt_failed 1/1 version_regressed";

fn place(topic: MarkTopic, sequence: u64) -> Arrival {
    Arrival { mark: Some(Mark { topic, incarnation_ms: STORE_MS, sequence, frame: None }), ..Arrival::default() }
}

/// The message with its number in the broker's store.
pub(super) fn nth(sequence: u64, message: DeviceCommand) -> DeviceCommand {
    let topic = match &message {
        DeviceCommand::ReportInfo { .. } => MarkTopic::Info,
        DeviceCommand::Report { .. } => MarkTopic::Report,
        _ => MarkTopic::Status,
    };
    message.arrived(place(topic, sequence))
}

/// The same, while an older message of its topic isn't processed yet.
pub(super) fn overtaking(sequence: u64, message: DeviceCommand) -> DeviceCommand {
    let mut message = nth(sequence, message);
    if let DeviceCommand::ReportPresence { arrival, .. } | DeviceCommand::ReportInfo { arrival, .. } = &mut message {
        arrival.overtakes = true;
    }
    message
}

/// Working on 2.0.0 since message 10.
fn installing() -> Vec<DeviceCommand> {
    [online(), vec![update_to("2.0.0"), nth(10, says(S::Installing))]].concat()
}

fn deferred_until(device: &Device) -> Option<i64> {
    let update = device.update(1).filter(|update| update.phase == Phase::Deferred)?;
    update.not_before.map(|until| (until - at(0)).num_seconds())
}

#[test]
fn a_status_that_is_read_late_changes_no_version_and_proves_nothing() {
    let fell_back = [installing(), vec![nth(30, status("b3", "1.0.0"))]].concat();
    given(fell_back.clone()).when(nth(20, status("b2", "2.0.0"))).then(&["device.reported_late 2.0.0"]);
    let device = state_of(&[fell_back, vec![nth(20, status("b2", "2.0.0"))]].concat());
    assert_eq!((device.versions, device.boots.back().unwrap().as_str()), (versions("1.0.0"), "b3"));
    assert!(device.confirmed.is_empty());
}

#[test]
fn a_status_that_is_read_late_regresses_nothing() {
    let confirmed = [installing(), vec![nth(30, status("b3", "2.0.0"))]].concat();
    given(confirmed.clone()).when(nth(20, status("b2", "1.0.0"))).then(&["device.reported_late 1.0.0"]);
    given(confirmed)
        .when(nth(40, status("b4", "1.0.0")))
        .then(&["device.versions_reported 1.0.0", "device.version_regressed 1/1 2.0.0 to 1.0.0"]);
}

#[test]
fn a_late_status_fails_nothing_and_its_last_update_is_ignored() {
    let failed = Report { code: Some("install_failed".into()), ..plain_report(1, 1, S::Failed) };
    let late = DeviceCommand::from(Presence { last_update: Some(failed), ..presence("b2", "1.0.0") });
    let on_trial = [installing(), vec![nth(30, trial("b3", "2.0.0"))]].concat();
    given(on_trial).when(nth(20, late)).then(&["device.reported_late 1.0.0"]);
}

#[test]
fn a_late_status_is_recorded_once_and_sets_no_device_online() {
    let gone = [installing(), vec![nth(30, status("b3", "1.0.0")), lost()]].concat();
    let late = nth(20, status("b2", "2.0.0"));
    given(gone.clone()).when(late.clone()).then(&["device.reported_late 2.0.0"]);
    let kept = [gone, vec![late.clone()]].concat();
    given(kept.clone()).when(late).then(&[]);
    given(kept.clone()).when(nth(21, status("b2", "2.0.0"))).then(&[]);
    given(kept.clone()).when(nth(11, status("b1", "1.0.0"))).then(&[]);
    given(kept).when(nth(30, status("b3", "1.0.0"))).then(&[]);
}

#[test]
fn the_list_of_late_messages_is_bounded() {
    let mut past = vec![register(), nth(900, status("b0", "1.0.0"))];
    past.extend((1..100).map(|n| nth(n, status(&format!("late-{n}"), "2.0.0"))));
    let device = state_of(&past);
    assert_eq!((device.late.len(), device.boots.len()), (LATE_KEPT_MAX, 1));
}

#[test]
fn a_late_status_without_boot_id_is_late_too() {
    let past = vec![register(), nth(10, status_without_boot("3.0.0")), nth(30, status_without_boot("1.0.0"))];
    given(past.clone()).when(nth(20, status_without_boot("2.0.0"))).then(&["device.reported_late 2.0.0"]);
    given(past).when(nth(20, status_without_boot("1.0.0"))).then(&[]);
}

/// A repeated `status` stores no event, so another process could take an older one for newer. This one stores an event for its mark.
#[test]
fn a_status_that_overtakes_another_stores_its_mark() {
    let past = vec![register(), nth(10, status_without_boot("1.0.0"))];
    given(past.clone()).when(nth(30, status_without_boot("1.0.0"))).then(&[]);
    let overtook = overtaking(30, status_without_boot("1.0.0"));
    given(past.clone()).when(overtook.clone()).then(&["device.versions_reported"]);
    let marked = [past, vec![overtook.clone()]].concat();
    given(marked.clone()).when(overtook).then(&[]);
    given(marked).when(nth(20, status_without_boot("2.0.0"))).then(&["device.reported_late 2.0.0"]);
    let mark = DeviceEvent::VersionsReported {
        boot_id: None,
        versions: BTreeMap::new(),
        slot: None,
        trial: true,
        mark: place(MarkTopic::Status, 1).mark,
    };
    assert!(!mark.is_self_report(), "it is never throttled");
}

#[test]
fn an_update_that_begins_with_a_status_does_not_replace_its_mark() {
    let failed = given(working(S::Downloading)).and(0, fails(1, "download_failed"));
    failed
        .when_at(30, overtaking(30, status("b1", "1.0.0")))
        .then(&["update.dispatched 1/2", "device.versions_reported"]);
}

#[test]
fn a_status_of_an_earlier_boot_has_no_effect_even_if_it_arrives_later() {
    let past = [installing(), vec![nth(30, status("b2", "1.0.0"))]].concat();
    let again = overtaking(50, status("b1", "1.0.0"));
    given(past.clone()).when(again.clone()).then(&[]);
    given([past, vec![again]].concat()).when(nth(40, status("b3", "2.0.0"))).then(&[CONFIRMED]);
}

#[test]
fn an_older_report_does_not_change_an_update() {
    let working = [installing(), vec![nth(40, says(S::Rebooting))]].concat();
    for word in [S::Failed, S::Rejected, S::Completed] {
        let late = format!("update.reported_late 1/1 {}", word.word());
        given(working.clone()).when(nth(20, says(word))).then(&[&late]);
        given([working.clone(), vec![nth(20, says(word))]].concat()).when(nth(21, says(word))).then(&[]);
    }
    let received = [dispatched(), vec![nth(40, says(S::Received))]].concat();
    given(received.clone()).when(nth(20, defers(1, 60))).then(&["update.reported_late 1/1 deferred"]);
    let deferred = [received, vec![nth(50, defers(1, 60))]].concat();
    given(deferred).when(nth(45, says(S::Downloading))).then(&[]);
}

#[test]
fn a_report_does_not_make_a_status_late() {
    let past = [installing(), vec![nth(40, says(S::Completed))]].concat();
    given(past).when(nth(30, status("b2", "2.0.0"))).then(&[CONFIRMED]);
    let failed = [installing(), vec![nth(40, status("b2", "1.0.0"))]].concat();
    given(failed).when(nth(30, says(S::Rebooting))).then(&[]);
}

#[test]
fn an_older_info_does_not_override() {
    let info = |slots| DeviceCommand::from(Info { slots: Some(slots), ..Info::default() });
    let past = [online(), vec![nth(30, info(2))]].concat();
    given(past.clone()).when(nth(20, info(1))).then(&[]);
    given(past.clone()).when(nth(40, info(1))).then(&["device.info_reported"]);
    given(past.clone()).when(nth(40, info(2))).then(&[]);
    given(past.clone()).when(overtaking(40, info(2))).then(&["device.info_reported"]);
    given([past, vec![overtaking(40, info(2))]].concat()).when(nth(35, info(1))).then(&[]);
}

#[test]
fn events_without_marks_are_older_than_any() {
    let past = [working(S::Installing), vec![status("b3", "1.0.0")]].concat();
    given(past).when(nth(1, status("b4", "2.0.0"))).then(&[CONFIRMED]);
    given(working(S::Rebooting)).when(status("b2", "1.0.0")).then(&["device.versions_reported", FELL_BACK]);
}

#[test]
fn the_arrival_is_not_part_of_the_command() {
    let plain = serde_json::to_string(&status("b1", "1.0.0")).unwrap();
    assert_eq!(serde_json::to_string(&overtaking(7, status("b1", "1.0.0"))).unwrap(), plain);
    assert!(!plain.contains("arrival"), "{plain}");
}

#[test]
fn a_deferral_in_last_update_does_not_defer() {
    let echo =
        |word| DeviceCommand::from(Presence { last_update: Some(plain_report(1, 1, word)), ..presence("b1", "1.0.0") });
    let busy = Report { code: Some("busy".into()), ..plain_report(1, 1, S::Failed) };
    let busy = DeviceCommand::from(Presence { last_update: Some(busy), ..presence("b1", "1.0.0") });
    for past in [dispatched(), working(S::Received), working(S::Downloading)] {
        given(past.clone()).when(echo(S::Deferred)).then(&[]);
        given(past).when(busy.clone()).then(&[]);
    }
    let over = given(dispatched()).and(0, defers(1, 60)).and(60, expire(1, 1, Phase::Deferred, Clock::Phase));
    over.when_at(60, echo(S::Deferred)).then(&[]);
}

#[test]
fn last_update_neither_ends_a_deferral_nor_starts_a_clock() {
    let echo =
        |word| DeviceCommand::from(Presence { last_update: Some(plain_report(1, 1, word)), ..presence("b1", "1.0.0") });
    let deferred = [working(S::Downloading), vec![defers(1, 60)]].concat();
    for word in [S::Received, S::Downloading, S::Verifying, S::Installing, S::Rebooting] {
        given(deferred.clone()).when(echo(word)).then(&[]);
        given(deferred.clone()).and(60, expire(1, 1, Phase::Deferred, Clock::Phase)).when_at(60, echo(word)).then(&[]);
    }
    given(dispatched()).when(echo(S::Received)).then(&["update.accepted 1/1"]);
    given(working(S::Received)).when(echo(S::Downloading)).then(&["update.downloading 1/1"]);
    given(deferred).when(echo(S::Failed)).then(&["update.accepted 1/1", "update.attempt_failed 1/1 install_failed"]);
}

#[test]
fn a_second_deferral_sets_another_time() {
    let deferred = [dispatched(), vec![nth(10, defers(1, 600))]].concat();
    for (seconds, until) in [(60, 60), (3_600, 3_600)] {
        given(deferred.clone()).when(nth(20, defers(1, seconds))).then(&["update.deferred 1/1"]);
        let device = state_of(&[deferred.clone(), vec![nth(20, defers(1, seconds))]].concat());
        assert_eq!(deferred_until(&device), Some(until));
        let unnumbered = [dispatched(), vec![defers(1, 600), defers(1, seconds)]].concat();
        assert_eq!(deferred_until(&state_of(&unnumbered)), Some(until));
    }
    given(deferred.clone()).when(nth(10, defers(1, 600))).then(&[]);
    given(deferred.clone()).when_at(299, nth(20, defers(1, 600))).then(&[]);
    given(deferred).when_at(301, nth(20, defers(1, 600))).then(&["update.deferred 1/1"]);
    let unnumbered = [dispatched(), vec![defers(1, 600)]].concat();
    given(unnumbered).when_at(599, defers(1, 600)).then(&[]);
}

/// A `status` in an uplink, with its number in the queue and its frame counter, which is its time, too.
fn uplink(sequence: u64, f_cnt: u32, message: DeviceCommand) -> DeviceCommand {
    let frame = Some(Frame { dev_addr: 1, f_cnt, at: at(f_cnt.into()) });
    let mark = Some(Mark { topic: MarkTopic::Uplink, incarnation_ms: 5, sequence, frame });
    message.arrived(Arrival { mark, ..Arrival::default() })
}

#[test]
fn a_boot_in_an_uplink_that_another_process_handles_late_changes_nothing() {
    let installing = || [online(), vec![update_to("2.0.0"), says(S::Installing)]].concat();
    let fell_back = [installing(), vec![uplink(30, 8, status("b3", "1.0.0"))]].concat();
    given(fell_back.clone()).when(uplink(20, 7, status("b2", "2.0.0"))).then(&["device.reported_late 2.0.0"]);
    given(fell_back.clone()).when(uplink(30, 8, status("b3", "1.0.0"))).then(&[]);
    given(fell_back).when(uplink(40, 7, status("b2", "2.0.0"))).then(&["device.reported_late 2.0.0"]);
    let confirmed = [installing(), vec![uplink(30, 8, status("b2", "2.0.0"))]].concat();
    given(confirmed.clone()).when(uplink(29, 7, status("b9", "1.0.0"))).then(&["device.reported_late 1.0.0"]);
    given(confirmed)
        .when(uplink(29, 9, status("b9", "1.0.0")))
        .then(&["device.versions_reported 1.0.0", "device.version_regressed 1/1 2.0.0 to 1.0.0"]);
}
