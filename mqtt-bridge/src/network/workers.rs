//! Events of one device are handled one after another, in order of arrival; those of different devices in parallel.
//!
//! Invariants: the reader never waits for one device. A panic concerns its event alone.

use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::Acker;
use futures::FutureExt;
use runtime::lifecycle::Tasks;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::intake::{Intake, Read};
use crate::inbound::Verdict;

/// Events given out and not yet acknowledged, over all bridges.
pub(super) const ACK_PENDING_MAX: usize = 1_024;
/// An event without an acknowledgement is delivered again after this time. Longer than it takes to handle all that are given out, with a slow
/// server.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(10);
/// While an event is handled, the queue gets a progress acknowledgement in this interval.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(4);
const _: () =
    assert!(PROGRESS_INTERVAL.as_secs() * 2 < ACK_WAIT.as_secs(), "no event is delivered again while it is handled");
/// Events that are handled at the same time.
const WORKERS: usize = 64;
/// An event for a worker that has too many is delivered again after this time.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// An event whose handling panics at this delivery, or at a later one, becomes a dead letter.
const DELIVERIES_MAX: u32 = 3;

/// An event and how to acknowledge it.
pub(super) struct Job {
    pub(super) read: Read,
    pub(super) acker: Acker,
}

pub(super) struct Workers {
    senders: Vec<mpsc::Sender<Job>>,
    hasher: RandomState,
}

impl Workers {
    pub(super) fn start(intake: &Arc<Intake>, tasks: &Tasks) -> Self {
        let start = |_| {
            // Room for all events that the queue gives out at once.
            let (sender, jobs) = mpsc::channel(ACK_PENDING_MAX);
            tasks.spawn("network-events", work(jobs, Arc::clone(intake), tasks.token().clone()));
            sender
        };
        Self { senders: (0..WORKERS).map(start).collect(), hasher: RandomState::new() }
    }

    pub(super) async fn push(&self, job: Job) {
        let eui = job.read.event.as_ref().map(|event| event.dev_eui.as_str()).unwrap_or_default();
        let hash = self.hasher.hash_one((&job.read.raw.tenant, eui));
        let Some(sender) = self.senders.get((hash % WORKERS as u64) as usize) else { return };
        match sender.try_send(job) {
            Ok(()) => {}
            // Some that wait there were delivered again meanwhile.
            Err(TrySendError::Full(job)) => settle(&job.acker, Verdict::Retry(FULL_PAUSE)).await,
            // The process stops; the event is delivered again then.
            Err(TrySendError::Closed(_)) => {}
        }
    }
}

async fn work(mut jobs: mpsc::Receiver<Job>, intake: Arc<Intake>, stop: CancellationToken) {
    while let Some(Some(job)) = stop.run_until_cancelled(jobs.recv()).await {
        serve(&job, &intake).await;
    }
    jobs.close();
    while let Ok(job) = jobs.try_recv() {
        settle(&job.acker, Verdict::Retry(Duration::ZERO)).await;
    }
}

async fn serve(job: &Job, intake: &Intake) {
    let mut handled = pin!(handle(intake, &job.read));
    let verdict = loop {
        match timeout(PROGRESS_INTERVAL, &mut handled).await {
            Ok(verdict) => break verdict,
            Err(_) => acknowledge(&job.acker, AckKind::Progress).await,
        }
    };
    settle(&job.acker, verdict).await;
}

/// Handles an event. One whose handling panics is delivered again a few times.
async fn handle(intake: &Intake, read: &Read) -> Verdict {
    let mut verdict = caught(intake.handle(read)).await;
    if verdict.is_none() {
        let (tenant, number, times) = (&read.raw.tenant, read.number, read.times);
        tracing::error!(tenant.id = %tenant, number, times, "Handling an event of a network server panicked.");
        if read.times >= DELIVERIES_MAX {
            verdict = caught(intake.refuse(read, "handling it panics")).await;
        }
    }
    verdict.unwrap_or_else(|| Verdict::Retry(read.retry_pause()))
}

/// None after a panic.
async fn caught(handled: impl Future<Output = Verdict>) -> Option<Verdict> {
    AssertUnwindSafe(handled).catch_unwind().await.ok()
}

async fn settle(acker: &Acker, verdict: Verdict) {
    let kind = match verdict {
        Verdict::Done => AckKind::Ack,
        Verdict::Retry(pause) => AckKind::Nak(Some(pause)),
    };
    acknowledge(acker, kind).await;
}

/// If this fails, the event is delivered again after the acknowledgement timeout.
async fn acknowledge(acker: &Acker, kind: AckKind) {
    if let Err(error) = acker.ack_with(kind).await {
        tracing::debug!(%error, "an event of a network server can't be acknowledged");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_while_an_event_is_handled_does_not_end_its_worker() {
        let panics = async {
            assert!(std::hint::black_box(false), "on purpose");
            Verdict::Done
        };
        assert_eq!(caught(panics).await, None);
        assert_eq!(caught(async { Verdict::Done }).await, Some(Verdict::Done));
    }
}
