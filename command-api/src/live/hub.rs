//! Gives each change to the streams that are about it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_store::{Log, PositionToken, RawRecord};
use runtime::clock;
use runtime::lifecycle::Tasks;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::backlog::Backlog;
use super::change::{Change, changes_of};
use super::coalescer::Coalescer;
use super::message::{HEARTBEAT, Message, ResyncReason};
use super::metrics;
use super::queue::{Given, Giver, Taker, queue};
use super::topic::{Place, Topic};

/// Most topics of a place, so of one campaign, device or tenant: so many streams with different filters. A change is compared with each of them
/// while all other streams wait.
pub(super) const TOPICS_MAX: usize = 64;
/// How long the log is followed without a stream.
const LINGER: Duration = Duration::from_secs(60);

/// All streams of a process. Clones share them.
#[derive(Clone)]
pub(crate) struct Hub(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) log: Arc<dyn Log>,
    pub(super) tasks: Tasks,
    state: Mutex<State>,
    pub(super) progress: watch::Sender<Progress>,
    /// A stream was opened.
    pub(super) opened: Notify,
}

/// How far the log is followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Whether everything that was stored at the start of the reader has been read.
    pub(super) is_ready: bool,
    pub(super) through: u64,
    /// Readers that failed to begin.
    pub(super) failures: u64,
}

#[derive(Default)]
struct State {
    /// Whether a reader runs, or begins.
    is_followed: bool,
    is_ready: bool,
    incarnation_ms: u64,
    through: u64,
    backlog: Backlog,
    topics: HashMap<u64, Streams>,
    by_place: HashMap<Place, Vec<u64>>,
    /// When each topic has something to say, be it a heartbeat.
    due: BTreeSet<(Instant, u64)>,
    last_id: u64,
    /// Since when there is no stream.
    idle_since: Option<Instant>,
}

/// The streams of a topic.
struct Streams {
    topic: Topic,
    coalescer: Coalescer,
    clients: Vec<Giver>,
    sent_at: Instant,
    /// As in [`State::due`].
    due: Instant,
}

/// A client's part of a stream.
pub(super) struct Subscription {
    /// What it is told first.
    pub(super) first: Vec<Arc<Message>>,
    pub(super) messages: Taker,
}

/// From where on a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Now,
    /// It has what was stored up to here, and this is in the log.
    After(u64),
    /// It must read everything again.
    ReadAgain(ResyncReason),
}

/// Why there is no subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// No reader is ready.
    NotFollowed,
    /// Its place has as many topics as it may have, and this would be another one.
    TooManyTopics,
}

impl Hub {
    pub(crate) fn new(log: Arc<dyn Log>, tasks: Tasks) -> Self {
        let (state, progress) = (Mutex::default(), watch::Sender::default());
        Self(Arc::new(Shared { log, tasks, state, progress, opened: Notify::new() }))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller has to start a reader. Nobody else will until it ends.
    pub(super) fn claims_reader(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_followed, true)
    }

    /// The reader begins after a position.
    pub(super) fn begin(&self, incarnation_ms: u64, after: u64) {
        let mut state = self.lock();
        (state.incarnation_ms, state.through, state.backlog) = (incarnation_ms, after, Backlog::new(after));
        self.progress.send_modify(|progress| progress.through = after);
    }

    pub(super) fn ready(&self) {
        let mut state = self.lock();
        state.is_ready = true;
        state.idle_since = Some(Instant::now());
        self.progress.send_modify(|progress| progress.is_ready = true);
    }

    /// A record of the log.
    pub(super) fn apply(&self, record: &RawRecord, now: Instant) {
        let changes = changes_of(record);
        let mut state = self.lock();
        state.through = state.through.max(record.position);
        for change in changes {
            state.tell(&change, now);
            state.backlog.push(change);
        }
        state.send_due(now);
        let through = state.through;
        drop(state);
        self.progress.send_if_modified(|progress| {
            let is_new = progress.through != through;
            progress.through = through;
            is_new
        });
    }

