//! The hub with a manual clock.

use std::collections::BTreeMap;

use chrono::DateTime;
use domain::{AggregateKey, TenantId};
use event_store::MemoryLog;
use serde_json::{Value, json};

use super::*;
use crate::live::queue::QUEUE_MAX;
use crate::live::topic::Scope;

fn record(position: u64, device: &str) -> RawRecord {
    let id = "018f4e2a-7f00-7000-8000-000000000001";
    let meta = json!({"actor": "user:1", "correlation_id": id, "recorded_at": "2026-01-01T00:00:00Z"});
    let events = json!([{"schema": 1, "event": {"type": "device.released"}}]);
    let body = json!({"v": 1, "version": 1, "command_id": id, "command_hash": "", "meta": meta, "events": events});
    RawRecord {
        position,
        stored_at: DateTime::UNIX_EPOCH,
        subject: String::new(),
        key: AggregateKey { tenant: TenantId::new("acme").unwrap(), kind: "device".into(), id: device.into() },
        headers: BTreeMap::new(),
        body: body.to_string().into(),
    }
}

fn topic(device: &str) -> Topic {
    let scope = Scope::Device { id: device.into(), campaign: None };
    Topic { tenant: TenantId::new("acme").unwrap(), scope, types: BTreeSet::new(), with_restricted: false }
}

fn hub() -> Hub {
    let hub = Hub::new(Arc::new(MemoryLog::new()), Tasks::new());
    assert!(hub.0.claims_reader() && !hub.0.claims_reader(), "one reader");
    hub.0.begin(1_790_000_000_123, 10);
    let early = hub.0.subscribe(&topic("d-1"), Start::Now, Instant::now());
    assert_eq!(early.err(), Some(NotOpened::NotFollowed), "nobody reads yet");
    hub.0.ready();
    hub
}

fn json_of(message: &Message) -> Value {
    serde_json::from_str(message.text.as_str()).unwrap()
}

#[test]
fn who_does_not_keep_up_is_left_behind_and_others_go_on() {
    let (hub, begun) = (hub(), Instant::now());
    let slow = hub.0.subscribe(&topic("d-1"), Start::Now, begun).unwrap();
    let fast = hub.0.subscribe(&topic("d-1"), Start::Now, begun).unwrap();
    let mut first = None;
    for n in 0..2 * QUEUE_MAX as u64 {
        hub.0.apply(&record(11 + n, "d-1"), begun + n as u32 * Duration::from_secs(1));
        let message = fast.messages.try_next().unwrap().unwrap();
        first.get_or_insert(Arc::downgrade(&message));
        assert_eq!(json_of(&message)["position"], format!("1790000000123-{}", 11 + n));
    }
    assert_eq!(slow.messages.try_next().and_then(Result::err), Some(ResyncReason::TooSlow));
    assert!(first.unwrap().upgrade().is_none(), "what waited for it is dropped");
}

#[test]
fn a_stream_is_resumed_from_what_is_kept_and_told_when_it_cannot_be() {
    let (hub, now) = (hub(), Instant::now());
    for (position, device) in [(11, "d-1"), (13, "d-2"), (17, "d-1")] {
        hub.0.apply(&record(position, device), now);
    }
    let first = |start| {
        let subscription = hub.0.subscribe(&topic("d-1"), start, now).unwrap();
        subscription.first.iter().map(|message| json_of(message)).collect::<Vec<_>>()
    };
    let missed = first(Start::After(10));
    let one = &missed[1]["changes"][0];
    assert_eq!(
        (&missed[1]["type"], &one["count"], &one["position"]),
        (&json!("changes"), &json!(2), &json!("1790000000123-17"))
    );
    assert_eq!(first(Start::After(11))[1]["changes"][0]["count"], 1);
    assert_eq!(first(Start::After(17)).len(), 1, "nothing was missed");
    let resync = first(Start::After(9));
    assert_eq!((&resync[1]["type"], &resync[1]["reason"]), (&json!("resync"), &json!("too_old")));
    assert_eq!(first(Start::ReadAgain(ResyncReason::OtherLog))[1]["reason"], "other_log");
}

#[test]
fn a_silent_stream_has_a_heartbeat_and_the_reader_ends_after_the_last_stream() {
    let (hub, begun) = (hub(), Instant::now());
    let stream = hub.0.subscribe(&topic("d-1"), Start::Now, begun).unwrap();
    hub.0.apply(&record(11, "d-2"), begun);
    let due = hub.0.send_due(begun);
    assert_eq!(due, begun + HEARTBEAT);
    assert!(stream.messages.try_next().is_none(), "another device");
    hub.0.send_due(due);
    let heartbeat = json_of(&stream.messages.try_next().unwrap().unwrap());
    assert_eq!(heartbeat, json!({"type": "heartbeat", "position": "1790000000123-11"}));
    assert!(!hub.0.ends_when_idle(due + 2 * LINGER));
    drop(stream);
    let left_at = due + HEARTBEAT;
    hub.0.send_due(left_at);
    assert!(!hub.0.ends_when_idle(left_at + LINGER / 2) && hub.0.ends_when_idle(left_at + LINGER));
    assert!(hub.0.claims_reader(), "the next stream starts another reader");
}

#[test]
fn a_place_has_a_number_of_different_filters_and_a_client_that_leaves_makes_room() {
    let (hub, now) = (hub(), Instant::now());
    let open = |device: &str, filter: usize| {
        let filtered = Topic { types: [format!("type-{filter}")].into(), ..topic(device) };
        hub.0.subscribe(&filtered, Start::Now, now)
    };
    let mut opened: Vec<_> = (0..TOPICS_MAX).map(|filter| open("d-1", filter).unwrap()).collect();
    assert_eq!(open("d-1", TOPICS_MAX).err(), Some(NotOpened::TooManyTopics));
    opened.push(open("d-1", 0).unwrap());
    assert!(open("d-2", TOPICS_MAX).is_ok(), "another place");
    drop(opened.remove(7));
    opened.push(open("d-1", TOPICS_MAX).unwrap());
    assert_eq!(open("d-1", 7).err(), Some(NotOpened::TooManyTopics));
    let of_place = hub.0.lock().by_place[&topic("d-1").place()].len();
    assert_eq!(of_place, TOPICS_MAX, "who left is forgotten");
}
