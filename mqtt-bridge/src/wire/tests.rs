use domain::Sealed;
use domain::device::ReportStatus;
use proptest::prelude::*;

use super::*;

fn report(json: &str) -> Result<domain::device::Report, Malformed> {
    StatusReport::read(json.as_bytes())?.to_report(7)
}

fn presence(json: &str) -> Result<domain::device::Presence, Malformed> {
    PresenceMessage::read(json.as_bytes())?.to_presence()
}

fn info(json: &str) -> Result<domain::device::Info, Malformed> {
    InfoMessage::read(json.as_bytes())?.to_info()
}

#[test]
fn a_report_is_read_and_unknown_fields_are_ignored() {
    let read =
        report(r#"{"attempt":2,"status":"deferred","code":"busy","retry_after_s":60,"seq":1,"ts":"x","new":[{}]}"#);
    let read = read.unwrap();
    assert_eq!((read.ordinal, read.attempt, read.status), (7, 2, ReportStatus::Deferred));
    assert_eq!((read.code.as_deref(), read.retry_after_s), (Some("busy"), Some(60)));
}

#[test]
fn words_of_older_firmware_are_understood() {
    for (word, status) in [
        ("complete", ReportStatus::Completed),
        ("installed", ReportStatus::Completed),
        ("completed", ReportStatus::Completed),
        ("preparing", ReportStatus::Received),
        ("in_progress", ReportStatus::Received),
        ("applying", ReportStatus::Installing),
    ] {
        assert_eq!(report(&format!(r#"{{"attempt":1,"status":"{word}"}}"#)).unwrap().status, status, "{word}");
    }
    for word in ["created", "scheduled", "queued", "rollback", "", "Completed", "dancing"] {
        assert!(report(&format!(r#"{{"attempt":1,"status":"{word}"}}"#)).is_err(), "{word}");
    }
}

#[test]
fn an_unknown_code_counts_and_its_text_is_kept() {
    let read = report(r#"{"attempt":1,"status":"failed","code":"E-17!","message":"flash"}"#).unwrap();
    assert_eq!(read.code.as_deref(), Some("x_unknown"));
    assert_eq!(read.message, Some(Sealed::Plain("code E-17!: flash".into())));
    let own = report(r#"{"attempt":1,"status":"failed","code":"x_flash_worn"}"#).unwrap();
    assert_eq!((own.code.as_deref(), own.message), (Some("x_flash_worn"), None));
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let text = "é".repeat(300);
    let read = report(&format!(r#"{{"attempt":1,"status":"failed","message":"{text}"}}"#)).unwrap();
    assert_eq!(read.message, Some(Sealed::Plain("é".repeat(256))));
}

#[test]
fn wrong_reports_are_malformed() {
    let large = format!(r#"{{"attempt":1,"status":"failed","message":"{}"}}"#, "x".repeat(MESSAGE_MAX_BYTES));
    for wrong in [
        "",
        "null",
        "[]",
        r#"[1,"received"]"#,
        "{",
        r#"{"status":"failed"}"#,
        r#"{"attempt":1}"#,
        r#"{"attempt":"1","status":"failed"}"#,
        r#"{"attempt":70000,"status":"failed"}"#,
        r#"{"attempt":1,"status":"received","sha256":"00"}"#,
        &large,
        &"[".repeat(5_000),
    ] {
        assert!(report(wrong).is_err(), "{}", &wrong[..wrong.len().min(60)]);
    }
    assert!(StatusReport::read(b"{\"attempt\":1,\"status\":\"\xff\"}").is_err());
}

#[test]
fn presence_carries_proof() {
    let read = presence(
        r#"{"status":"online","session":"s","boot_id":17,"firmware_version":"2.0","trial":true,"slot":"b",
            "last_update":{"ordinal":3,"attempt":1,"status":"completed"}}"#,
    )
    .unwrap();
    assert_eq!(read.boot_id.as_deref(), Some("17"), "boots may be counted");
    assert_eq!(read.versions["firmware"], "2.0");
    assert!(read.trial);
    assert_eq!(read.last_update.unwrap().ordinal, 3);
}

#[test]
fn a_last_update_carries_the_digest_of_a_report_that_may_be_lost() {
    let sha256 = domain::values::Sha256Digest::of(b"x");
    for (given, expected) in
        [(serde_json::json!(sha256.to_string()), Some(sha256)), ("00".into(), None), (7.into(), None)]
    {
        let last = serde_json::json!({"ordinal": 3, "attempt": 1, "status": "installing", "sha256": given});
        let read = presence(&serde_json::json!({"status": "online", "last_update": last}).to_string()).unwrap();
        assert_eq!(read.last_update.unwrap().sha256, expected);
    }
}

#[test]
fn a_last_update_without_sense_does_not_take_the_rest_with_it() {
    for last in ["7", r#"{"ordinal":0,"attempt":1,"status":"completed"}"#, r#"{"ordinal":1,"attempt":1,"status":"?"}"#]
    {
        let read =
            presence(&format!(r#"{{"status":"online","versions":{{"radio":"1"}},"last_update":{last}}}"#)).unwrap();
        assert_eq!((read.versions["radio"].as_str(), read.last_update), ("1", None));
    }
}

#[test]
fn contact_keeps_readings_that_make_sense() {
    let message = br#"{"status":"offline","session":"s","battery_level":250,"signal_strength":-71.4}"#;
    let contact = PresenceMessage::read(message).unwrap().to_contact().unwrap().numbered(1_000, 9);
    let wanted =
        serde_json::json!({"status":"offline","session":"s","signal_strength":-71,"broker_ms":1000,"delivery":9});
    assert_eq!(serde_json::to_value(contact).unwrap(), wanted);
}

#[test]
fn wrong_presence_is_malformed() {
    let long = format!(r#"{{"status":"online","boot_id":"{}"}}"#, "b".repeat(65));
    for wrong in [
        r#"{"status":"away"}"#,
        r#"{"status":"online","versions":{"Firmware":"1"}}"#,
        r#"{"status":"online","firmware_version":"two words"}"#,
        r#"{"status":"online","session":{}}"#,
        &long,
    ] {
        assert!(presence(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn info_is_bounded() {
    let read =
        info(r#"{"protocol":1,"slots":2,"hardware_version":"B","attributes":{"ram_kb":512,"eu":true,"site":"x"}}"#);
    assert_eq!(read.unwrap().attributes["ram_kb"], "512");
    let many: Vec<String> = (0..65).map(|n| format!(r#""k{n}":"v""#)).collect();
    let many = format!(r#"{{"attributes":{{{}}}}}"#, many.join(","));
    assert_eq!(info(r#"{"slots":1}"#).unwrap().slots, Some(1));
    for wrong in [
        many.as_str(),
        r#"{"slots":0}"#,
        r#"{"slots":3}"#,
        r#"{"attributes":{"a":{}}}"#,
        r#"{"attributes":{"a":""}}"#,
        r#"{"slots":-1}"#,
    ] {
        assert!(info(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_goes_with_a_status_never_takes_it_along() {
    let odd = br#"{"attempt":1,"status":"failed","code":7,"message":5,"bytes":-1,"retry_after_s":10.5,"progress":{}}"#;
    let report = StatusReport::read(odd).unwrap().to_report(1).unwrap();
    assert_eq!((report.status, report.code, report.retry_after_s), (ReportStatus::Failed, None, Some(10)));
    let trial = |value: &str| {
        let json = format!(r#"{{"status":"online","firmware_version":"1","trial":{value}}}"#);
        PresenceMessage::read(json.as_bytes()).unwrap().to_presence().unwrap().trial
    };
    assert_eq!(["true", "1", "\"yes\"", "0", "null", "[]"].map(trial), [true, true, true, false, false, false]);
}

#[test]
fn measurements_are_an_object_with_an_optional_time() {
    let read = Measurements::read(br#"{"t": 21.5, "ts": 1790000000}"#).unwrap();
    assert_eq!(read.data.get(), r#"{"t": 21.5, "ts": 1790000000}"#);
    assert_eq!((read.device_time.unwrap().timestamp(), read.ignored), (1_790_000_000, None));
    let odd = Measurements::read(br#"{"ts":{}}"#).unwrap();
    assert_eq!(odd.device_time, None);
    assert!(odd.ignored.unwrap().starts_with("ts is {}, not a time"));
    assert!(Measurements::read(b"[1]").is_err());
    assert!(Measurements::read(b"21.5").is_err());
}

#[test]
fn values_that_make_no_sense_are_named() {
    let of_report = |fields: &str| {
        let json = format!(r#"{{"attempt":1,"status":"downloading",{fields}}}"#);
        StatusReport::read(json.as_bytes()).unwrap().ignored()
    };
    assert_eq!(of_report(r#""progress":"40%""#).unwrap(), "progress is \"40%\", not a number from 0 to 100");
    for odd in [
        r#""progress":400"#,
        r#""progress":-1"#,
        r#""bytes":"1 MB""#,
        r#""code":"E-17!""#,
        r#""code":17"#,
        r#""message":{}"#,
        r#""retry_after_s":-5"#,
        r#""version":2"#,
        r#""seq":"one""#,
        r#""ts":"yesterday""#,
    ] {
        assert!(of_report(odd).is_some(), "{odd}");
    }
    let sound = r#""progress":40,"bytes":7,"code":"busy","message":"x","retry_after_s":10.5,"version":"2","seq":1,"ts":1790000000,"new":[]"#;
    assert_eq!(of_report(sound), None);
    assert_eq!(of_report(r#""progress":null,"code":null,"ts":null"#), None);

    let of_presence = |fields: &str| {
        let json = format!(r#"{{"status":"online",{fields}}}"#);
        PresenceMessage::read(json.as_bytes()).unwrap().ignored()
    };
    for odd in [
        r#""battery_level":120"#,
        r#""battery_level":"full""#,
        r#""signal_strength":70"#,
        r#""external_power":"yes""#,
        r#""trial":"TRUE""#,
        r#""last_update":7"#,
        r#""last_update":{"ordinal":1,"attempt":1,"status":"?"}"#,
    ] {
        assert!(of_presence(odd).is_some(), "{odd}");
    }
    let last = r#""last_update":{"ordinal":1,"attempt":1,"status":"completed"}"#;
    assert_eq!(of_presence(&format!(r#""battery_level":99.5,"signal_strength":-70,"trial":"no",{last}"#)), None);
    let long = of_presence(&format!(r#""battery_level":"{}""#, "x".repeat(1_000))).unwrap();
    assert!(long.len() < 100, "{long}");
}

proptest! {
    #[test]
    fn nothing_that_comes_in_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(StatusReport::read(&bytes).map(|m| (m.to_report(1), m.ignored())));
        drop(PresenceMessage::read(&bytes).map(|m| (m.to_presence(), m.to_contact(), m.ignored())));
        drop(InfoMessage::read(&bytes).map(|m| m.to_info()));
        drop(Measurements::read(&bytes));
    }

    #[test]
    fn no_number_panics(number in any::<f64>(), whole in any::<i64>()) {
        let json = format!(
            r#"{{"status":"online","attempt":1,"battery_level":{number:e},"signal_strength":{whole},"boot_id":{whole},"ts":{whole},"progress":{whole}}}"#
        );
        if let Ok(message) = PresenceMessage::read(json.as_bytes()) {
            drop((message.to_presence(), message.to_contact()));
        }
        drop(Measurements::read(json.as_bytes()));
    }
}
