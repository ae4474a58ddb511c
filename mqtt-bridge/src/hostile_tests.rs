//! Generated and known bad messages of devices: nothing panics, and nothing belongs to another device than its topic says. The generator
//! has a fixed seed.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::topics::DeviceTopic;
use crate::wire::{
    InfoMessage, LogPiece, MEASUREMENTS_MAX_BYTES, MESSAGE_MAX_BYTES, Measurements, PresenceMessage, RunReport,
    StatusReport,
};

/// Cases of each test; in a long test run 20 times as many.
const CASES: u32 = 1_000;
/// Longest text that an error repeats, with its reason, in bytes.
const REASON_MAX_BYTES: usize = 1_024;

/// Messages as devices send them, to be changed.
const VALID: [&str; 5] = [
    r#"{"v":1,"attempt":2,"status":"failed","code":"flash_write_failed","message":"sector 7","progress":40,"bytes":1024,"seq":9,"ts":"2027-01-15T08:00:00Z","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#,
    r#"{"v":1,"status":"online","firmware_version":"1.2.3","battery_level":80.5,"signal_strength":-70,"boot_id":7,"external_power":true,"ts":1800000000}"#,
    r#"{"v":1,"device_model":"M1","hardware_version":"1.2","versions":{"firmware":"1.0.0","modem":"2"},"slots":2,"protocol":1}"#,
    r#"{"status":"failed","code":"x_no_space","message":"sector 7","result":{"lines":[1,{"a":null}]}}"#,
    r#"{"ts":"2027-01-15T08:00:00Z","temperature":21.5,"list":[1,2,{"a":null}]}"#,
];

