//! One type of aggregates: its subscription, the search for its next record, and aggregates that are followed in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::claim::{Claim, ClaimCommand, ClaimId, ClaimKind};
use domain::{Actor, CommandId, Key, TenantId};
use event_store::{EventStore, Followed, Log, NextOfType, Request};
use runtime::clock;
use runtime::lifecycle::Tasks;

use super::cases::until_caught_up;
use super::servers::OneServer;
use super::tally::{Tally, add, insist, key, request, store};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A record of another type.
async fn claim(store: &EventStore, tenant: &str) -> u64 {
    let (tenant, value) = (TenantId::new(tenant).unwrap(), clock::new_id().simple().to_string());
    let key = Key::<Claim>::new(&tenant, &ClaimId::new(ClaimKind::IdempotencyKey, &value));
    let command = ClaimCommand::Make { owner: "d-1".to_owned() };
    let request = Request::new(CommandId(clock::new_id()), Actor::new("test").unwrap(), command);
    store.execute(&key, request).await.unwrap().position
}

async fn until(what: &str, limit: Duration, is_met: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_met() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

pub(super) async fn one_type_is_subscribed_to_alone(log: Arc<dyn Log>) {
    let store = store(&log);
    let start = log.info().await.unwrap().last_sequence;
    let mut wanted = Vec::new();
    for id in ["a", "b", "a"] {
        wanted.push(store.execute(&key("type", id), request(add(1))).await.unwrap().position);
        claim(&store, "type").await;
    }
    let mut stream = log.subscribe_type("tally", start + 1);
    let (records, _) = until_caught_up(&mut stream, wanted[2]).await;
    assert_eq!(records.iter().map(|record| record.position).collect::<Vec<_>>(), wanted);
    claim(&store, "type").await;
    let later = store.execute(&key("type", "c"), request(add(1))).await.unwrap().position;
    let (records, _) = until_caught_up(&mut stream, later).await;
    assert_eq!(records.iter().map(|record| record.position).collect::<Vec<_>>(), [later]);
}

pub(super) async fn the_next_record_of_a_type_is_found(log: Arc<dyn Log>) {
    let store = store(&log);
    let start = log.info().await.unwrap().last_sequence;
    let next = async |after| log.next_of_type("tally", after).await.unwrap();
    assert_eq!(next(start).await, NextOfType::NoneUpTo(start));
    let other = claim(&store, "next").await;
    assert_eq!(next(start).await, NextOfType::NoneUpTo(other));
    let first = store.execute(&key("next", "a"), request(add(1))).await.unwrap().position;
    let second = store.execute(&key("next", "b"), request(add(1))).await.unwrap().position;
    assert_eq!((next(start).await, next(first).await), (NextOfType::At(first), NextOfType::At(second)));
    assert_eq!(next(second).await, NextOfType::NoneUpTo(second));
}

pub(super) async fn aggregates_of_one_type_are_followed(log: Arc<dyn Log>) {
    let (store, tasks) = (store(&log), Tasks::new());
    let (old, new) = (key("followed", "old"), key("followed", "new"));
    store.execute(&old, request(add(1))).await.unwrap();
    let followed = Followed::<Tally>::start(log.clone(), &tasks);
    let total = |key| followed.get(key).unwrap().map(|loaded| loaded.aggregate.total);
    let other = claim(&store, "followed").await;
    followed.reached(other, PATIENCE).await.unwrap();
    assert_eq!((total(&old), total(&new)), (Some(1), None));
    for round in 1..=20 {
        store.execute(&old, request(add(1))).await.unwrap();
        let position = store.execute(&new, request(add(2))).await.unwrap().position;
        let began = Instant::now();
        followed.reached(position, PATIENCE).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "took {:?}", began.elapsed());
        assert_eq!((total(&old), total(&new)), (Some(1 + round), Some(2 * round)));
    }
    until("it is current", PATIENCE, || followed.is_current(Duration::from_secs(1))).await;
    tasks.shutdown(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followed_aggregates_say_that_contact_is_lost_and_continue_after_kill_9() {
    let mut server = OneServer::start().await;
    let log = server.log().await;
    let (store, tasks) = (store(&log), Tasks::new());
    let counted = key("outage", "t-1");
    let followed = Followed::<Tally>::start(log.clone(), &tasks);
    let total = || followed.get(&counted).unwrap().map(|loaded| loaded.aggregate.total);
    for round in 1..=2 {
        let position = insist(&store, &counted, request(add(1))).await;
        followed.reached(position, PATIENCE).await.unwrap();
        assert_eq!(total(), Some(round));
        server.nats.kill9();
        until("contact is lost", PATIENCE, || !followed.is_current(Duration::from_secs(1))).await;
        assert_eq!(total(), Some(round), "the state stays");
        server.nats.restart().await.unwrap();
        until("contact is found", PATIENCE, || followed.is_current(Duration::from_secs(1))).await;
    }
    let position = insist(&store, &counted, request(add(1))).await;
    let began = Instant::now();
    followed.reached(position, PATIENCE).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "continued only after {:?}", began.elapsed());
    assert_eq!(total(), Some(3));
    tasks.shutdown(PATIENCE).await;
}
