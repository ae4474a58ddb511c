//! Every form that was ever written can still be read, and what is written today has the form on file.

use std::fs;
use std::path::PathBuf;

use domain::claim::{Claim, ClaimCommand, ClaimEvent};
use domain::decider::EventTypes;
use domain::events::{CampaignEvent, DeviceEvent, FirmwareEvent, LedgerEvent, PlanEvent};
use domain::{Actor, CommandId, Decider, Sealed};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::record::{self, CommandHash, Record, StoredEvent};
use crate::request::Request;
use crate::upcast;

fn golden(path: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Every schema of every event type decodes, and today's is written as it stands on file.
fn check_events<E: EventTypes>() {
    for (name, today) in E::TYPES {
        for schema in 1..=*today {
            let text = golden(&format!("events/{name}.v{schema}.json"));
            let stored = StoredEvent { schema, event: RawValue::from_string(text.trim().to_owned()).unwrap() };
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
}

#[test]
fn every_form_of_a_record_decodes() {
    for (file, events) in [("full", 2), ("smallest", 1), ("sealed_reason", 1)] {
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
    let request = Request {
        id: CommandId(id(1)),
        actor: Actor::new("user:42").unwrap(),
        correlation_id: Some(id(2)),
        causation_id: Some(id(3)),
        reason: Some(Sealed::Plain("rain".to_owned())),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        now,
        wish: ClaimCommand::Make { owner: "d-1".to_owned() },
    };
    let hash = CommandHash::from_hex("00112233445566778899aabbccddeeff").unwrap();
    let made = Claim::default().decide(at, &request.wish).unwrap();
    let events = [made[0].clone(), ClaimEvent::Released { owner: "d-1".to_owned() }];
    let body = record::encode(&request, &hash, 5, &events).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), parsed(&golden("record/full.v1.json")));
}

/// Never change this digest: stored records are compared with it.
#[test]
fn the_digest_of_a_command_is_fixed() {
    let wish = ClaimCommand::Make { owner: "d-1".to_owned() };
    assert_eq!(CommandHash::of(&wish).unwrap().to_hex(), "a3b10d419e04246f8b7b813d175ceb0a");
}
