//! Sessions over a bucket in memory, which several processes follow.

use domain::{Actor, TenantId};
use event_store::sessions::{MemorySessions, SessionEntry};
use runtime::lifecycle::Tasks;
use tokio::time::timeout;

use super::*;
use crate::caller::Role;

const PATIENCE: Duration = Duration::from_secs(10);
const KEY: &str = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct Process {
    sessions: Sessions,
    /// Dropped with the process.
    tasks: Tasks,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

async fn process(bucket: &MemorySessions, limits: SessionLimits) -> Process {
    let keyring = Arc::new(Keyring::of(KEY.parse().unwrap()));
    let sessions = Sessions::new(Arc::new(bucket.clone()), keyring, TokenHasher::new(vec![3; 32]), limits);
    let tasks = Tasks::new();
    sessions.follow(&tasks);
    until(async || sessions.0.known.is_current(STALE_MAX)).await;
    Process { sessions, tasks }
}

async fn until(condition: impl AsyncFn() -> bool) {
    let met = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, met).await.unwrap();
}

impl Process {
    async fn begins(&self, person: &str) -> SessionToken {
        let (tenant, actor) = (TenantId::new("acme").unwrap(), Actor::new(format!("user:{person}")).unwrap());
        let beginning = Beginning::of_person(tenant, actor, vec![Role::Operator], Standing::default());
        self.sessions.begin(beginning).await.unwrap()
    }

    async fn knows(&self, token: &SessionToken) -> bool {
        self.sessions.find(token).await.unwrap().is_some()
    }

    fn holds(&self, token: &SessionToken) -> bool {
        self.sessions.0.known.used(&key_of(&self.sessions.0.hasher, token), clock::now(), TimeDelta::hours(1)).is_some()
    }
}

#[tokio::test]
async fn a_fresh_session_counts_in_every_process_and_an_ended_one_in_none() {
    let bucket = MemorySessions::default();
    let (one, other) =
        (process(&bucket, SessionLimits::default()).await, process(&bucket, SessionLimits::default()).await);
    for _ in 0..20 {
        let token = one.begins("7").await;
        assert!(other.knows(&token).await && one.knows(&token).await);
        until(async || one.holds(&token) && other.holds(&token)).await;
        one.sessions.end(&token).await.unwrap();
        assert!(!one.knows(&token).await);
        until(async || !other.knows(&token).await).await;
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_known_is_neither_let_in_nor_refused() {
    let bucket = MemorySessions::default();
    let process = process(&bucket, SessionLimits::default()).await;
    let token = process.begins("7").await;
    until(async || process.holds(&token)).await;
    bucket.set_away(true);
    assert!(process.knows(&token).await, "a short interruption isn't noticed");
    let unknown = process.sessions.find(&SessionToken::generate()).await.unwrap_err();
    assert_eq!((unknown.status().as_u16(), unknown.code()), (503, "sessions_unavailable"));
    process.sessions.0.known.set_complete(None);
    assert_eq!(process.sessions.find(&token).await.unwrap_err().status(), 503);
    assert_eq!(process.sessions.end(&token).await.unwrap_err().status(), 503);
    bucket.set_away(false);
    assert!(process.knows(&token).await);
}

#[tokio::test]
async fn sessions_end_by_age_and_by_idleness() {
    let bucket = MemorySessions::default();
    let limits = SessionLimits { lifetime: Duration::from_millis(600), idle: Duration::from_secs(60) };
    let short = process(&bucket, limits).await;
    let token = short.begins("7").await;
    assert!(short.knows(&token).await);
    until(async || !short.knows(&token).await).await;

    let limits = SessionLimits { lifetime: Duration::from_secs(60), idle: Duration::from_millis(600) };
    let idle = process(&bucket, limits).await;
    let (used, unused) = (idle.begins("7").await, idle.begins("8").await);
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1_000) {
        assert!(idle.knows(&used).await, "it is used");
        idle.sessions.0.store_uses().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!idle.knows(&unused).await);
}

#[tokio::test]
async fn a_use_that_is_stored_late_does_not_bring_an_ended_session_back() {
    let bucket = MemorySessions::default();
    let limits = SessionLimits { idle: Duration::from_millis(1), ..SessionLimits::default() };
    let one = process(&bucket, SessionLimits::default()).await;
    let token = one.begins("7").await;
    let key = key_of(&one.sessions.0.hasher, &token);
    until(async || one.holds(&token)).await;
    let SessionEntry { revision, value, .. } = bucket.get(&key).await.unwrap().unwrap();
    one.sessions.end(&token).await.unwrap();
    assert!(!bucket.replace(&key, revision, value.unwrap()).await.unwrap());
    assert!(process(&bucket, limits).await.sessions.find(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn a_person_has_a_number_of_sessions_and_the_oldest_goes_first() {
    let bucket = MemorySessions::default();
    let process = process(&bucket, SessionLimits::default()).await;
    let mut tokens = Vec::new();
    for _ in 0..=PERSON_SESSIONS_MAX {
        let token = process.begins("7").await;
        until(async || process.holds(&token)).await;
        tokens.push(token);
    }
    assert!(!process.knows(&tokens[0]).await);
    assert!(process.knows(&tokens[1]).await && process.knows(&tokens[PERSON_SESSIONS_MAX]).await);
    assert!(process.knows(&process.begins("8").await).await, "others have theirs");
}

#[tokio::test]
async fn a_value_that_somebody_moved_or_changed_opens_nothing() {
    let bucket = MemorySessions::default();
    let process = process(&bucket, SessionLimits::default()).await;
    let token = process.begins("7").await;
    let SessionEntry { value, .. } = bucket.get(&key_of(&process.sessions.0.hasher, &token)).await.unwrap().unwrap();
    let forged = SessionToken::generate();
    bucket.create(&key_of(&process.sessions.0.hasher, &forged), value.unwrap()).await.unwrap();
    assert!(!process.knows(&forged).await);
    let clear = process.sessions.find(&token).await.unwrap().unwrap();
    let plain = SessionToken::generate();
    let written = serde_json::to_vec(&clear).unwrap();
    bucket.create(&key_of(&process.sessions.0.hasher, &plain), written.into()).await.unwrap();
    assert!(!process.knows(&plain).await);
}

#[tokio::test]
async fn looks_for_unknown_sessions_are_bounded() {
    let bucket = MemorySessions::default();
    let process = process(&bucket, SessionLimits::default()).await;
    let known = process.begins("7").await;
    until(async || process.holds(&known)).await;
    let mut refused = 0;
    for _ in 0..200 {
        refused += usize::from(process.sessions.find(&SessionToken::generate()).await.is_err());
    }
    assert!(refused > 100, "{refused}");
    assert!(process.knows(&known).await, "who is known needs no look");
}
