//! What every log must do, tested through the event store. Each case has a tenant of its own, so that cases can share a log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{CommandId, Rejection};
use event_store::context::RECENT_COMMANDS_MAX;
use event_store::log::RECORD_MAX_BYTES;
use event_store::{
    AppendError, At, Delivery, ExecuteError, Log, Position, RawRecord, Record, StoreError, Subscription,
};
use futures::StreamExt;
use runtime::clock;
use tokio::time::timeout;

pub(super) use super::followed::*;
use super::lossy::LossyLog;
use super::tally::{TallyCommand, TallyEvent, add, insist, key, request, request_as, store};
pub(super) use super::threads::*;

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn events_are_stored_and_read_back(log: Arc<dyn Log>) {
    let key = key("stored", "t-1");
    let first = store(&log).execute(&key, request(add(3))).await.unwrap();
    assert_eq!((first.version, first.aggregate.total, first.repeated), (1, 3, false));
    let three = TallyCommand::Add { by: vec![1, 2, 4], note: "three".into() };
    let second = store(&log).execute(&key, request(three)).await.unwrap();
    assert_eq!((second.version, second.aggregate.total, second.events.len()), (4, 10, 3));
    assert!(second.position > first.position);

    let read = store(&log).load_fresh(&key).await.unwrap();
    assert_eq!((read.version, read.last_sequence, read.aggregate.total), (4, second.position, 10));
    let history = store(&log).history(&key, 1, 100).await.unwrap();
    let places: Vec<_> = history.iter().map(|one| (one.version, one.position)).collect();
    let at = |sequence, index| Position { sequence, index };
    let (a, b) = (first.position, second.position);
    assert_eq!(places, [(1, at(a, 0)), (2, at(b, 0)), (3, at(b, 1)), (4, at(b, 2))]);
    assert_eq!(history[0].event, TallyEvent::Added { by: 3, note: String::new() });
    assert_eq!(history[0].meta.actor.as_str(), "test");
    assert!(log.info().await.unwrap().last_sequence >= second.position);
}

pub(super) async fn an_aggregate_without_events_does_not_exist(log: Arc<dyn Log>) {
    let key = key("never", "t-1");
    let loaded = store(&log).load_fresh(&key).await.unwrap();
    assert_eq!((loaded.version, loaded.last_sequence), (0, 0));
    assert_eq!(store(&log).history(&key, 1, 10).await.unwrap(), []);
    assert_eq!(log.last_sequence(key.raw()).await.unwrap(), 0);
}

pub(super) async fn an_append_on_an_old_state_is_a_conflict(log: Arc<dyn Log>) {
    let key = key("conflict", "t-1");
    let body = || Bytes::from_static(b"{}");
    let first = log.append(key.raw(), 0, body()).await.unwrap();
    for wrong in [0, first + 1] {
        match log.append(key.raw(), wrong, body()).await {
            Err(AppendError::Conflict { last }) => assert!(last.is_none_or(|last| last == first)),
            other => panic!("{other:?}"),
        }
    }
    assert!(log.append(key.raw(), first, body()).await.unwrap() > first);
}

pub(super) async fn a_store_with_an_old_cache_catches_up(log: Arc<dyn Log>) {
    let key = key("cache", "t-1");
    let (one, other) = (store(&log), store(&log));
    one.execute(&key, request(add(1))).await.unwrap();
    other.execute(&key, request(add(2))).await.unwrap();
    let third = one.execute(&key, request(add(4))).await.unwrap();
    assert_eq!((third.version, third.aggregate.total), (3, 7));
}

pub(super) async fn concurrent_commands_all_take_effect_once(log: Arc<dyn Log>) {
    const WRITERS: u64 = 8;
    const COMMANDS: u64 = 10;
    let key = key("concurrent", "t-1");
    let stores = [store(&log), store(&log)];
    let writers = (0..WRITERS).map(|writer| {
        let (store, key) = (stores[writer as usize % stores.len()].clone(), key.clone());
        async move {
            for _ in 0..COMMANDS {
                insist(&store, &key, request(add(1))).await;
            }
        }
    });
    futures::future::join_all(writers).await;
    let read = store(&log).load_fresh(&key).await.unwrap();
    assert_eq!((read.version, read.aggregate.total), (WRITERS * COMMANDS, WRITERS * COMMANDS));
}

pub(super) async fn a_command_repeated_with_its_id_gives_its_first_outcome(log: Arc<dyn Log>) {
    let key = key("again", "t-1");
    let id = CommandId(clock::new_id());
    let store = store(&log);
    let first = store.execute(&key, request_as(id, add(5))).await.unwrap();
    store.execute(&key, request(TallyCommand::Close)).await.unwrap();
    for store in [store, super::tally::store(&log)] {
        let again = store.execute(&key, request_as(id, add(5))).await.unwrap();
        assert!(again.repeated);
        assert_eq!((again.position, &again.events), (first.position, &first.events));
        assert_eq!(again.version, 2, "the version is the current one");
        assert_eq!(store.load_fresh(&key).await.unwrap().version, 2);
    }
}

