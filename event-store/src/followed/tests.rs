use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use domain::claim::{Claim, ClaimCommand, ClaimId, ClaimKind};
use domain::{Actor, AggregateKey, CommandId, TenantId};
use runtime::clock;

use super::aggregates::Aggregates;
use super::*;
use crate::error::AppendError;
use crate::log::{LogInfo, RawRecord, Subscription};
use crate::request::Request;
use crate::{EventStore, MemoryLog};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// A log that can be out of reach, and whose subscriptions can end with an error.
#[derive(Clone, Default)]
struct Fragile {
    log: MemoryLog,
    is_away: Arc<AtomicBool>,
    is_broken: Arc<AtomicBool>,
}

#[async_trait]
impl Log for Fragile {
    async fn append(&self, key: &AggregateKey, expected_last: u64, body: Bytes) -> Result<u64, AppendError> {
        self.log.append(key, expected_last, body).await
    }

    async fn read(&self, key: &AggregateKey, from: u64, limit: usize) -> Result<Vec<RawRecord>, StoreError> {
        self.log.read(key, from, limit).await
    }

    async fn last_sequence(&self, key: &AggregateKey) -> Result<u64, StoreError> {
        self.log.last_sequence(key).await
    }

    async fn info(&self) -> Result<LogInfo, StoreError> {
        self.log.info().await
    }

    fn subscribe(&self, from_sequence: u64) -> Subscription {
        self.log.subscribe(from_sequence)
    }

    fn subscribe_type(&self, kind: &'static str, from_sequence: u64) -> Subscription {
        let is_broken = Arc::clone(&self.is_broken);
        let deliveries = self.log.subscribe_type(kind, from_sequence);
        let convert = move |delivery| match is_broken.load(Ordering::SeqCst) {
            true => Err(StoreError::Refused("broken".to_owned())),
            false => delivery,
        };
        deliveries.map(convert).boxed()
    }

    async fn next_of_type(&self, kind: &'static str, after: u64) -> Result<NextOfType, StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        self.log.next_of_type(kind, after).await
    }

