//! What only a real server can show: streams with another configuration, restarts, and other streams beside the log.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use domain::{DeviceId, TenantId};
use event_store::dead_letters::{DeadLetter, DeadLetterReason, DeadLetters, LetterFilter, REASON_HEADER, StoredLetter};
use event_store::lease::Lease;
use event_store::network::{JetStreamRawEvents, RawEvent, RawEvents, RawSource};
use event_store::streams::{self, NETWORK_BODY_MAX_BYTES, NETWORK_TENANT_MAX_BYTES, SetupError};
use event_store::telemetry::{
    TELEMETRY_FORMAT, Telemetry, TelemetryEntry, TelemetryKind, TelemetryLog, TelemetryRecord, WatermarkRecord,
};
use event_store::{AppendError, Delivery, ExecuteError, StoreError};
use futures::StreamExt;
use runtime::clock;
use runtime::lifecycle::Tasks;
use tokio::time::timeout;

use super::cases::until_caught_up;
use super::servers::OneServer;
use super::tally::{add, insist, key, request, store};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_stream_with_another_configuration_is_refused_and_not_changed() {
    let server = OneServer::start().await;
    let client = server.client().await;
    streams::ensure(&client, 1, streams::Missing::Create).await.unwrap();
    streams::ensure(&client, 1, streams::Missing::Create)
        .await
        .expect("a second start finds the expected configuration");

    let context = jetstream::new(server.admin().await);
    let limited = Config { max_messages_per_subject: 5, ..streams::events(1) };
    context.update_stream(limited).await.unwrap();
    match streams::ensure(&client, 1, streams::Missing::Create).await {
        Err(SetupError::Differs { stream, field, found, wanted }) => {
            assert_eq!((&*stream, field, &*found, &*wanted), ("EVENTS", "max_msgs_per_subject", "5", "unlimited"));
        }
        other => panic!("{other:?}"),
    }
    let info = context.get_stream("EVENTS").await.unwrap().get_info().await.unwrap();
    assert_eq!(info.config.max_messages_per_subject, 5, "it isn't changed automatically");
}

