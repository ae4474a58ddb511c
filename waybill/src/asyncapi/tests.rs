//! The description agrees with the code: every topic, status, example and event.

use std::collections::BTreeSet;

use domain::device::{ReportStatus, is_code};
use mqtt_bridge::topics::stored_filters;
use mqtt_bridge::wire::{
    CommandMessage, InfoMessage, Measurements, PresenceMessage, PresenceWord, RunReport, StatusReport,
};
use serde_json::{Value, json};

use super::*;

fn bytes(example: &Value) -> Vec<u8> {
    serde_json::to_vec(example).unwrap()
}

fn addresses(document: &Value) -> BTreeSet<String> {
    let channels = document["channels"].as_object().unwrap().values();
    channels.map(|channel| channel["address"].as_str().unwrap().to_owned()).collect()
}

/// All texts of `$ref` in a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_topic_of_the_bridge_occurs() {
    let addresses = addresses(&document().unwrap());
    for channel in mqtt::channels() {
        let address = mqtt::address(channel).unwrap();
        assert!(addresses.contains(&address), "{address}");
    }
}

/// Wrong topics are read, too, to dead-letter their messages; commands never.
#[test]
fn what_is_received_is_read_and_no_command_is() {
    let fits = |filter: &str, subject: &str| {
        let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
        loop {
            match (filter.next(), subject.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some(wanted), Some(found)) if wanted == "*" || wanted == found => {}
                _ => return false,
            }
        }
    };
    let document = document().unwrap();
    let filters = stored_filters().map(|(_, filter)| filter.trim_start_matches("$MQTT.msgs.").to_owned());
    let readers = |address: &str| {
        let levels = address.split('/').map(|level| if level.starts_with('{') { "1" } else { level });
        let subject = levels.collect::<Vec<_>>().join(".");
        filters.iter().filter(|filter| fits(filter, &subject)).count()
    };
    let mut received = 0;
    for operation in document["operations"].as_object().unwrap().values().filter(|one| one["action"] == "receive") {
        let channel = operation["channel"]["$ref"].as_str().unwrap().trim_start_matches("#/channels/");
        let address = document["channels"][channel]["address"].as_str().unwrap();
        assert_eq!(readers(address), 1, "{address}");
        received += 1;
    }
    assert_eq!(received, 7);
    assert_eq!(readers("{tenant}/devices/{device}/commands"), 0);
    assert_eq!(readers("{tenant}/devices/{device}/run"), 0);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document().unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn examples_of_reports_are_read_by_the_bridge() {
    for example in mqtt_reports::report_examples() {
        let read = StatusReport::read(&bytes(&example)).unwrap();
        let report = read.to_report(17).unwrap();
        assert_eq!(report.code.as_deref(), example["code"].as_str(), "{example}");
        assert_eq!(read.device_time().is_some(), example.get("ts").is_some(), "{example}");
        assert_eq!(read.progress(&report).progress.is_some(), example.get("progress").is_some(), "{example}");
    }
    for example in mqtt_reports::run_report_examples() {
        let read = RunReport::read(&bytes(&example)).unwrap();
        let report = read.to_report(3).unwrap();
        assert_eq!(report.status.word(), example["status"]);
        assert_eq!(report.code.as_deref(), example["code"].as_str(), "{example}");
        assert_eq!(read.ignored(), None, "{example}");
    }
    for example in mqtt_reports::presence_examples() {
        let read = PresenceMessage::read(&bytes(&example)).unwrap();
        let (presence, contact) = (read.to_presence().unwrap(), read.to_contact().unwrap());
        assert_eq!(presence.last_update.is_some(), example.get("last_update").is_some(), "{example}");
        assert_eq!(presence.versions.is_empty(), read.status == PresenceWord::Offline, "{example}");
        assert_eq!(contact.battery_level.is_some(), example.get("battery_level").is_some(), "{example}");
        assert!(presence.session.is_some(), "{example}");
    }
    for example in mqtt_reports::info_examples() {
        let info = InfoMessage::read(&bytes(&example)).unwrap().to_info().unwrap();
        assert_eq!((info.slots, info.contact_interval_s, info.attributes.len()), (Some(2), Some(0), 2));
    }
    for example in mqtt_reports::telemetry_examples() {
        assert!(Measurements::read(&bytes(&example)).unwrap().device_time.is_some(), "{example}");
    }
}

