//! Events of one device are handled one after another, in order of arrival; those of different devices in parallel.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::message::Acker;
use runtime::lifecycle::Tasks;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::intake::{Intake, Read};
use super::queue::ACK_PENDING_MAX;
use crate::inbound::Verdict;

/// Events that are handled at the same time.
const WORKERS: usize = 64;

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
            // Each can hold all that the queue gives out at once, so that the reader never waits for one device.
            let (sender, jobs) = mpsc::channel(ACK_PENDING_MAX);
            tasks.spawn("network-events", work(jobs, Arc::clone(intake), tasks.token().clone()));
            sender
        };
        Self { senders: (0..WORKERS).map(start).collect(), hasher: RandomState::new() }
    }

    pub(super) async fn push(&self, job: Job) {
        let eui = job.read.event.as_ref().map(|event| event.dev_eui.as_str()).unwrap_or_default();
        let hash = self.hasher.hash_one((&job.read.raw.tenant, eui));
        if let Some(sender) = self.senders.get((hash % WORKERS as u64) as usize) {
            // It fails only while the process stops; the event is delivered again then.
            sender.send(job).await.ok();
        }
    }
}

async fn work(mut jobs: mpsc::Receiver<Job>, intake: Arc<Intake>, stop: CancellationToken) {
    while let Some(Some(job)) = stop.run_until_cancelled(jobs.recv()).await {
        let verdict = intake.handle(&job.read).await;
        settle(&job.acker, verdict).await;
    }
    jobs.close();
    while let Ok(job) = jobs.try_recv() {
        settle(&job.acker, Verdict::Retry(Duration::ZERO)).await;
    }
}

/// If this fails, the event is delivered again after the acknowledgement timeout.
async fn settle(acker: &Acker, verdict: Verdict) {
    let kind = match verdict {
        Verdict::Done => AckKind::Ack,
        Verdict::Retry(pause) => AckKind::Nak(Some(pause)),
    };
    if let Err(error) = acker.ack_with(kind).await {
        tracing::debug!(%error, "an event of a network server can't be acknowledged");
    }
}