    async fn has_tenant(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        self.log.has_tenant(tenant).await
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn key(of: &str, value: &str) -> Key<Claim> {
    Key::new(&tenant(of), &ClaimId::new(ClaimKind::LorawanDevEui, value))
}

async fn claim(log: &Fragile, key: &Key<Claim>, owner: &str) -> u64 {
    let command = ClaimCommand::Make { owner: owner.to_owned() };
    let request = Request::new(CommandId(clock::new_id()), Actor::new("test").unwrap(), command);
    EventStore::new(Arc::new(log.clone())).execute(key, request).await.unwrap().position
}

/// A record of an aggregate of another type, or one that can't be read.
async fn raw(log: &Fragile, kind: &str, id: &str) -> u64 {
    let key = AggregateKey { tenant: tenant("acme"), kind: kind.to_owned(), id: id.to_owned() };
    log.append(&key, 0, Bytes::from_static(b"{}")).await.unwrap()
}

fn follow(log: &Fragile) -> Followed<Claim> {
    Followed::start(Arc::new(log.clone()), &Tasks::new())
}

fn owner(followed: &Followed<Claim>, key: &Key<Claim>) -> Option<String> {
    let loaded = followed.get(key).unwrap()?;
    loaded.aggregate.owner().map(str::to_owned)
}

async fn until(what: &str, is_met: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_met() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(POLL).await;
    }
}

#[tokio::test]
async fn what_was_stored_before_and_what_comes_is_followed() {
    let log = Fragile::default();
    let (first, second) = (key("acme", "1"), key("acme", "2"));
    claim(&log, &first, "d-1").await;
    let followed = follow(&log);
    assert!(!followed.has_caught_up(), "nothing has been read yet");
    followed.reached(1, PATIENCE).await.unwrap();
    until("the end", || followed.has_caught_up()).await;
    assert_eq!((owner(&followed, &first).as_deref(), owner(&followed, &second)), (Some("d-1"), None));
    let position = claim(&log, &second, "d-2").await;
    followed.reached(position, PATIENCE).await.unwrap();
    assert_eq!(owner(&followed, &second).as_deref(), Some("d-2"));
    let loaded = followed.get(&second).unwrap().unwrap();
    assert_eq!((loaded.version, loaded.last_sequence), (1, position));
}

#[tokio::test]
async fn a_position_of_another_type_is_reached_without_a_record_of_this_one() {
    let log = Fragile::default();
    claim(&log, &key("acme", "1"), "d-1").await;
    let followed = follow(&log);
    let position = raw(&log, "other", "x").await;
    followed.reached(position, PATIENCE).await.unwrap();
    assert_eq!(owner(&followed, &key("acme", "1")).as_deref(), Some("d-1"));
    let later = followed.reached(position + 1, POLL).await;
    assert!(matches!(later, Err(StoreError::Unavailable(_))), "{later:?}");
}

#[tokio::test]
async fn tenants_are_kept_apart_and_listed_by_id() {
    let log = Fragile::default();
    for (of, value) in [("acme", "2"), ("globex", "3"), ("acme", "1")] {
        claim(&log, &key(of, value), of).await;
    }
    let followed = follow(&log);
    followed.reached(3, PATIENCE).await.unwrap();
    let ids =
        |of: &str| -> Vec<String> { followed.of_tenant(&tenant(of)).unwrap().into_iter().map(|(id, _)| id).collect() };
    assert_eq!(ids("acme"), ["dev_eui-1", "dev_eui-2"]);
    assert_eq!((ids("globex").len(), followed.count(&tenant("globex")), ids("nobody").len()), (1, 1, 0));
    assert_eq!(owner(&followed, &key("globex", "1")), None);
}

#[tokio::test]
async fn contact_with_the_log_is_lost_and_found() {
    let log = Fragile::default();
    claim(&log, &key("acme", "1"), "d-1").await;
    let followed = follow(&log);
    until("contact", || followed.is_current(PATIENCE)).await;
    let short = COMPARE_INTERVAL * 2;
    log.is_away.store(true, Ordering::SeqCst);
    until("contact is lost", || !followed.is_current(short)).await;
    assert!(followed.has_caught_up(), "the state stays");
    assert_eq!(owner(&followed, &key("acme", "1")).as_deref(), Some("d-1"));
    log.is_away.store(false, Ordering::SeqCst);
    until("contact is found", || followed.is_current(short)).await;
}

#[tokio::test]
async fn an_aggregate_that_cannot_be_read_is_an_error_and_affects_no_other() {
    let log = Fragile::default();
    claim(&log, &key("acme", "1"), "d-1").await;
    raw(&log, "claim", "dev_eui-2").await;
    let position = claim(&log, &key("acme", "3"), "d-3").await;
    let followed = follow(&log);
    followed.reached(position, PATIENCE).await.unwrap();
    let unreadable = followed.get(&key("acme", "2"));
    assert!(matches!(unreadable, Err(StoreError::Corrupt { position: 2, .. })), "{unreadable:?}");
    assert_eq!(followed.of_tenant(&tenant("acme")).unwrap().len(), 2);
    assert_eq!(owner(&followed, &key("acme", "3")).as_deref(), Some("d-3"));
}

#[tokio::test]
async fn after_an_error_the_log_is_read_anew() {
    let log = Fragile::default();
    claim(&log, &key("acme", "1"), "d-1").await;
    let followed = follow(&log);
    until("the end", || followed.has_caught_up()).await;
    log.is_broken.store(true, Ordering::SeqCst);
    claim(&log, &key("acme", "2"), "d-2").await;
    until("nothing is known", || !followed.has_caught_up()).await;
    assert_eq!(owner(&followed, &key("acme", "1")), None);
    log.is_broken.store(false, Ordering::SeqCst);
    followed.reached(2, PATIENCE).await.unwrap();
    assert_eq!(owner(&followed, &key("acme", "1")).as_deref(), Some("d-1"));
    assert_eq!(owner(&followed, &key("acme", "2")).as_deref(), Some("d-2"));
}

#[tokio::test]
async fn what_does_not_fit_is_not_taken_for_absent() {
    let log = Fragile::default();
    for value in ["1", "2", "3"] {
        claim(&log, &key("acme", value), "d-1").await;
    }
    let records = async |value: &str| log.read(key("acme", value).raw(), 1, 1).await.unwrap();
    let aggregates = Aggregates::<Claim>::at_most(2);
    for value in ["1", "2"] {
        aggregates.apply(&records(value).await[0]);
    }
    assert!(aggregates.get(&key("acme", "3")).unwrap().is_none());
    assert_eq!(aggregates.of_tenant(&tenant("acme")).unwrap().len(), 2);
    aggregates.apply(&records("3").await[0]);
    assert!(aggregates.get(&key("acme", "1")).unwrap().is_some());
    for lacking in [aggregates.get(&key("acme", "3")).map(drop), aggregates.of_tenant(&tenant("acme")).map(drop)] {
        let error = lacking.unwrap_err().to_string();
        assert!(error.contains("more than 2 aggregates of type claim"), "{error}");
    }
}