#[test]
fn examples_and_schemas_have_the_same_fields() {
    let schemas = mqtt_reports::schemas();
    let all = [
        ("Report", mqtt_reports::report_examples()),
        ("RunReport", mqtt_reports::run_report_examples()),
        ("Presence", mqtt_reports::presence_examples()),
        ("Info", mqtt_reports::info_examples()),
    ];
    for (name, examples) in all {
        for field in examples.iter().flat_map(|example| example.as_object().unwrap().keys()) {
            assert!(schemas[name]["properties"].get(field).is_some(), "{name}: {field}");
        }
    }
}

#[test]
fn statuses_are_those_that_the_bridge_understands() {
    let words: BTreeSet<&str> = mqtt_reports::STATUSES.into_iter().collect();
    for word in &words {
        let report = StatusReport::read(&bytes(&json!({ "attempt": 1, "status": word }))).unwrap().to_report(1);
        assert_eq!(report.unwrap().status.word(), *word);
    }
    assert!(words.contains(ReportStatus::CancelRefused.word()));
}

#[test]
fn codes_are_those_of_the_protocol() {
    for code in mqtt_reports::CODES {
        assert!(is_code(code) && !code.starts_with("x_"), "{code}");
    }
}

/// The schema of a command names exactly the fields that are sent.
#[test]
fn schemas_of_commands_have_the_fields_that_are_sent() {
    let schemas = mqtt_commands::schemas();
    let commands = [
        ("Install", mqtt_commands::install()),
        ("Cancel", mqtt_commands::cancel()),
        ("Activate", mqtt_commands::activate()),
        ("None", mqtt_commands::none()),
    ];
    for (name, command) in commands {
        let sent = serde_json::to_value(&command).unwrap();
        let fields: BTreeSet<&String> = sent.as_object().unwrap().keys().collect();
        let schema = &schemas[name];
        assert_eq!(schema["properties"].as_object().unwrap().keys().collect::<BTreeSet<_>>(), fields, "{name}");
        let word = &schema["properties"]["command"];
        let words = word["enum"].as_array().cloned().unwrap_or_else(|| vec![word["const"].clone()]);
        assert!(words.contains(&sent["command"]), "{name}");
        if let CommandMessage::Install { signatures, .. } = &command {
            assert_eq!(signatures.len(), 1, "the example shows how a signature looks");
        }
    }
}

#[test]
fn every_public_event_has_its_message() {
    let document = document().unwrap();
    let messages = document["components"]["messages"].as_object().unwrap();
    for (aggregate, types) in domain::events::catalogue() {
        if !["device", "firmware", "campaign", "campaign_plan"].contains(&aggregate) {
            continue;
        }
        for (event, _) in types {
            let message = &messages.get(&format!("feed.{event}.v1")).unwrap_or_else(|| panic!("{event}"));
            assert!(message["summary"].is_string(), "{event}");
            assert_eq!(message["examples"][0]["headers"]["ce-type"], format!("waybill.{event}.v1"));
        }
    }
}

#[test]
fn golden_files_have_the_headers_and_fields_that_are_described() {
    let part = feed::part().unwrap();
    // Events in the files have no trace and no cause, so the fields for these are optional.
    let optional = [("FeedHeaders", "ce-traceparent"), ("FeedBody", "causation_position")];
    let names = |schema: &str| {
        let mut names: BTreeSet<String> =
            part.schemas[schema]["properties"].as_object().unwrap().keys().cloned().collect();
        for (_, name) in optional.iter().filter(|(of, _)| *of == schema) {
            assert!(names.remove(*name), "{schema} describes {name}");
        }
        let required: BTreeSet<String> = serde_json::from_value(part.schemas[schema]["required"].clone()).unwrap();
        assert_eq!(required, names, "{schema}");
        names
    };
    for (name, text) in feed::GOLDEN {
        let golden = feed::Golden::read(name, text).unwrap();
        assert_eq!(golden.headers.keys().cloned().collect::<BTreeSet<_>>(), names("FeedHeaders"), "{name}");
        assert_eq!(golden.body.keys().cloned().collect::<BTreeSet<_>>(), names("FeedBody"), "{name}");
    }
}

#[test]
fn a_schema_says_what_its_example_shows() {
    let example = json!({ "device_id": "d-1", "until": "2026-03-01T12:00:00Z", "tags": { "site": null, "line": "4" }, "devices": [1] });
    let schema = feed::schema_of("data", &example);
    assert_eq!(schema["required"], json!(["device_id"]));
    assert_eq!(schema["properties"]["until"]["format"], "date-time");
    assert_eq!(schema["properties"]["tags"]["additionalProperties"]["type"], json!(["null", "string"]));
    assert_eq!(schema["properties"]["devices"]["items"]["type"], "integer");
}