/// Messages that have broken parsers.
fn known_bad() -> Vec<Vec<u8>> {
    let fixed: [&[u8]; 16] = [
        b"",
        b" ",
        b"{",
        b"}",
        b"null",
        b"[]",
        b"\"\"",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{\"status\":\"\xff\"}",
        b"{\"status\":\"\\ud800\"}",
        b"{\"attempt\":1e400}",
        b"{\"attempt\":-0}",
        b"{\"attempt\":18446744073709551616}",
        b"{\"ts\":1e308,\"status\":\"online\"}",
    ];
    let nested = ["[", "{\"a\":", "[{\"a\":"].map(|open| open.repeat(MESSAGE_MAX_BYTES / open.len()));
    let inside = nested.clone().map(|nested| format!("{{\"status\":\"online\",\"versions\":{nested}"));
    let large =
        [" ".repeat(MEASUREMENTS_MAX_BYTES + 1), format!("{{\"a\":\"{}\"}}", "x".repeat(MEASUREMENTS_MAX_BYTES))];
    let keys = format!("{{{}\"b\":1}}", "\"a\":1,".repeat(1_000));
    let digits = format!("{{\"attempt\":{},\"ts\":{}}}", "9".repeat(4_000), "1".repeat(4_000));
    let texts = nested.into_iter().chain(inside).chain(large).chain([keys, digits]);
    fixed.into_iter().map(<[u8]>::to_vec).chain(texts.map(String::into_bytes)).collect()
}

pub(crate) fn config() -> ProptestConfig {
    let is_long = std::env::var_os("WAYBILL_TEST_LONG").is_some_and(|value| value == "1");
    let cases = if is_long { 20 * CASES } else { CASES };
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

/// Reads a payload as every kind of message; returns the reasons of those that are malformed.
fn read(payload: &[u8]) -> Vec<String> {
    let report = StatusReport::read(payload).and_then(|report| {
        drop((report.ignored(), report.to_report(7)?));
        Ok(())
    });
    let presence = PresenceMessage::read(payload).and_then(|presence| {
        drop((presence.ignored(), presence.to_contact(), presence.to_presence()?));
        Ok(())
    });
    let info = InfoMessage::read(payload).and_then(|info| info.to_info().map(drop));
    let measurements = Measurements::read(payload).map(drop);
    let run = RunReport::read(payload).and_then(|report| {
        drop((report.ignored(), report.to_report(7)?));
        Ok(())
    });
    drop(LogPiece::read(payload));
    [report, presence, info, measurements, run]
        .into_iter()
        .filter_map(|read| read.err().map(|error| error.to_string()))
        .collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_payload_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
        drop((read(&bytes), read(text.as_bytes())));
    }

    #[test]
    fn no_changed_message_panics(
        message in prop::sample::select(&VALID[..]), at in any::<prop::sample::Index>(), until in any::<prop::sample::Index>(),
        with in prop_oneof![
            Just("null".to_owned()), Just("-1".to_owned()), Just("1e308".to_owned()), Just("\"\"".to_owned()), Just("{}".to_owned()),
            Just("[[]]".to_owned()), "[0-9.e+-]{1,30}", "[\"{}\\[\\],:\\\\u0-9]{1,10}", ".{1,300}",
        ],
    ) {
        let (mut at, mut until) = (at.index(message.len()), until.index(message.len()));
        if at > until {
            std::mem::swap(&mut at, &mut until);
        }
        let changed = [&message.as_bytes()[..at], with.as_bytes(), &message.as_bytes()[until..]].concat();
        for reason in read(&changed) {
            prop_assert!(reason.len() <= REASON_MAX_BYTES, "{} bytes", reason.len());
        }
        // A value changed as a whole.
        if let Some((head, tail)) = message.split_once(':') {
            let tail = tail.split_once(',').map_or("}", |(_, tail)| tail);
            drop(read(format!("{head}:{with},{tail}").as_bytes()));
        }
    }

    #[test]
    fn a_topic_belongs_to_the_device_that_it_names(text in ".{0,80}|([a-z0-9.*>#+$-]{0,8}/){0,7}[a-zA-Z0-9.*>#+$:-]{0,8}|[a-z-]{1,8}/devices/[A-Za-z0-9:_.-]{1,10}/[a-z0-9/]{0,30}") {
        for topic in [DeviceTopic::parse(&text), DeviceTopic::from_subject(&text), DeviceTopic::from_stored_subject(&text)] {
            let Ok(topic) = topic else { continue };
            let spelt = topic.to_string();
            let parts: Vec<&str> = spelt.split('/').collect();
            prop_assert!(parts.len() >= 4 && parts[1] == "devices", "{spelt}");
            prop_assert!(!spelt.contains(['*', '>', '#', '+', ' ', '$', '\0']), "{spelt}");
            prop_assert_eq!(DeviceTopic::parse(&spelt), Ok(topic));
        }
    }
}

#[test]
fn known_bad_messages_are_read_as_malformed_or_ignored() {
    for payload in known_bad() {
        for reason in read(&payload) {
            assert!(reason.len() <= REASON_MAX_BYTES, "{} bytes", reason.len());
        }
    }
    for message in VALID {
        assert!(read(message.as_bytes()).len() < 5, "{message} is something");
    }
}

#[test]
fn known_bad_topics_belong_to_nobody() {
    let long = format!("acme/devices/{}/status", "d".repeat(100_000));
    for topic in [
        "",
        "/",
        "//",
        "acme",
        "acme/devices",
        "acme/devices/",
        "acme/devices//status",
        "/devices/d-1/status",
        "acme/devices/d-1",
        "acme/devices/d-1/",
        "acme/devices/d-1/status/",
        "acme/devices/+/status",
        "acme/devices/#",
        "+/devices/d-1/status",
        "acme/devices/d.1/status",
        "acme.devices.d-1.status/x",
        "acme/devices/../other/status",
        "acme/devices/d-1/updates/00/status",
        "acme/devices/d-1/updates/-1/status",
        "acme/devices/d-1/updates/99999999999999999999/status",
        "$SYS/devices/d-1/status",
        "acme/devices/d-1\0/status",
        "ACME/devices/d-1/status",
        &long,
    ] {
        assert!(DeviceTopic::parse(topic).is_err(), "{}", &topic[..topic.len().min(60)]);
    }
}