    /// Everything up to a position was read.
    pub(super) fn read_through(&self, position: u64) {
        let mut state = self.lock();
        state.through = state.through.max(position);
        let through = state.through;
        drop(state);
        self.progress.send_modify(|progress| progress.through = through);
    }

    /// Sends what is due; when to come again.
    pub(super) fn send_due(&self, now: Instant) -> Instant {
        let mut state = self.lock();
        state.send_due(now);
        state.due.first().map_or(now + LINGER, |(due, _)| *due)
    }

    /// Ends the reader if there has been no stream for a time.
    pub(super) fn ends_when_idle(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let is_idle = state.topics.is_empty() && state.idle_since.is_some_and(|since| now >= since + LINGER);
        if is_idle {
            self.forget(&mut state);
        }
        is_idle
    }

    /// The reader has failed: every client must read everything again, and opens another stream.
    pub(super) fn fail(&self) {
        let mut state = self.lock();
        for client in state.topics.values().flat_map(|streams| &streams.clients) {
            client.end(ResyncReason::OtherLog);
        }
        self.forget(&mut state);
        self.progress.send_modify(|progress| progress.failures += 1);
    }

    fn forget(&self, state: &mut State) {
        *state = State { through: state.through, incarnation_ms: state.incarnation_ms, ..State::default() };
        self.progress.send_modify(|progress| progress.is_ready = false);
    }

    /// The position up to which clients have been told.
    pub(super) fn position(&self) -> PositionToken {
        self.lock().position()
    }

    /// A stream of a topic. What it missed is looked through without the lock: it is told before what comes after it.
    pub(super) fn subscribe(&self, topic: &Topic, from: Start, now: Instant) -> Result<Subscription, NotOpened> {
        let mut state = self.lock();
        if !state.is_ready {
            return Err(NotOpened::NotFollowed);
        }
        if !state.has_room(topic, now) {
            return Err(NotOpened::TooManyTopics);
        }
        let (position, missed) = (state.position(), state.missed(from));
        let (client, messages) = queue();
        state.add(topic, client, now);
        drop(state);
        self.opened.notify_one();
        let first = first_messages(topic, position, missed, now).into_iter().map(Arc::new).collect();
        Ok(Subscription { first, messages })
    }
}

impl State {
    fn position(&self) -> PositionToken {
        PositionToken { incarnation_ms: self.incarnation_ms, sequence: self.through }
    }

    /// What changed since a client was told for the last time.
    fn missed(&self, from: Start) -> Result<Vec<Arc<Change>>, ResyncReason> {
        match from {
            Start::Now => Ok(vec![]),
            Start::After(after) => self.backlog.after(after).ok_or(ResyncReason::TooOld),
            Start::ReadAgain(reason) => Err(reason),
        }
    }

    /// Whether a stream of a topic may be added. Topics whose clients have all left make room.
    fn has_room(&mut self, topic: &Topic, now: Instant) -> bool {
        let Some(ids) = self.by_place.get(&topic.place()) else { return true };
        if ids.len() < TOPICS_MAX || ids.iter().any(|id| self.has(*id, topic)) {
            return true;
        }
        let is_left = |id: &u64| self.topics.get(id).is_some_and(Streams::is_left);
        let Some(left) = ids.iter().copied().find(is_left) else { return false };
        self.remove(left, now);
        true
    }

    fn has(&self, id: u64, topic: &Topic) -> bool {
        self.topics.get(&id).is_some_and(|streams| streams.topic == *topic)
    }

