//! Every payload of the directory `tests/payloads`, what is made of it, and what no input may do.
//!
//! The payloads in JSON were sent by a ChirpStack 4.20; those in protobuf are the same events, written by ChirpStack's own Python package.
//! `{name}.{event}.json` or `.bin` has its outcome in `{name}.{event}.expected`. `WAYBILL_REGENERATE=1` writes these anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

/// Changed payloads of each kind; in a long test run 20 times as many.
const CASES: u32 = 4_000;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads")
}

/// Names, events and bytes of all payloads.
fn payloads() -> BTreeMap<String, (String, Vec<u8>)> {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "json" || it == "bin"));
    let named = files.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let event = name.split('.').nth(1).unwrap().to_owned();
        (name, (event, std::fs::read(path).unwrap()))
    });
    named.collect()
}

fn with_event(event: &str) -> Hints<'_> {
    Hints { event: Some(event), route: None }
}

fn of_json(json: serde_json::Value) -> NetworkEvent {
    normalise(json.to_string().as_bytes(), &Hints::default()).unwrap()
}

fn uplink(event: &NetworkEvent) -> &Uplink {
    match &event.event {
        Event::Uplink(uplink) => uplink,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_payload_is_read_as_expected() {
    let regenerate = std::env::var_os("WAYBILL_REGENERATE").is_some();
    let all = payloads();
    assert!(all.len() >= 53, "{}", all.len());
    for (name, (event, body)) in all {
        let read = normalise(&body, &with_event(&event)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = format!("{}\n", serde_json::to_string_pretty(&read).unwrap());
        let path = directory().join(format!("{name}.expected"));
        if regenerate {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
    }
}

#[test]
fn an_event_is_the_same_in_json_and_in_protobuf() {
    let all = payloads();
    for (name, (event, body)) in all.iter().filter(|(name, _)| name.ends_with(".json")) {
        let Some((_, binary)) = all.get(&name.replace(".json", ".bin")) else { continue };
        let json = normalise(body, &with_event(event)).unwrap();
        let mut binary = normalise(binary, &with_event(event)).unwrap();
        assert_eq!(binary.dialect, if name.starts_with("v4") { Dialect::V4Protobuf } else { Dialect::V3Protobuf });
        binary.dialect = json.dialect;
        // Numbers of 32 bits have fewer digits.
        if let (Event::Status(json), Event::Status(binary)) = (&json.event, &mut binary.event) {
            assert!((json.battery_level.unwrap() - binary.battery_level.unwrap()).abs() < 0.001);
            binary.battery_level = json.battery_level;
        }
        if !matches!(json.event, Event::Log(_)) {
            assert_eq!(json.dedup_key, binary.dedup_key, "{name}");
        }
        (binary.dedup_key, binary.time) = (json.dedup_key.clone(), json.time);
        assert_eq!(binary, json, "{name}");
    }
}

#[test]
fn the_kind_of_a_json_event_shows_in_its_fields() {
    for (name, (event, body)) in payloads().iter().filter(|(name, _)| name.ends_with(".json")) {
        let (told, guessed) = (normalise(body, &with_event(event)), normalise(body, &Hints::default()));
        assert_eq!(guessed, told, "{name}");
    }
}

#[test]
fn the_request_names_the_kind_before_the_route_does() {
    let body = br#"{"deviceInfo":{"devEui":"0102030405060708"},"batteryLevel":50.5,"deduplicationId":"a"}"#;
    let kind = |hints: Hints<'_>| normalise(body, &hints).unwrap().event;
    assert!(matches!(kind(Hints { event: Some("status"), route: Some(Route::Uplink) }), Event::Status(_)));
    assert!(matches!(kind(Hints { event: None, route: Some(Route::Uplink) }), Event::Uplink(_)));
    assert!(matches!(kind(with_event("teleported")), Event::Other { name } if name == "teleported"));
}

#[test]
fn a_body_of_version_3_keeps_its_device() {
    let hex = of_json(serde_json::json!({
        "devEUI": "0102030405060708", "objectJSON": "{\"temp\": 22.5, \"battery\": 85}", "rxInfo": [{"rssi": -95}],
    }));
    assert_eq!((hex.dialect, hex.dev_eui.as_str()), (Dialect::V3Json, "0102030405060708"));
    let uplink = uplink(&hex);
    assert_eq!((uplink.battery_level, uplink.signal_strength), (Some(85.0), Some(-95)));
    assert_eq!(uplink.payload.fields().unwrap()["temp"], 22.5);
    assert_eq!(hex.dedup_key, None, "nothing tells it from the next one");
    let json_v3 = of_json(serde_json::json!({
        "applicationID": 7, "devEUI": "0102030405060708", "fCnt": 3, "fPort": 5, "data": "AQID", "txInfo": {"dr": 5},
        "object": {"batteryLevel": 12}, "rxInfo": [{"gatewayID": "0016c001f153a14c", "rssi": -70, "loRaSNR": 5},
                                                   {"gatewayID": "0016c001f153a14d", "rssi": -60, "loRaSNR": 3}],
    }));
    assert_eq!((json_v3.dialect, json_v3.application_id.as_deref()), (Dialect::V3JsonV3, Some("7")));
    let uplink = self::uplink(&json_v3);
    assert_eq!((uplink.dr, uplink.battery_level, uplink.signal_strength), (Some(5), Some(12.0), Some(-60)));
    assert_eq!(uplink.best_gateway.as_ref().unwrap().id.as_deref(), Some("0016c001f153a14c"));
    assert!(!json_v3.dedup_key.unwrap().is_unique, "a frame counter begins again");
}

#[test]
fn names_in_snake_case_and_numbers_for_words_are_read() {
    let event = of_json(serde_json::json!({
        "deduplication_id": "x", "device_info": {"dev_eui": "0102030405060708", "application_id": "a"}, "f_cnt": "7",
        "f_port": 20, "data": "-_8", "rx_info": [{"gateway_id": "0016C001F153A14C", "location": {"latitude": 1.0, "source": 1}}],
        "tx_info": {"modulation": {"lora": {"spreading_factor": 12, "bandwidth": 125_000}}}, "object": null,
    }));
    let uplink = uplink(&event);
    assert_eq!((uplink.f_cnt, uplink.f_port, uplink.data.as_slice()), (Some(7), Some(20), &[0xfb, 0xff][..]));
    assert_eq!((uplink.spreading_factor, uplink.signal_strength), (Some(12), Some(0)), "absent is zero in version 4");
    let gateway = uplink.best_gateway.as_ref().unwrap();
    assert_eq!(gateway.position.as_ref().unwrap().source.as_deref(), Some("GPS"));
    let log = of_json(serde_json::json!({
        "device_info": {"dev_eui": "0102030405060708"}, "level": 1, "code": 11, "context": {"queue_item_id": "q"},
    }));
    let Event::Log(log) = &log.event else { panic!("{log:?}") };
    assert_eq!((log.level, log.code.as_str(), log.dropped_item()), (LogLevel::Warning, "EXPIRED", Some("q")));
}

#[test]
fn the_payload_is_taken_from_the_first_source_that_has_one() {
    let payload = |json: serde_json::Value| {
        let mut body = json;
        body["devEUI"] = "0102030405060708".into();
        let event = of_json(body);
        (uplink(&event).payload.clone(), event.ignored)
    };
    let object = |name: &str| Map::from_iter([(name.to_owned(), Value::from(1))]);
    let json = "eyJiIjoxfQ";
    let cases = [
        (serde_json::json!({"object": {"a": 1}, "data": json}), Payload::Decoded(object("a"))),
        (serde_json::json!({"objectJSON": "{\"a\":1}", "data": json}), Payload::Decoded(object("a"))),
        (serde_json::json!({"object": "{\"a\":1}", "data": json}), Payload::Decoded(object("a"))),
        (serde_json::json!({"object": {}, "data": json}), Payload::Json(object("b"))),
        (serde_json::json!({"objectJSON": "", "data": json}), Payload::Json(object("b"))),
        (serde_json::json!({"objectJSON": "oops", "data": json}), Payload::Json(object("b"))),
        (serde_json::json!({"objectJSON": "1"}), Payload::Decoded(object("value"))),
        (serde_json::json!({"objectJSON": "oops"}), Payload::Text("oops".to_owned())),
        (serde_json::json!({"data": "AQID"}), Payload::Raw),
        (serde_json::json!({"data": "MQ=="}), Payload::Raw),
        (serde_json::json!({"fPort": 1, "data": null}), Payload::None),
        (serde_json::json!({"fPort": 1, "data": ""}), Payload::None),
        (serde_json::json!({"data": json, "joinServerContext": {"sessionKeyId": "01"}}), Payload::Encrypted),
    ];
    for (body, wanted) in cases {
        assert_eq!(payload(body.clone()).0, wanted, "{body}");
    }
    let (none, ignored) = payload(serde_json::json!({"data": "*"}));
    assert_eq!((none, ignored), (Payload::None, vec!["data is not base64".to_owned()]));
}

#[test]
fn a_status_webhook_says_whether_the_device_is_there() {
    let read = |body: &str| normalise(body.as_bytes(), &Hints { event: None, route: Some(Route::Status) });
    let event = read(r#"{"devEUI":"0102030405060708","status":"offline"}"#).unwrap();
    assert!(matches!(event.event, Event::Presence(Presence { online: false, .. })));
    assert!(read(r#"{"devEUI":"0102030405060708","status":"away"}"#).is_err());
    let error =
        normalise(br#"{"devEUI":"AQIDBAUGBwg=","type":"DOWNLINK_FCNT","error":"x","fCnt":9}"#, &Hints::default());
    let Event::Log(log) = error.unwrap().event else { panic!() };
    assert_eq!((log.code.as_str(), log.description.as_str()), ("F_CNT_DOWN", "x"));
}

#[test]
fn copies_of_one_event_have_one_key_and_events_of_one_uplink_have_their_own() {
    let key = |name: &str| {
        let (event, body) = payloads().remove(name).unwrap();
        normalise(&body, &with_event(&event)).unwrap().dedup_key.unwrap()
    };
    assert_eq!(key("v4_up.up.json"), key("v4_up.up.json"));
    let names =
        ["v4_up.up.json", "v4_status.status.json", "v4_ack.ack.json", "v4_log_codec.log.json", "v4_txack.txack.json"];
    let keys: std::collections::BTreeSet<String> = names.iter().map(|name| key(name).to_string()).collect();
    assert_eq!(keys.len(), names.len());
    let with_kind = |kind: &str| {
        let body = br#"{"deviceInfo":{"devEui":"0102030405060708"},"deduplicationId":"a","devAddr":"01020304"}"#;
        normalise(body, &with_event(kind)).unwrap().dedup_key.unwrap()
    };
    assert_ne!(with_kind("up"), with_kind("join"));
}

#[test]
fn bodies_beyond_the_bounds_are_refused() {
    let refused = |body: &[u8]| normalise(body, &Hints::default()).unwrap_err().0;
    assert!(refused(&vec![b' '; EVENT_MAX_BYTES + 1]).contains("at most"));
    let nested = |depth: usize| {
        format!(r#"{{"devEUI":"0102030405060708","object":{}1{}}}"#, "{\"a\":".repeat(depth), "}".repeat(depth))
    };
    assert!(normalise(nested(DEPTH_MAX - 1).as_bytes(), &Hints::default()).is_ok());
    assert!(refused(nested(DEPTH_MAX).as_bytes()).contains("nested"));
    assert!(refused(nested(10_000).as_bytes()).contains("JSON"));
    let inside = nested(DEPTH_MAX + 1).replace('"', "\\\"");
    assert!(
        refused(format!(r#"{{"devEUI":"0102030405060708","objectJSON":"{inside}"}}"#).as_bytes()).contains("nested")
    );
    let large = format!(r#"{{"devEUI":"0102030405060708","object":{{"a":"{}"}}}}"#, "x".repeat(OBJECT_MAX_BYTES));
    assert!(refused(large.as_bytes()).contains("bytes"));
    for body in ["", " ", "[]", "1", "null", "{", "{}", r#"{"devEUI":5}"#, r#"{"devEUI":"x"}"#, "\u{0}", "<xml/>"] {
        refused(body.as_bytes());
    }
}

#[test]
fn long_texts_are_cut() {
    let event = of_json(serde_json::json!({
        "deviceInfo": {"devEui": "0102030405060708", "applicationId": "é".repeat(1_000)}, "level": "ERROR", "code": "x",
        "description": "y".repeat(5_000), "context": Map::from_iter((0..100).map(|n| (n.to_string(), Value::from(1)))),
    }));
    assert_eq!(event.application_id.unwrap().chars().count(), NAME_MAX_CHARS);
    let Event::Log(log) = event.event else { panic!() };
    assert_eq!((log.description.len(), log.context.len()), (DESCRIPTION_MAX_CHARS, CONTEXT_MAX));
}

fn config() -> ProptestConfig {
    let is_long = std::env::var_os("WAYBILL_TEST_LONG").is_some_and(|value| value == "1");
    let cases = if is_long { 20 * CASES } else { CASES };
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

/// One change of a payload.
#[derive(Debug, Clone)]
enum Change {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>();
    let word = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec![
            "null",
            "{",
            "[",
            "-1",
            "1e400",
            "\"\"",
            "\\ud800",
            "\u{0}",
            "99999999999999999999",
            "{}",
            "[]"
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
    ];
    prop_oneof![
        (at, any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at, word).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at, 0_usize..40).prop_map(|(at, count)| Change::Remove(at, count)),
        (at, 0_usize..200).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn changed(mut body: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = body.len().max(1);
        match change {
            Change::Set(at, byte) => {
                if let Some(old) = body.get_mut(at % length) {
                    *old = *byte;
                }
            }
            Change::Insert(at, bytes) => {
                let at = (at % length).min(body.len());
                body.splice(at..at, bytes.iter().copied());
            }
            Change::Remove(at, count) => {
                let at = (at % length).min(body.len());
                body.drain(at..(at + count).min(body.len()));
            }
            Change::Repeat(at, count) => {
                let at = (at % length).min(body.len());
                let part = body[at..(at + count).min(body.len())].to_vec();
                body.splice(at..at, part);
            }
        }
    }
    body
}

/// What holds of every event of every encoding.
fn is_bounded(event: &NetworkEvent) {
    assert!(event.dev_eui.as_str().len() == 16);
    assert!(event.ignored.len() <= NOTES_MAX);
    assert!(event.dedup_key.as_ref().is_none_or(|key| key.as_str().len() < 64 && key.as_str().is_ascii()));
    if let Event::Uplink(uplink) = &event.event {
        assert!(uplink.gateways <= GATEWAYS_MAX && uplink.f_port != Some(0));
        assert!(uplink.battery_level.is_none_or(|level| (0.0..=100.0).contains(&level)));
        let object = uplink.payload.fields().map(|object| serde_json::to_string(object).unwrap());
        assert!(object.is_none_or(|object| object.len() <= OBJECT_MAX_BYTES));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..300), event in "up|join|ack|txack|status|log|location|integration|x|") {
        if let Ok(event) = normalise(&body, &with_event(&event)) {
            is_bounded(&event);
        }
    }

    #[test]
    fn no_changed_payload_panics(
        chosen in any::<prop::sample::Index>(), changes in prop::collection::vec(change(), 1..6),
        event in prop::option::of("up|join|ack|txack|status|log|location|integration|x"),
    ) {
        let all: Vec<_> = PAYLOADS.iter().collect();
        let (own, body) = all[chosen.index(all.len())];
        let body = changed(body.clone(), &changes);
        if let Ok(event) = normalise(&body, &with_event(event.as_deref().unwrap_or(own))) {
            is_bounded(&event);
        }
    }

    #[test]
    fn any_payload_of_an_uplink_reads_back(
        data in prop::collection::vec(any::<u8>(), 0..64), port in 1_u8..=255, f_cnt in any::<u32>(), eui in any::<[u8; 8]>(), url_safe in any::<bool>(),
    ) {
        use base64::Engine;
        use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
        let text = if url_safe { BASE64_URL_SAFE_NO_PAD.encode(&data) } else { BASE64_STANDARD.encode(&data) };
        for (name, eui_text) in [("devEui", hex::encode(eui)), ("devEUI", BASE64_STANDARD.encode(eui)), ("dev_eui", hex::encode_upper(eui))] {
            let body = serde_json::json!({name: eui_text, "fPort": port, "fCnt": f_cnt, "data": text});
            let event = of_json(body);
            prop_assert_eq!(event.dev_eui.as_str(), hex::encode(eui));
            prop_assert_eq!(&uplink(&event).data, &data);
            prop_assert_eq!((uplink(&event).f_port, uplink(&event).f_cnt), (Some(port), Some(f_cnt)));
        }
    }
}

/// Events and bodies, read once for all changed ones.
static PAYLOADS: std::sync::LazyLock<Vec<(String, Vec<u8>)>> =
    std::sync::LazyLock::new(|| payloads().into_values().collect());
