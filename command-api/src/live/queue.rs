//! What waits for one client: bounded, and dropped as soon as it is too much.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::message::{Message, ResyncReason};

/// Most messages that wait for a client: four seconds' worth. What is on its way to it isn't among them.
pub(super) const QUEUE_MAX: usize = 16;

/// The end of the hub. Dropping it ends the stream.
pub(super) struct Giver(Arc<Queue>);

/// The end of the client.
pub(super) struct Taker(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Message>>,
    /// Why the client gets no further messages.
    verdict: Option<ResyncReason>,
    /// The client is there no more.
    is_left: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    Waits,
    /// Too many wait already. All are dropped, and no further ones are taken.
    TooSlow,
    /// Nobody is there.
    Left,
}

pub(super) fn queue() -> (Giver, Taker) {
    let queue = Arc::<Queue>::default();
    (Giver(Arc::clone(&queue)), Taker(queue))
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Giver {
    pub(super) fn give(&self, message: &Arc<Message>) -> Given {
        let mut state = self.0.lock();
        if state.is_left {
            return Given::Left;
        }
        if state.waiting.len() >= QUEUE_MAX {
            drop(state);
            self.end(ResyncReason::TooSlow);
            return Given::TooSlow;
        }
        state.waiting.push_back(Arc::clone(message));
        drop(state);
        self.0.changed.notify_one();
        Given::Waits
    }

    /// Ends the stream, and drops what waits. The first reason counts.
    pub(super) fn end(&self, reason: ResyncReason) {
        let mut state = self.0.lock();
        state.verdict.get_or_insert(reason);
        state.waiting = VecDeque::new();
        drop(state);
        self.0.changed.notify_one();
    }

    pub(super) fn is_left(&self) -> bool {
        self.0.lock().is_left
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        self.end(ResyncReason::OtherLog);
    }
}

impl Taker {
    /// Waits for the next message, or for the reason why there is none.
    pub(super) async fn next(&self) -> Result<Arc<Message>, ResyncReason> {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.0.changed.notified().await;
        }
    }

    /// The same, if it is there.
    pub(super) fn try_next(&self) -> Option<Result<Arc<Message>, ResyncReason>> {
        let mut state = self.0.lock();
        match state.verdict {
            Some(reason) => Some(Err(reason)),
            None => state.waiting.pop_front().map(Ok),
        }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_left = true;
        state.waiting = VecDeque::new();
    }
}