    fn add(&mut self, topic: &Topic, client: Giver, now: Instant) {
        self.idle_since = None;
        let ids = self.by_place.entry(topic.place()).or_default();
        if let Some(id) = ids.iter().find(|id| self.topics.get(id).is_some_and(|streams| streams.topic == *topic)) {
            if let Some(streams) = self.topics.get_mut(id) {
                streams.clients.push(client);
            }
            return;
        }
        self.last_id += 1;
        let (id, due) = (self.last_id, now + HEARTBEAT);
        ids.push(id);
        let (topic, coalescer, clients) = (topic.clone(), Coalescer::default(), vec![client]);
        self.topics.insert(id, Streams { topic, coalescer, clients, sent_at: now, due });
        self.due.insert((due, id));
    }

    /// Gives a change to the topics that it belongs to.
    fn tell(&mut self, change: &Change, now: Instant) {
        if self.topics.is_empty() {
            return;
        }
        for place in Place::of(change) {
            for id in self.by_place.get(&place).into_iter().flatten() {
                let Some(streams) = self.topics.get_mut(id) else { continue };
                for told in streams.topic.tells(change) {
                    streams.coalescer.add(change, &told);
                }
                streams.reschedule(*id, &mut self.due, now);
            }
        }
    }

    fn send_due(&mut self, now: Instant) {
        while let Some((due, id)) = self.due.first().copied()
            && due <= now
        {
            self.send(id, now);
        }
    }

    /// Sends a topic's next message: its changes, or a heartbeat.
    fn send(&mut self, id: u64, now: Instant) {
        let position = self.position();
        let Some(streams) = self.topics.get_mut(&id) else { return };
        let message = match streams.coalescer.take(now) {
            Some(batch) => {
                metrics::delay(clock::now() - batch.since);
                Message::changes(position, &batch)
            }
            None => Message::heartbeat(position),
        };
        streams.give(&Arc::new(message));
        streams.sent_at = now;
        streams.reschedule(id, &mut self.due, now);
        if streams.clients.is_empty() {
            self.remove(id, now);
        }
    }

    fn remove(&mut self, id: u64, now: Instant) {
        let Some(streams) = self.topics.remove(&id) else { return };
        self.due.remove(&(streams.due, id));
        let place = streams.topic.place();
        if let Some(ids) = self.by_place.get_mut(&place) {
            ids.retain(|one| *one != id);
            if ids.is_empty() {
                self.by_place.remove(&place);
            }
        }
        if self.topics.is_empty() {
            self.idle_since = Some(now);
        }
    }
}

/// What a client is told first, at a position.
fn first_messages(
    topic: &Topic,
    position: PositionToken,
    missed: Result<Vec<Arc<Change>>, ResyncReason>,
    now: Instant,
) -> Vec<Message> {
    let missed = match missed {
        Ok(missed) => missed,
        Err(reason) => {
            metrics::resync(reason);
            return vec![Message::hello(position, false), Message::resync(position, reason)];
        }
    };
    let mut coalescer = Coalescer::default();
    for change in &missed {
        topic.tells(change).iter().for_each(|told| coalescer.add(change, told));
    }
    match coalescer.take(now) {
        Some(batch) => vec![Message::hello(position, false), Message::changes(position, &batch)],
        None => vec![Message::hello(position, true)],
    }
}

impl Streams {
    /// Whether no client is there any more.
    fn is_left(&self) -> bool {
        self.clients.iter().all(Giver::is_left)
    }

    fn reschedule(&mut self, id: u64, all: &mut BTreeSet<(Instant, u64)>, now: Instant) {
        let due = self.coalescer.due(now).unwrap_or(self.sent_at + HEARTBEAT);
        if due != self.due {
            all.remove(&(self.due, id));
            all.insert((due, id));
            self.due = due;
        }
    }

    /// Gives a message to every client that keeps up. Nobody is waited for.
    fn give(&mut self, message: &Arc<Message>) {
        self.clients.retain(|client| match client.give(message) {
            Given::Waits => true,
            Given::TooSlow => {
                metrics::left_behind();
                false
            }
            Given::Left => false,
        });
        metrics::messages(message.is_heartbeat, self.clients.len());
    }
}
