//! What one client is told, message by message, until its stream ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::guard::Guard;
use super::hub::Subscription;
use super::message::{Message, ResyncReason};
use super::metrics::{self, End};
use super::queue::Taker;
use super::slots::StreamSlot;
use crate::http::Problem;

/// Pause between two looks whether the client may still have the stream.
const GUARD_INTERVAL: Duration = Duration::from_secs(2);
/// One in this many looks asks the read models, too.
const REACH_EVERY: u64 = 2;
/// How soon clients come back after the end of a stream, in milliseconds. Spread, so that not all come at once.
const RETRY_MS: std::ops::Range<u32> = 200..2_000;
/// How soon clients come back that may not have the stream any more. They are refused then.
const RETRY_REFUSED_MS: u32 = 5_000;

/// The end of a stream at which messages are taken.
pub(super) struct Client {
    guard: Guard,
    first: VecDeque<Arc<Message>>,
    messages: Taker,
    looks: Interval,
    looked: u64,
    /// What the service has ended it for.
    pub(super) ended: Option<End>,
    is_over: bool,
    _slot: StreamSlot,
}

impl Client {
    pub(super) fn new(guard: Guard, subscription: Subscription, slot: StreamSlot) -> Self {
        let Subscription { first, messages } = subscription;
        let mut looks = interval_at(Instant::now() + GUARD_INTERVAL, GUARD_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { guard, first: first.into(), messages, looks, looked: 0, ended: None, is_over: false, _slot: slot }
    }

    /// The next message; none after the last one.
    pub(super) async fn next(&mut self) -> Option<Arc<Message>> {
        if self.is_over {
            return None;
        }
        if let Some(first) = self.first.pop_front() {
            return Some(first);
        }
        let stop = self.guard.app.tasks.token().clone();
        loop {
            // In this order: a client that comes back after a long time is told nothing that it may no longer know.
            tokio::select! {
                biased;
                () = stop.cancelled() => return Some(self.end(End::Stopping, "stopping")),
                _ = self.looks.tick() => {
                    self.looked += 1;
                    if let Err(problem) = self.guard.check(self.looked.is_multiple_of(REACH_EVERY)).await {
                        return Some(self.refused(&problem));
                    }
                }
                next = self.messages.next() => return Some(next.unwrap_or_else(|reason| self.resync(reason))),
            }
        }
    }

    fn resync(&mut self, reason: ResyncReason) -> Arc<Message> {
        self.is_over = true;
        metrics::resync(reason);
        Arc::new(Message::resync(self.guard.app.live.0.position(), reason))
    }

    fn refused(&mut self, problem: &Problem) -> Arc<Message> {
        let is_refusal = problem.status() != StatusCode::SERVICE_UNAVAILABLE;
        let end = if is_refusal { End::Refused } else { End::Unavailable };
        tracing::debug!(reason = problem.code(), "a stream of live messages ends");
        self.end(end, problem.code())
    }

    fn end(&mut self, end: End, reason: &str) -> Arc<Message> {
        (self.is_over, self.ended) = (true, Some(end));
        metrics::ended(end);
        let retry_ms = if end == End::Refused { RETRY_REFUSED_MS } else { rand::random_range(RETRY_MS) };
        Arc::new(Message::end(reason, retry_ms))
    }
}
