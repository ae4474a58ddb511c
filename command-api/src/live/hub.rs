//! Gives each change to the streams that are about it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_store::{Log, PositionToken, RawRecord};
use runtime::clock;
use runtime::lifecycle::Tasks;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::backlog::Backlog;
use super::change::{Change, changes_of};
use super::coalescer::Coalescer;
use super::message::{Message, ResyncReason};
use super::metrics;
use super::topic::{Place, Topic};

/// Longest silence of a stream.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Most messages that wait for a client: four seconds' worth. What is on its way to it isn't among them.
const QUEUE_MAX: usize = 16;
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
    clients: Vec<Client>,
    sent_at: Instant,
    /// As in [`State::due`].
    due: Instant,
}

struct Client {
    messages: Sender<Arc<Message>>,
    verdict: Arc<Verdict>,
}

/// Why a client gets no further messages.
#[derive(Default)]
pub(super) struct Verdict(AtomicU8);

/// A client's part of a stream.
pub(super) struct Subscription {
    /// What it is told first.
    pub(super) first: Vec<Arc<Message>>,
    pub(super) messages: Receiver<Arc<Message>>,
    pub(super) verdict: Arc<Verdict>,
}

/// From where on a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Now,
    /// It has what was stored up to here, and this is in the log.
    After(u64),
    /// It must read anew.
    Anew(ResyncReason),
}

impl Verdict {
    fn is(&self, reason: ResyncReason) {
        let code = ResyncReason::ALL.iter().position(|one| *one == reason).map_or(0, |at| at as u8 + 1);
        self.0.store(code, Ordering::Release);
    }

    pub(super) fn get(&self) -> Option<ResyncReason> {
        let code = usize::from(self.0.load(Ordering::Acquire));
        code.checked_sub(1).and_then(|at| ResyncReason::ALL.get(at).copied())
    }
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

    /// The reader has failed: every client must read anew, and opens another stream.
    pub(super) fn fail(&self) {
        let mut state = self.lock();
        for client in state.topics.values().flat_map(|streams| &streams.clients) {
            client.verdict.is(ResyncReason::OtherLog);
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

    /// A stream of a topic; none if no reader is ready.
    pub(super) fn subscribe(&self, topic: &Topic, from: Start, now: Instant) -> Option<Subscription> {
        let mut state = self.lock();
        if !state.is_ready {
            return None;
        }
        let first = state.first_messages(topic, from, now);
        let (sender, messages) = channel(QUEUE_MAX);
        let verdict = Arc::new(Verdict::default());
        let client = Client { messages: sender, verdict: Arc::clone(&verdict) };
        state.add(topic, client, now);
        drop(state);
        self.opened.notify_one();
        Some(Subscription { first: first.into_iter().map(Arc::new).collect(), messages, verdict })
    }
}

impl State {
    fn position(&self) -> PositionToken {
        PositionToken { incarnation_ms: self.incarnation_ms, sequence: self.through }
    }

    fn first_messages(&self, topic: &Topic, from: Start, now: Instant) -> Vec<Message> {
        let position = self.position();
        let resync = |reason| {
            metrics::resync(reason);
            vec![Message::hello(position, false), Message::resync(position, reason)]
        };
        let after = match from {
            Start::Now => return vec![Message::hello(position, true)],
            Start::Anew(reason) => return resync(reason),
            Start::After(after) => after,
        };
        let Some(missed) = self.backlog.after(after) else { return resync(ResyncReason::TooOld) };
        let mut coalescer = Coalescer::default();
        for change in missed {
            topic.tells(change).iter().for_each(|told| coalescer.add(change, told));
        }
        match coalescer.take(now) {
            Some(batch) => vec![Message::hello(position, false), Message::changes(position, &batch)],
            None => vec![Message::hello(position, true)],
        }
    }

    fn add(&mut self, topic: &Topic, client: Client, now: Instant) {
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

impl Streams {
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
        self.clients.retain(|client| match client.messages.try_send(Arc::clone(message)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                client.verdict.is(ResyncReason::TooSlow);
                metrics::left_behind();
                false
            }
            Err(TrySendError::Closed(_)) => false,
        });
        metrics::messages(message.is_heartbeat, self.clients.len());
    }
}