pub(super) async fn a_command_id_with_another_body_is_refused(log: Arc<dyn Log>) {
    let key = key("reused", "t-1");
    let id = CommandId(clock::new_id());
    let store = store(&log);
    store.execute(&key, request_as(id, add(5))).await.unwrap();
    let other = store.execute(&key, request_as(id, add(6))).await;
    assert!(matches!(other, Err(ExecuteError::CommandIdReused)), "{other:?}");
}

pub(super) async fn only_the_latest_commands_are_remembered(log: Arc<dyn Log>) {
    let key = key("bound", "t-1");
    let store = store(&log);
    let ids: Vec<_> = (0..=RECENT_COMMANDS_MAX).map(|_| CommandId(clock::new_id())).collect();
    for id in &ids {
        store.execute(&key, request_as(*id, add(1))).await.unwrap();
    }
    for store in [store, super::tally::store(&log)] {
        let remembered = store.execute(&key, request_as(ids[1], add(1))).await.unwrap();
        assert!(remembered.repeated);
        let loaded = store.load_fresh(&key).await.unwrap();
        assert_eq!(loaded.recent.len(), RECENT_COMMANDS_MAX);
        assert!(loaded.recent.find(ids[0]).is_none());
    }
}

pub(super) async fn a_lost_acknowledgement_is_found(log: Arc<dyn Log>) {
    let key = key("lost-ack", "t-1");
    let lossy = store(&LossyLog::losing(log.clone(), 1, 0));
    let committed = lossy.execute(&key, request(add(5))).await.unwrap();
    assert_eq!((committed.version, committed.repeated), (1, false));
    assert_eq!(committed.events, [TallyEvent::Added { by: 5, note: String::new() }]);
    assert_eq!(store(&log).load_fresh(&key).await.unwrap().aggregate.total, 5);
}

pub(super) async fn an_append_that_never_arrived_is_sent_again(log: Arc<dyn Log>) {
    let key = key("lost-append", "t-1");
    let lossy = store(&LossyLog::losing(log.clone(), 1, 2));
    let committed = lossy.execute(&key, request(add(5))).await.unwrap();
    assert_eq!(committed.version, 1);
    assert_eq!(store(&log).load_fresh(&key).await.unwrap().aggregate.total, 5);
}

pub(super) async fn no_command_is_refused_on_an_old_state(log: Arc<dyn Log>) {
    let key = key("judged", "t-1");
    let (one, other) = (store(&log), store(&log));
    one.execute(&key, request(add(1))).await.unwrap();
    other.execute(&key, request(TallyCommand::Close)).await.unwrap();
    let opened = one.execute(&key, request(TallyCommand::Open)).await.unwrap();
    assert_eq!(opened.events, [TallyEvent::Opened {}], "it has no effect only on the old state");

    other.execute(&key, request(TallyCommand::Close)).await.unwrap();
    one.load_fresh(&key).await.unwrap();
    other.execute(&key, request(TallyCommand::Open)).await.unwrap();
    let added = one.execute(&key, request(add(1))).await.unwrap();
    assert_eq!(added.aggregate.total, 2, "refused only on the old state");

    let before = one.load_fresh(&key).await.unwrap();
    let nothing = one.execute(&key, request(TallyCommand::Open)).await.unwrap();
    assert_eq!((nothing.position, nothing.version, nothing.events.len()), (before.last_sequence, before.version, 0));
    one.execute(&key, request(TallyCommand::Close)).await.unwrap();
    let refused = one.execute(&key, request(add(1))).await;
    assert!(matches!(refused, Err(ExecuteError::Rejected(Rejection::Invalid { .. }))), "{refused:?}");
}

pub(super) async fn a_check_stores_nothing(log: Arc<dyn Log>) {
    let key = key("check", "t-1");
    let store = store(&log);
    store.execute(&key, request(add(1))).await.unwrap();
    let checked = store.check(&key, &request(add(2))).await.unwrap();
    assert_eq!((checked.version, checked.aggregate.total, checked.events.len()), (1, 3, 1));
    assert_eq!(store.load_fresh(&key).await.unwrap().aggregate.total, 1);
}

pub(super) async fn the_past_can_be_loaded(log: Arc<dyn Log>) {
    let key = key("past", "t-1");
    let store = store(&log);
    let first = store.execute(&key, request(add(1))).await.unwrap();
    // The second one is stored in another millisecond, the precision in which times are shown.
    let stored_at = store.history(&key, 1, 10).await.unwrap()[0].stored_at;
    while clock::now().timestamp_millis() <= stored_at.timestamp_millis() {
        tokio::task::yield_now().await;
    }
    store.execute(&key, request(add(2))).await.unwrap();
    let history = store.history(&key, 1, 10).await.unwrap();
    for at in [At::Position(first.position), At::Time(history[0].stored_at)] {
        let past = store.load_at(&key, at).await.unwrap();
        assert_eq!((past.version, past.aggregate.total), (1, 1), "{at:?}");
    }
    let before = store.load_at(&key, At::Position(first.position - 1)).await.unwrap();
    assert_eq!(before.version, 0);
    assert!(history[1].stored_at > history[0].stored_at);
}

