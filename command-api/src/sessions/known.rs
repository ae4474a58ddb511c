//! The sessions in memory.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Actor, TenantId};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;
use tokio::time::Instant;
use uuid::Uuid;

use super::listed::id_of;
use super::record::Session;

/// Most sessions that are followed. Others are looked up at each request.
const FOLLOWED_MAX: usize = 100_000;
/// Most looks into the bucket per second, and at once.
const LOOKS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).expect("not zero");
/// How long this process remembers which sessions it has ended, while changes from before their ends may still be on their way.
const ENDED_KEPT: Duration = Duration::from_secs(60);
const ENDED_MAX: u64 = 10_000;

/// A session with its last use here.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// As stored.
    pub(super) session: Session,
    pub(super) revision: u64,
    pub(super) used_at: DateTime<Utc>,
    pub(super) id: Uuid,
}

pub(super) struct Known {
    held: Mutex<HashMap<String, Held>>,
    ended: Cache<String, ()>,
    /// The latest moment at which nothing that the leader had was missing.
    complete_at: Mutex<Option<Instant>>,
    looks: DefaultDirectRateLimiter,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            ended: Cache::builder().max_capacity(ENDED_MAX).time_to_live(ENDED_KEPT).build(),
            complete_at: Mutex::default(),
            looks: RateLimiter::direct(Quota::per_second(LOOKS_PER_SECOND)),
        }
    }
}

impl Known {
    pub(super) fn is_current(&self, within: Duration) -> bool {
        let complete_at = *self.complete_at.lock().unwrap_or_else(PoisonError::into_inner);
        complete_at.is_some_and(|at| at.elapsed() <= within)
    }

    pub(super) fn set_complete(&self, at: Option<Instant>) {
        *self.complete_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    pub(super) fn may_look(&self) -> bool {
        self.looks.check().is_ok()
    }

    pub(super) fn has_ended(&self, key: &str) -> bool {
        self.ended.contains_key(key)
    }

    /// A session that lasts, with this use.
    pub(super) fn used(&self, key: &str, now: DateTime<Utc>, idle: TimeDelta) -> Option<Session> {
        let mut held = self.lock();
        let found = held.get_mut(key)?;
        let session = Session { used_at: found.used_at.max(found.session.used_at), ..found.session.clone() };
        if !session.lasts(now, idle) {
            return None;
        }
        found.used_at = found.used_at.max(now);
        Some(Session { used_at: found.used_at, ..session })
    }

    /// A session with its last use here.
    pub(super) fn get(&self, key: &str) -> Option<Session> {
        let held = self.lock();
        let found = held.get(key)?;
        Some(Session { used_at: found.used_at.max(found.session.used_at), ..found.session.clone() })
    }

    /// The keys of a person's sessions, the oldest first, and how many sessions their tenant has that began after as many suspensions.
    pub(super) fn of_person(&self, tenant: &TenantId, actor: &Actor, suspensions: u64) -> (Vec<String>, usize) {
        let held = self.lock();
        let mut of_person = Vec::new();
        let mut of_tenant = 0;
        for (key, one) in held.iter().filter(|(_, one)| one.session.tenant == *tenant) {
            of_tenant += usize::from(one.session.standing.suspensions == suspensions);
            if one.session.actor == *actor {
                of_person.push((one.session.created_at, key.clone()));
            }
        }
        of_person.sort();
        (of_person.into_iter().map(|(_, key)| key).collect(), of_tenant)
    }

    /// The sessions of a person, with their last uses as far as they are known here.
    pub(super) fn listed(&self, tenant: &TenantId, actor: &Actor) -> Vec<(String, Held)> {
        let held = self.lock();
        let of_person = held.iter().filter(|(_, one)| one.session.tenant == *tenant && one.session.actor == *actor);
        of_person.map(|(key, one)| (key.clone(), one.clone())).collect()
    }

    /// The session of a tenant with this id.
    pub(super) fn by_id(&self, tenant: &TenantId, id: Uuid) -> Option<(String, Actor)> {
        let held = self.lock();
        let (key, found) = held.iter().find(|(_, one)| one.id == id && one.session.tenant == *tenant)?;
        Some((key.clone(), found.session.actor.clone()))
    }

    /// Whether this knows all that the leader had at a moment.
    pub(super) fn is_complete_since(&self, moment: Instant) -> bool {
        let complete_at = *self.complete_at.lock().unwrap_or_else(PoisonError::into_inner);
        complete_at.is_some_and(|at| at >= moment)
    }

    /// A change of the bucket. None: the session has ended, or can't be read.
    pub(super) fn apply(&self, key: String, revision: u64, session: Option<Session>) {
        let mut held = self.lock();
        match session {
            None => drop(held.remove(&key)),
            Some(session) => {
                let is_new = !held.contains_key(&key);
                if is_new && (held.len() >= FOLLOWED_MAX || self.has_ended(&key)) {
                    return;
                }
                let used_at = held.get(&key).map_or(session.used_at, |before| before.used_at.max(session.used_at));
                let id = id_of(&key);
                held.insert(key, Held { session, revision, used_at, id });
            }
        }
    }

    /// Ends a session in this process.
    pub(super) fn end(&self, key: &str) {
        self.ended.insert(key.to_owned(), ());
        self.lock().remove(key);
    }

    /// Forgets sessions that have expired.
    pub(super) fn forget_expired(&self, now: DateTime<Utc>, idle: TimeDelta) {
        self.lock().retain(|_, held| Session { used_at: held.used_at, ..held.session.clone() }.lasts(now, idle));
    }

    pub(super) fn clear(&self) {
        self.set_complete(None);
        self.lock().clear();
    }

    /// Sessions whose stored last use is older than this.
    pub(super) fn used_since(&self, older: TimeDelta, most: usize) -> Vec<(String, Held)> {
        let held = self.lock();
        let unstored = held.iter().filter(|(_, held)| held.used_at - held.session.used_at >= older);
        unstored.take(most).map(|(key, held)| (key.clone(), held.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
