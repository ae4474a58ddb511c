//! Whether EVENTS stores what is appended, as far as this process has seen.
//!
//! nats-server refuses an append at once when JetStream's limit is reached (`max_file`). When the disk itself is full, nats-server does not
//! answer appends, while reads still work, until it is restarted. This differs from an outage: an append that began after the leader had
//! answered another request gets no answer. From then on appends are refused here, except for one trial at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::AppendError;

/// While nothing is stored, one append is tried in this interval; all others fail at once.
const TRIAL_INTERVAL: Duration = Duration::from_secs(1);
/// A failure that has not occurred again for this long is no longer reported.
const TROUBLE_MEMORY: Duration = Duration::from_secs(30);
pub(super) const UNACKNOWLEDGED: &str =
    "nats-server answers, but acknowledges no writes; if its disk was full, it must be restarted";

#[derive(Default)]
pub(super) struct Writes(Mutex<State>);

#[derive(Default)]
struct State {
    acknowledged: Option<Instant>,
    /// Since appends get no answer: when the leader answered another request, if it did.
    unanswered: Option<Option<Instant>>,
    failure: Option<Failure>,
}

struct Failure {
    reason: String,
    seen: Instant,
    tried: Instant,
    /// Other requests get no answer either, so a trial takes the whole timeout.
    is_silent: bool,
}

impl Writes {
    /// Fails at once if an append would only wait for its timeout. Call this right before an append.
    pub(super) fn begin(&self, now: Instant) -> Result<(), AppendError> {
        let mut state = self.lock();
        match &mut state.failure {
            Some(failure) if failure.is_silent && now < failure.tried + TRIAL_INTERVAL => {
                Err(AppendError::NoSpace(failure.reason.clone()))
            }
            Some(failure) => {
                failure.tried = now;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn acknowledged(&self, now: Instant) {
        let mut state = self.lock();
        if state.failure.take().is_some() {
            tracing::info!("The event log stores again.");
        }
        *state = State { acknowledged: Some(now), ..State::default() };
    }

    /// An append that began at `began` got no answer.
    pub(super) fn unanswered(&self, began: Instant, now: Instant) {
        let mut state = self.lock();
        let leader_answered = *state.unanswered.get_or_insert(None);
        if state.failure.is_some() || leader_answered.is_some_and(|answered| answered < began) {
            state.fails(UNACKNOWLEDGED.to_owned(), now, true);
        }
    }

    /// The leader has answered a request other than an append.
    pub(super) fn leader_answered(&self, now: Instant) {
        if let Some(answered) = &mut self.lock().unanswered {
            answered.get_or_insert(now);
        }
    }

    /// The connection is a new one: results of the previous connection are discarded.
    pub(super) fn reconnected(&self) {
        *self.lock() = State::default();
    }

    pub(super) fn refused(&self, reason: &str, now: Instant) {
        self.lock().fails(reason.to_owned(), now, false);
    }

    /// When an append was last acknowledged.
    pub(super) fn last_acknowledged(&self) -> Option<Instant> {
        self.lock().acknowledged
    }

    /// Why nothing is stored, if that was observed recently.
    pub(super) fn failure(&self, now: Instant) -> Option<String> {
        let state = self.lock();
        state
            .failure
            .as_ref()
            .filter(|failure| now < failure.seen + TROUBLE_MEMORY)
            .map(|failure| failure.reason.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fails(&mut self, reason: String, now: Instant, is_silent: bool) {
        if self.failure.is_none() {
            tracing::error!(reason, "The event log stores nothing.");
        }
        self.failure = Some(Failure { reason, seen: now, tried: now, is_silent });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        // The clock of tokio is paused in these tests, so all calls start from the same instant.
        Instant::now() + Duration::from_secs(s)
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_is_away_is_no_full_disk() {
        let writes = Writes::default();
        writes.unanswered(at(0), at(2));
        writes.unanswered(at(1), at(3));
        writes.leader_answered(at(4));
        assert!(writes.begin(at(5)).is_ok() && writes.failure(at(5)).is_none(), "the new leader stores");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_answers_and_stores_nothing_is_one() {
        let writes = Writes::default();
        writes.unanswered(at(0), at(2));
        writes.leader_answered(at(2));
        writes.unanswered(at(3), at(5));
        assert!(writes.begin(at(5)).is_err(), "further appends fail at once");
        assert!(writes.begin(at(6)).is_ok(), "one tries");
        assert!(writes.begin(at(6)).is_err(), "and only one");
        assert!(writes.failure(at(6)).is_some());
        writes.unanswered(at(6), at(8));
        assert!(writes.failure(at(37)).is_some());
        assert!(writes.failure(at(39)).is_none(), "the failure has not occurred again");
        writes.acknowledged(at(40));
        assert!(writes.begin(at(40)).is_ok() && writes.failure(at(40)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_at_once_is_tried_each_time() {
        let writes = Writes::default();
        writes.refused("insufficient resources", at(0));
        assert!(writes.begin(at(0)).is_ok() && writes.failure(at(0)).is_some());
        writes.reconnected();
        assert!(writes.failure(at(0)).is_none());
    }
}