pub(super) async fn history_is_listed_in_pages(log: Arc<dyn Log>) {
    let key = key("pages", "t-1");
    let store = store(&log);
    for _ in 0..4 {
        let three = TallyCommand::Add { by: vec![1, 2, 3], note: String::new() };
        store.execute(&key, request(three)).await.unwrap();
    }
    let versions = async |from, limit| -> Vec<u64> {
        store.history(&key, from, limit).await.unwrap().iter().map(|one| one.version).collect()
    };
    assert_eq!(versions(1, 5).await, [1, 2, 3, 4, 5]);
    assert_eq!(versions(6, 5).await, [6, 7, 8, 9, 10]);
    assert_eq!(versions(11, 5).await, [11, 12]);
    assert!(versions(13, 5).await.is_empty());
}

pub(super) async fn a_subscription_gives_everything_in_order(log: Arc<dyn Log>) {
    let store = store(&log);
    let start = log.info().await.unwrap().last_sequence;
    let mut stream = log.subscribe(start + 1);
    assert_eq!(next(&mut stream).await, Delivery::CaughtUp { position: start });
    let mut wanted = Vec::new();
    for id in ["a", "b", "a"] {
        wanted.push(store.execute(&key("follow", id), request(add(1))).await.unwrap().position);
    }
    let (records, head) = until_caught_up(&mut stream, *wanted.last().unwrap()).await;
    assert_eq!(records.iter().map(|record| record.position).collect::<Vec<_>>(), wanted);
    assert_eq!(head, wanted[2]);
    assert_eq!(records[1].key, *key("follow", "b").raw());
    let record = Record::decode(records[0].position, &records[0].body).unwrap();
    assert_eq!(record.decode_events::<TallyEvent>(1).unwrap().len(), 1);
}

pub(super) async fn a_subscription_starts_in_the_middle(log: Arc<dyn Log>) {
    let store = store(&log);
    let mut positions = Vec::new();
    for _ in 0..20 {
        positions.push(store.execute(&key("middle", "t-1"), request(add(1))).await.unwrap().position);
    }
    let mut stream = log.subscribe(positions[5]);
    let (records, _) = until_caught_up(&mut stream, positions[19]).await;
    assert_eq!(records.iter().map(|record| record.position).collect::<Vec<_>>(), positions[5..]);
}

pub(super) async fn a_record_that_is_too_large_is_refused(log: Arc<dyn Log>) {
    let key = key("large", "t-1");
    let store = store(&log);
    let large = TallyCommand::Add { by: vec![1], note: "x".repeat(RECORD_MAX_BYTES) };
    let refused = store.execute(&key, request(large)).await;
    assert!(matches!(refused, Err(ExecuteError::Store(StoreError::TooLarge { .. }))), "{refused:?}");
    let body = Bytes::from(vec![b'x'; RECORD_MAX_BYTES + 1]);
    assert!(matches!(log.append(key.raw(), 0, body).await, Err(AppendError::TooLarge { .. })));
    let allowed = TallyCommand::Add { by: vec![1], note: "x".repeat(RECORD_MAX_BYTES - 1_024) };
    assert_eq!(store.execute(&key, request(allowed)).await.unwrap().version, 1);
    assert_eq!(super::tally::store(&log).load_fresh(&key).await.unwrap().version, 1);
}

pub(super) async fn tenants_share_no_events(log: Arc<dyn Log>) {
    let store = store(&log);
    store.execute(&key("one", "same"), request(add(1))).await.unwrap();
    store.execute(&key("two", "same"), request(add(2))).await.unwrap();
    assert_eq!(store.load_fresh(&key("one", "same")).await.unwrap().aggregate.total, 1);
    assert_eq!(store.load_fresh(&key("two", "same")).await.unwrap().aggregate.total, 2);
}

/// The next delivery, within a time limit.
pub(super) async fn next(stream: &mut Subscription) -> Delivery {
    timeout(PATIENCE, stream.next()).await.expect("a delivery in time").expect("never ends").unwrap()
}

/// All records up to the report that everything up to `position` was delivered; each once and in order.
pub(super) async fn until_caught_up(stream: &mut Subscription, position: u64) -> (Vec<RawRecord>, u64) {
    let mut records: Vec<RawRecord> = Vec::new();
    loop {
        match next(stream).await {
            Delivery::Record(record) => records.push(record),
            Delivery::CaughtUp { position: head } if head >= position => {
                let positions: BTreeSet<_> = records.iter().map(|record| record.position).collect();
                assert!(positions.iter().copied().eq(records.iter().map(|record| record.position)));
                return (records, head);
            }
            Delivery::CaughtUp { .. } => {}
        }
    }
}