#[tokio::test]
async fn records_cannot_be_deleted_one_by_one() {
    let server = OneServer::start().await;
    let log = server.log().await;
    let position = log.append(key("acme", "t-1").raw(), 0, Bytes::from_static(b"{}")).await.unwrap();
    let stream = jetstream::new(server.admin().await).get_stream("EVENTS").await.unwrap();
    assert!(stream.delete_message(position).await.is_err(), "not even an administrator can");
    assert!(stream.get_raw_message(position).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_commands_fail_fast_and_are_not_queued() {
    let mut server = OneServer::start().await;
    let log = server.log().await;
    let store = store(&log);
    let key = key("down", "t-1");
    store.execute(&key, request(add(1))).await.unwrap();
    server.nats.kill9();
    let noticed = async { while log.info().await.is_ok() {} };
    timeout(PATIENCE, noticed).await.expect("the client notices that its server is gone");
    for _ in 0..10 {
        let began = Instant::now();
        let refused = store.execute(&key, request(add(1))).await;
        assert!(matches!(refused, Err(ExecuteError::Store(StoreError::Unavailable(_)))), "{refused:?}");
        assert!(began.elapsed() < Duration::from_secs(1), "took {:?}", began.elapsed());
    }
    server.nats.restart().await.unwrap();
    insist(&store, &key, request(add(10))).await;
    assert_eq!(store.load_fresh(&key).await.unwrap().aggregate.total, 11, "no refused command took effect later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_continues_after_the_last_record_after_kill_9() {
    let mut server = OneServer::start().await;
    let log = server.log().await;
    let store = store(&log);
    let mut stream = log.subscribe(1);
    let mut wanted = Vec::new();
    let mut seen = Vec::new();
    for round in 0..3 {
        for n in 0..50 {
            wanted.push(insist(&store, &key("restart", &format!("t-{n}")), request(add(round))).await);
        }
        let (records, _) = until_caught_up(&mut stream, *wanted.last().unwrap()).await;
        seen.extend(records.iter().map(|record| record.position));
        server.kill_and_restart().await;
    }
    let last = insist(&store, &key("restart", "last"), request(add(1))).await;
    wanted.push(last);
    let began = Instant::now();
    let (records, _) = until_caught_up(&mut stream, last).await;
    assert!(began.elapsed() < Duration::from_secs(5), "continued only after {:?}", began.elapsed());
    seen.extend(records.iter().map(|record| record.position));
    assert_eq!(seen, wanted);
}

/// An administrator may publish to EVENTS, and the message can't be deleted.
#[tokio::test]
async fn messages_of_no_aggregate_are_skipped() {
    let server = OneServer::start().await;
    let log = server.log().await;
    let context = jetstream::new(server.admin().await);
    let before = log.append(key("acme", "t-1").raw(), 0, Bytes::from_static(b"{}")).await.unwrap();
    for stray in ["ev.3.acme.device.x", "ev.stray", "ev.0.ACME.device.x"] {
        context.publish(stray, "stray".into()).await.unwrap().await.unwrap();
    }
    let behind = log.append(key("acme", "t-2").raw(), 0, Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(behind, before + 4);
    let (records, _) = until_caught_up(&mut log.subscribe(1), behind).await;
    assert_eq!(records.iter().map(|record| record.position).collect::<Vec<_>>(), [before, behind]);
    context.publish("ev.stray", "stray".into()).await.unwrap().await.unwrap();
    let (records, end) = until_caught_up(&mut log.subscribe(behind + 1), behind + 1).await;
    assert_eq!((records.len(), end), (0, behind + 1), "the end is still reached");
}

#[tokio::test]
async fn telemetry_is_stored_and_followed() {
    let server = OneServer::start().await;
    let client = server.client().await;
    streams::ensure(&client, 1, streams::Missing::Create).await.unwrap();
    let telemetry = Telemetry::new(client);
    let (tenant, device) = (TenantId::new("acme").unwrap(), DeviceId::new("AA:BB").unwrap());
    let mut stream = telemetry.subscribe(1);
    let data = serde_json::value::RawValue::from_string(r#"{"t": 21.50}"#.into()).unwrap();
    let record = TelemetryRecord {
        v: TELEMETRY_FORMAT,
        kind: TelemetryKind::Measurements,
        received_at: clock::now(),
        device_time: None,
        place: None,
        data,
    };
    let position = telemetry.publish(&tenant, &device, &record).await.unwrap();
    let written = WatermarkRecord { v: TELEMETRY_FORMAT, at: clock::now(), heard_until: clock::now() };
    let marked = telemetry.mark(written).await.unwrap();
    let mut entries = Vec::new();
    while entries.len() < 2 {
        if let Delivery::Record(entry) = timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap() {
            entries.push(entry);
        }
    }
    let TelemetryEntry::Message(message) = &entries[0] else { panic!("{:?}", entries[0]) };
    assert_eq!((message.position, &message.tenant, &message.device), (position, &tenant, &device));
    assert_eq!(message.decode().unwrap().data.get(), r#"{"t": 21.50}"#, "numbers stay as they were sent");
    assert_eq!(entries[1], TelemetryEntry::Mark { position: marked, mark: Some(written) });
}

#[tokio::test]
async fn dead_letters_are_cut_and_stored_with_their_reason() {
    let server = OneServer::start().await;
    let client = server.client().await;
    streams::ensure(&client, 1, streams::Missing::Create).await.unwrap();
    let letters = DeadLetters::new(client.clone());
    let payload = vec![0xff; 100_000];
    let letter = DeadLetter {
        tenant: None,
        device: None,
        source: "mqtt",
        origin: "acme/devices/d\r\n1",
        reason: DeadLetterReason::Malformed,
        detail: "not JSON",
        payload: &payload,
    };
    let position = letters.keep(letter).await.unwrap();
    let stream = jetstream::new(client).get_stream("DEAD_LETTERS").await.unwrap();
    let kept = stream.get_raw_message(position).await.unwrap();
    assert_eq!(kept.subject.as_str(), "dead._.mqtt._.malformed");
    assert_eq!(kept.headers.get(REASON_HEADER).unwrap().as_str(), "not JSON");
    assert!(kept.payload.len() < 5_000);
}

/// Events of a tenant that nobody handles, each as large as it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_floods_the_queue_of_network_servers_leaves_room_for_others() {
    let server = OneServer::start().await;
    let client = server.client().await;
    streams::ensure(&client, 1, streams::Missing::Create).await.unwrap();
    let event = |tenant: &str, n: u64, bytes: usize| RawEvent {
        tenant: TenantId::new(tenant).unwrap(),
        source: RawSource::Webhook,
        event: Some("up".to_owned()),
        route: None,
        origin: "test".to_owned(),
        id: Some(format!("{tenant}-{n}")),
        body: vec![b' '; bytes].into(),
    };
    // Two processes store for it, the second after the first was refused.
    let flood = async |queue: &JetStreamRawEvents| {
        let mut stored = 0;
        loop {
            match queue.keep(&event("loud", clock::now().timestamp_micros() as u64, NETWORK_BODY_MAX_BYTES)).await {
                Ok(()) => stored += NETWORK_BODY_MAX_BYTES as u64,
                Err(AppendError::NoSpace(_)) => return stored,
                Err(error) => panic!("{error}"),
            }
            assert!(stored <= NETWORK_TENANT_MAX_BYTES, "{stored} bytes are stored");
        }
    };
    let (one, other) = (JetStreamRawEvents::new(client.clone()), JetStreamRawEvents::new(client.clone()));
    let stored = flood(&one).await;
    assert!(stored > NETWORK_TENANT_MAX_BYTES / 2, "{stored}");
    assert_eq!(flood(&other).await, 0);
    for n in 0..100 {
        one.keep(&event("quiet", n, 2_000)).await.unwrap();
        other.keep(&event("quiet", 1_000 + n, 2_000)).await.unwrap();
    }

    // What is handled makes room again.
    let stream = jetstream::new(server.admin().await).get_stream(streams::NETWORK).await.unwrap();
    stream.purge().filter("net.loud").await.unwrap();
    one.keep(&event("loud", 0, NETWORK_BODY_MAX_BYTES)).await.unwrap();
}

/// A few dead letters among many, many in a row, some of an earlier version, and some that arrive while pages are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_newest_first_by_every_filter() {
    use DeadLetterReason as R;
    const MANY: usize = 3_000;
    let server = OneServer::start().await;
    let client = server.client().await;
    streams::ensure(&client, 1, streams::Missing::Create).await.unwrap();
    let letters = DeadLetters::new(client.clone());
    let (acme, other) = (TenantId::new("acme").unwrap(), TenantId::new("other").unwrap());
    let device = |id: &str| DeviceId::new(id).unwrap();
    let keep = async |tenant: &TenantId, id: &str, reason: R, detail: &str| {
        let device = device(id);
        let letter = DeadLetter {
            tenant: Some(tenant),
            device: Some(&device),
            source: "mqtt",
            origin: "topic",
            reason,
            detail,
            payload: b"{}",
        };
        letters.keep(letter).await.unwrap()
    };
    client.publish("dead.acme.mqtt", "of an earlier version".into()).await.unwrap();
    keep(&acme, "rare", R::Malformed, "first").await;
    for n in 0..MANY {
        keep(&other, &format!("d-{}", n % 7), R::UnknownTopic, "").await;
    }
    let since = clock::now();
    for n in 0..5 {
        keep(&acme, "loud", R::NoSuchUpdate, &n.to_string()).await;
    }
    keep(&acme, "rare", R::Retained, "last").await;

    let filter = |tenant: &TenantId, id: Option<&str>, reason| LetterFilter {
        tenant: tenant.clone(),
        device: id.map(device),
        reason,
        since: None,
    };
    let all = async |filter: &LetterFilter, limit: usize| {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = letters.page(filter, before, limit).await.unwrap();
            before = page.letters.last().map(|letter| letter.sequence);
            found.extend(page.letters);
            // A dead letter that arrives now is newer than any page that follows.
            keep(&acme, "late", R::Broken, "").await;
            if !page.more {
                return found;
            }
        }
    };
    let details = |letters: &[StoredLetter]| letters.iter().map(|letter| letter.detail.clone()).collect::<Vec<_>>();
    let rare = all(&filter(&acme, Some("rare"), None), 1).await;
    assert_eq!(details(&rare), ["last", "first"]);
    assert_eq!((rare[0].reason, rare[0].device.clone()), (Some(R::Retained), Some(device("rare"))));
    let loud = all(&filter(&acme, Some("loud"), Some(R::NoSuchUpdate)), 2).await;
    assert_eq!(details(&loud), ["4", "3", "2", "1", "0"]);
    let everything = letters.page(&filter(&acme, None, None), Some(rare[0].sequence + 1), 200).await.unwrap();
    assert_eq!(everything.letters.len(), 8, "{:?}", details(&everything.letters));
    assert_eq!((everything.letters[7].reason, &everything.letters[7].device), (None, &None), "of an earlier version");
    let recent = LetterFilter { since: Some(since), ..filter(&acme, None, None) };
    assert!(details(&all(&recent, 3).await).ends_with(&["last", "4", "3", "2", "1", "0"].map(str::to_owned)));
    let future = LetterFilter { since: Some(since + chrono::TimeDelta::days(1)), ..recent };
    assert_eq!(letters.page(&future, None, 10).await.unwrap().letters, []);

    assert_eq!(letters.count(&filter(&other, None, None)).await.unwrap(), MANY as u64);
    let numbers: Vec<u64> = all(&filter(&other, None, None), 200).await.iter().map(|letter| letter.sequence).collect();
    assert_eq!(numbers.len(), MANY);
    assert!(numbers.is_sorted_by(|newer, older| newer > older));
    let one = all(&filter(&other, Some("d-3"), None), 100).await;
    assert_eq!(one.len(), MANY.div_ceil(7), "each letter is on one page");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_has_one_owner_at_a_time() {
    const TERM: Duration = Duration::from_millis(800);
    let server = OneServer::start().await;
    let client = server.client().await;
    streams::ensure(&client, 1, streams::Missing::Create).await.unwrap();
    let (one, other) = (Tasks::new(), Tasks::new());
    let first = Lease::acquire(&client, &one, "outbound", "a", TERM).await;
    let waiting = Lease::acquire(&client, &other, "outbound", "b", TERM);
    assert!(timeout(TERM * 3, waiting).await.is_err(), "it is renewed as long as it is held");
    assert!(!first.lost().is_cancelled());

    drop(first);
    let second = timeout(TERM, Lease::acquire(&client, &other, "outbound", "b", TERM)).await;
    let second = second.expect("a released lease is free at once");

    drop(server);
    timeout(TERM * 2, second.lost().cancelled()).await.expect("an owner that can't renew stops");
}

#[tokio::test]
async fn a_lost_lease_returns_to_its_owner_at_once() {
    const TERM: Duration = Duration::from_secs(30);
    let server = OneServer::start().await;
    let client = server.client().await;
    streams::ensure(&client, 1, streams::Missing::Create).await.unwrap();
    let leases = jetstream::new(client.clone()).get_key_value(streams::LEASES).await.unwrap();
    leases.put("outbound", r#"{"owner":"a","term_ms":30000}"#.into()).await.unwrap();
    let tasks = Tasks::new();
    let others = timeout(TERM / 10, Lease::acquire(&client, &tasks, "outbound", "b", TERM)).await;
    assert!(others.is_err(), "others must wait for the end of its term");
    let own = timeout(TERM / 10, Lease::acquire(&client, &tasks, "outbound", "a", TERM)).await;
    assert!(own.is_ok(), "its owner need not wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_concurrent_contenders_gets_the_lease() {
    const TERM: Duration = Duration::from_secs(30);
    let server = OneServer::start().await;
    let client = server.client().await;
    streams::ensure(&client, 1, streams::Missing::Create).await.unwrap();
    let tasks = Tasks::new();
    let owners: Vec<String> = (0..20).map(|n| format!("owner-{n}")).collect();
    let racing = owners.iter().map(|owner| {
        let racing = Lease::acquire(&client, &tasks, "race", owner, TERM);
        timeout(Duration::from_secs(1), racing)
    });
    let won = futures::future::join_all(racing).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
}
