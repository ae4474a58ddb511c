//! Every form that was ever written can be read, and today's form is written as in the golden file.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use domain::claim::{Claim, ClaimCommand, ClaimEvent};
use domain::decider::EventTypes;
use domain::events::{
    ApiKeyEvent, CampaignEvent, DeviceEvent, FirmwareEvent, FuotaEvent, LedgerEvent, LorawanProfileEvent, PlanEvent,
    RegistrationTokenEvent,
};
use domain::{Actor, AggregateKey, CommandId, Decider, Sealed, TenantId};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::command_hash::CommandHash;
use crate::feed;
use crate::log::RawRecord;
use crate::record::{self, Record};
use crate::request::Request;
use crate::stored_event::StoredEvent;
use crate::threads::{Cause, Link, Links, RecordRef};
use crate::{subject, upcast};

/// Golden files of events are in the domain crate, all others here.
fn file(path: &str) -> PathBuf {
    let crate_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    match path.strip_prefix("events/") {
        Some(event) => crate_dir.join("../domain/golden").join(event),
        None => crate_dir.join("golden").join(path),
    }
}

fn golden(path: &str) -> String {
    let file = file(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Every schema of every event type decodes, and today's schema is written as in its golden file.
fn check_events<E: EventTypes>() {
    for (name, today) in E::TYPES {
        for schema in 1..=*today {
            let text = golden(&format!("events/{name}.v{schema}.json"));
            let event = RawValue::from_string(text.trim().to_owned()).unwrap();
            let stored = StoredEvent { schema, meta: None, event };
            let event: E = upcast::decode(&stored, 1).unwrap_or_else(|error| panic!("{name} v{schema}: {error}"));
            assert_eq!(event.event_type(), *name);
            if schema == *today {
                assert_eq!(serde_json::to_value(&event).unwrap(), parsed(&text), "{name}");
            }
        }
    }
}

#[test]
fn every_event_type_and_schema_has_its_file() {
    check_events::<DeviceEvent>();
    check_events::<FirmwareEvent>();
    check_events::<CampaignEvent>();
    check_events::<PlanEvent>();
    check_events::<LedgerEvent>();
    check_events::<ClaimEvent>();
    check_events::<RegistrationTokenEvent>();
    check_events::<ApiKeyEvent>();
    check_events::<FuotaEvent>();
    check_events::<LorawanProfileEvent>();
}

#[test]
fn every_form_of_a_record_decodes() {
    for (file, events) in [("full", 2), ("linked", 2), ("smallest", 1), ("sealed_reason", 1)] {
        let text = golden(&format!("record/{file}.v1.json"));
        let record = Record::decode(1, text.as_bytes()).unwrap();
        assert_eq!(record.decode_events::<ClaimEvent>(1).unwrap().len(), events, "{file}");
        assert_eq!(serde_json::to_value(&record).unwrap(), parsed(&text), "{file}");
    }
}

#[test]
fn a_record_is_written_as_on_file() {
    let now = "2026-03-01T12:00:00.123456Z".parse().unwrap();
    let at = "2026-03-01T12:00:00Z".parse().unwrap();
    let id = |n: u128| uuid::Uuid::from_u128(0x018f_4e2a_7f00_7000_8000_0000_0000_0000 + n);
    let led_here = RecordRef { command_id: CommandId(id(3)), position: 41 };
    let request = Request {
        id: CommandId(id(1)),
        actor: Actor::new("user:42").unwrap(),
        correlation_id: Some(id(2)),
        cause: Cause::Record(led_here),
        reason: Some(Sealed::Plain("rain".to_owned())),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        now,
        expected_version: None,
        request_digest: None,
        command: ClaimCommand::Make { owner: "d-1".to_owned() },
    };
    let hash = CommandHash::from_hex("00112233445566778899aabbccddeeff").unwrap();
    let made = Claim::default().decide(at, &request.command).unwrap();
    let events = [made[0].clone(), ClaimEvent::Released { owner: "d-1".to_owned() }];
    let own = RecordRef { command_id: CommandId(id(5)), position: 17 };
    let links = Links {
        record: Link { correlation_id: id(2), cause: Some(led_here) },
        events: vec![
            Link { correlation_id: id(2), cause: Some(led_here) },
            Link { correlation_id: id(4), cause: Some(own) },
        ],
    };
    let body = record::encode(&request, &links, &hash, 5, &events).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), parsed(&golden("record/linked.v1.json")));
}

/// Never change this digest: stored records are compared with it.
#[test]
fn the_digest_of_a_command_is_fixed() {
    let command = ClaimCommand::Make { owner: "d-1".to_owned() };
    assert_eq!(CommandHash::of(&command).unwrap().to_hex(), "a3b10d419e04246f8b7b813d175ceb0a");
}

