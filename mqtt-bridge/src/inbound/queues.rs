//! Messages of one device one after another, in order of arrival; those of different devices side by side.
//!
//! A fixed number of queues, chosen by a hash of tenant and device, each bounded and with one worker. A full queue may hold up the
//! reader for a small share of the time; beyond it, its messages go back to the broker: one loud device doesn't hold up all others.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use event_store::execute::EXECUTE_TIMEOUT;
use event_store::lifecycle::Tasks;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout};

use super::mqtt_msgs::ACK_WAIT;
use super::{Handler, Inbound, Verdict};

/// Devices whose messages are worked on at the same time.
pub(crate) const QUEUES: usize = 256;
/// Messages that wait in one queue.
const QUEUED_MAX: usize = 32;
/// How long in all a full queue may hold up the others within one window.
const FULL_WAIT: Duration = Duration::from_millis(50);
const FULL_WINDOW: Duration = Duration::from_secs(1);
/// After this long a message for a full queue is delivered again.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// A message that waited longer is left to its redelivery, since working on it takes time too.
const WAITED_MAX: Duration = Duration::from_secs(8);
const _: () = assert!(WAITED_MAX.as_secs() + EXECUTE_TIMEOUT.as_secs() < ACK_WAIT.as_secs());

/// Where messages wait for their turn. Dropping the last one ends the workers, once they have finished what waits.
#[derive(Clone)]
pub(crate) struct Queues {
    queues: Arc<[Queue]>,
    hasher: RandomState,
}

struct Queue {
    sender: mpsc::Sender<Inbound>,
    patience: Mutex<Patience>,
}

/// For how long a queue has held up the reader since the window began.
struct Patience {
    window: Instant,
    used: Duration,
}

impl Patience {
    fn new(now: Instant) -> Self {
        Self { window: now, used: Duration::ZERO }
    }

    /// What is left of the present window.
    fn left(&mut self, now: Instant) -> Duration {
        if now.duration_since(self.window) >= FULL_WINDOW {
            *self = Self::new(now);
        }
        FULL_WAIT.saturating_sub(self.used)
    }
}

impl Queues {
    pub(crate) fn start(handler: &Arc<Handler>, tasks: &Tasks) -> Self {
        let start = |_| {
            let (sender, receiver) = mpsc::channel(QUEUED_MAX);
            tasks.spawn("mqtt-reports", work(receiver, Arc::clone(handler)));
            Queue { sender, patience: Mutex::new(Patience::new(Instant::now())) }
        };
        Self { queues: (0..QUEUES).map(start).collect(), hasher: RandomState::new() }
    }

    /// Hands a message on, or back when there is no room for it.
    pub(crate) async fn push(&self, message: Inbound) {
        let hash = match &message.topic {
            Ok(topic) => self.hasher.hash_one((&topic.tenant, &topic.device)),
            Err(unknown) => self.hasher.hash_one(&unknown.0),
        };
        let queue = &self.queues[(hash % QUEUES as u64) as usize];
        let message = match queue.sender.try_send(message) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(message) | mpsc::error::TrySendError::Closed(message)) => message,
        };
        let began = Instant::now();
        let left = queue.patience.lock().await.left(began);
        let room = timeout(left, queue.sender.reserve()).await;
        queue.patience.lock().await.used += began.elapsed();
        match room {
            Ok(Ok(room)) if !left.is_zero() => room.send(message),
            _ => {
                metrics::counter!("waybill_mqtt_queue_full_total").increment(1);
                message.ack.settle(Verdict::Again(FULL_PAUSE)).await;
            }
        }
    }
}

async fn work(mut queue: mpsc::Receiver<Inbound>, handler: Arc<Handler>) {
    while let Some(message) = queue.recv().await {
        if message.received.elapsed() > WAITED_MAX {
            metrics::counter!("waybill_mqtt_waited_too_long_total").increment(1);
            continue;
        }
        let verdict = handler.handle(&message).await;
        message.ack.settle(verdict).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_up_the_reader_for_a_share_of_each_window() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        assert_eq!(patience.left(start), FULL_WAIT);
        patience.used = FULL_WAIT * 2;
        assert_eq!(patience.left(start + FULL_WINDOW / 2), Duration::ZERO);
        assert_eq!(patience.left(start + FULL_WINDOW), FULL_WAIT);
    }
}