/// A record that stores the event on file.
fn record_of(kind: &str, id: &str, event: &str) -> RawRecord {
    let mut record = parsed(&golden("record/smallest.v1.json"));
    record["version"] = 12.into();
    record["meta"]["reason"] = "nobody's business".into();
    record["events"] = json!([{ "schema": 1, "event": parsed(&golden(&format!("events/{event}.v1.json"))) }]);
    let key = AggregateKey { tenant: TenantId::new("acme").unwrap(), kind: kind.into(), id: id.into() };
    RawRecord {
        position: 4_711,
        stored_at: "2026-03-01T12:00:01Z".parse().unwrap(),
        subject: subject::of(&key),
        key,
        headers: BTreeMap::new(),
        body: serde_json::to_vec(&record).unwrap().into(),
    }
}

/// Fields of the public feed that were added after the first file of their event.
const ADDED: [(&str, &str); 2] = [("campaign.created", "name"), ("campaign.amended", "name")];

/// The public form is as in the golden file. A missing file is written if `WRITE_GOLDEN` is set; none is ever overwritten.
fn check_feed(kind: &str, id: &str, types: &[(&str, u16)]) {
    for (event, _) in types {
        let messages = feed::messages(&record_of(kind, id, event)).unwrap();
        let [message] = &messages[..] else { panic!("{event}: {} messages", messages.len()) };
        let headers: BTreeMap<_, _> = message.headers.iter().cloned().collect();
        let public = json!({
            "subject": message.subject,
            "headers": headers,
            "body": serde_json::from_slice::<Value>(&message.body).unwrap(),
        });
        let version = headers["ce-type"].rsplit_once(".v").unwrap().1.to_owned();
        let path = format!("feed/{event}.v{version}.json");
        if !file(&path).exists() && std::env::var_os("WRITE_GOLDEN").is_some() {
            fs::write(file(&path), format!("{}\n", serde_json::to_string_pretty(&public).unwrap())).unwrap();
        }
        let first = parsed(&golden(&path));
        match ADDED.iter().find(|(to, _)| to == event) {
            None => assert_eq!(public, first, "{event}"),
            Some((_, field)) => {
                assert_eq!(public, parsed(&golden(&format!("feed/{event}.v{version}.{field}.json"))), "{event}");
                let mut before = public.clone();
                before["body"]["data"].as_object_mut().unwrap().remove(*field);
                assert_eq!(before, first, "{event}: nothing but {field} was added");
            }
        }
        let text = public.to_string();
        for inside in ["nobody", "2nd floor", "clock", "reset", "not for me", "AAAA", "c0ffee"] {
            assert!(!text.contains(inside), "{event} lets {inside:?} out");
        }
    }
}

#[test]
fn the_public_language_is_as_on_file_and_lets_no_free_text_out() {
    check_feed("device", "d-1", DeviceEvent::TYPES);
    check_feed("firmware", "7c9e6679-7425-5de3-944b-e07fc1f90ae7", FirmwareEvent::TYPES);
    check_feed("campaign", "018f4e2a-0000-7000-8000-00000000c0de", CampaignEvent::TYPES);
    check_feed("campaign_plan", "018f4e2a-0000-7000-8000-00000000b1a0-0", PlanEvent::TYPES);
}

#[test]
fn the_public_language_says_what_led_to_an_event() {
    let mut raw = record_of("device", "d-1", "update.confirmed");
    let mut record = parsed(std::str::from_utf8(&raw.body).unwrap());
    record["meta"] = parsed(&golden("record/linked.v1.json"))["meta"].clone();
    raw.body = serde_json::to_vec(&record).unwrap().into();
    let messages = feed::messages(&raw).unwrap();
    let body: Value = serde_json::from_slice(&messages[0].body).unwrap();
    assert_eq!((&body["causation_id"], &body["causation_position"]), (&record["meta"]["causation_id"], &json!("41-0")));
    let trace = messages[0].headers.iter().find(|(name, _)| *name == "ce-traceparent").map(|(_, value)| value.as_str());
    assert_eq!(trace, record["meta"]["traceparent"].as_str());
}

#[test]
fn machinery_stays_inside() {
    assert_eq!(feed::messages(&record_of("claim", "x", "claim.made")).unwrap(), []);
    let token = record_of("registration_token", "018f4e2a-0000-7000-8000-0000000070ce", "registration_token.issued");
    assert_eq!(feed::messages(&token).unwrap(), []);
    let key = record_of("api_key", "018f4e2a-0000-7000-8000-0000000070cf", "api_key.issued");
    assert_eq!(feed::messages(&key).unwrap(), []);
}
