//! Queues of messages: messages of one device are handled in order of arrival, those of different devices in parallel.
//!
//! A fixed number of queues, chosen by a hash of tenant and device, each with one worker that serves its devices in turn. The reader never
//! waits for them. For each device a queue has a bounded [`device_queue`]: messages above its rate wait there, are replaced by newer ones, or
//! are dropped. So one device never has many unacknowledged messages at the broker, and the others are served as usual.

mod coalesce;
mod device_queue;
mod rates;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::AckKind;
use moka::sync::Cache;
use runtime::lifecycle::Tasks;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::coalesce::Coalesced;
use self::device_queue::{DeviceQueue, Dropped, Entry, Standing};
use self::rates::{FORGOTTEN_AFTER, Rates};
use super::handler::Handled;
use super::mqtt_msgs::ACK_WAIT;
use super::{Ack, Handler, Inbound, Verdict};
use crate::limits::{Limit, REMEMBERED_MAX};

/// Devices whose messages are handled at the same time.
pub(crate) const QUEUES: usize = 256;
/// Messages that wait in one queue, of all its devices.
const QUEUED_MAX: usize = 512;
/// A message for a full queue is redelivered after this time.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// A message that waits gets a progress acknowledgement after this time; a worker checks for such messages in this interval, also while it
/// handles a message.
const RENEWED_AFTER: Duration = Duration::from_secs(2);
const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);
/// How late a progress acknowledgement may reach the broker.
const RENEWAL_SLACK: Duration = Duration::from_secs(2);
const _: () = assert!(
    RENEWED_AFTER.as_secs() + RENEWAL_INTERVAL.as_secs() + RENEWAL_SLACK.as_secs() < ACK_WAIT.as_secs(),
    "no message is redelivered while it waits here or is being handled"
);
/// A device that exceeds its rate is logged once in this time.
const NAMED_INTERVAL: Duration = Duration::from_secs(60);

/// The queues. When dropped, the workers finish what is due, give back the rest and end.
pub(crate) struct Queues {
    queues: Vec<Arc<Queue>>,
    hasher: RandomState,
    named: Limit,
}

struct Queue {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Used rates of devices without waiting messages.
    rates: Cache<u64, Rates>,
}

#[derive(Default)]
struct Waiting {
    devices: HashMap<u64, DeviceQueue<Arc<Inbound>>>,
    /// Devices with waiting messages, the next one first.
    turns: VecDeque<u64>,
    messages: usize,
    closed: bool,
}

/// What a worker does next.
enum Turn {
    Work(u64, Entry<Arc<Inbound>>),
    Wait(Option<Instant>),
    GiveBack(Vec<Arc<Inbound>>),
}

/// Result of pushing a message to a queue.
enum Pushed {
    Kept,
    Full(Arc<Inbound>),
    LetGo(Arc<Inbound>, Dropped),
}

impl Queues {
    pub(crate) fn start(handler: &Arc<Handler>, tasks: &Tasks) -> Self {
        let rates = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(FORGOTTEN_AFTER).build();
        let start = |_| {
            let queue = Arc::new(Queue { waiting: Mutex::default(), wake: Notify::new(), rates: rates.clone() });
            tasks.spawn("mqtt-reports", work(Arc::clone(&queue), Arc::clone(handler)));
            queue
        };
        let queues = (0..QUEUES).map(start).collect();
        Self { queues, hasher: RandomState::new(), named: Limit::once_in(NAMED_INTERVAL) }
    }

    /// Pushes a message to its queue, or gives it back to the broker if the queue is full.
    pub(crate) async fn push(&self, message: Inbound) {
        let device = match message.owner() {
            (Some(tenant), Some(device)) => self.hasher.hash_one((tenant, device)),
            // Messages without a device share one queue.
            _ => self.hasher.hash_one(()),
        };
        let queue = &self.queues[(device % QUEUES as u64) as usize];
        let pushed = queue.push(device, Arc::new(message), Instant::now());
        queue.wake.notify_one();
        match pushed {
            Pushed::Kept => {}
            Pushed::Full(message) => {
                metrics::counter!("waybill_mqtt_queue_full_total").increment(1);
                message.ack.settle(Verdict::Retry(FULL_PAUSE)).await;
            }
            Pushed::LetGo(message, why) => {
                self.name(device, &message, why);
                drop_message(&message, why).await;
            }
        }
    }

    /// Logs which device exceeds its rate.
    fn name(&self, device: u64, message: &Arc<Inbound>, why: Dropped) {
        if why == Dropped::Throttled || self.named.is_over(&device) {
            return;
        }
        self.named.record(&device);
        let (kind, topic) = (message.kind().label(), message.topic_text());
        tracing::warn!(kind, topic, reason = why.label(), "a device exceeds its rate; its newest message counts");
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.lock().closed = true;
            queue.wake.notify_one();
        }
    }
}

impl Queue {
    /// Nothing panics under this lock, and the guarded data is always consistent.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, device: u64, message: Arc<Inbound>, now: Instant) -> Pushed {
        let mut waiting = self.lock();
        if waiting.messages >= QUEUED_MAX {
            return Pushed::Full(message);
        }
        let dropped = self.change(&mut waiting, device, |queue| queue.offer(message, now));
        dropped.map_or(Pushed::Kept, |(message, why)| Pushed::LetGo(message, why))
    }

    fn turn(&self, now: Instant) -> Turn {
        let mut waiting = self.lock();
        for _ in 0..waiting.turns.len() {
            let Some(device) = waiting.turns.pop_front() else { break };
            waiting.turns.push_back(device);
            if let Some(entry) = self.change(&mut waiting, device, |queue| queue.next(now)) {
                return Turn::Work(device, entry);
            }
        }
        if waiting.closed {
            let rest = waiting.devices.drain().flat_map(|(_, mut queue)| queue.drain()).collect();
            return Turn::GiveBack(rest);
        }
        Turn::Wait(waiting.devices.values().filter_map(|queue| queue.due(now)).min())
    }

    /// Changes the queue of a device. It exists while it is not empty.
    fn change<T>(
        &self,
        waiting: &mut Waiting,
        device: u64,
        change: impl FnOnce(&mut DeviceQueue<Arc<Inbound>>) -> T,
    ) -> T {
        let known = waiting.devices.contains_key(&device);
        let rates = || self.rates.get(&device).unwrap_or_default();
        let queue = waiting.devices.entry(device).or_insert_with(|| DeviceQueue::new(rates()));
        let before = queue.len();
        let outcome = change(queue);
        let (after, used) = (queue.len(), queue.rates);
        waiting.messages = waiting.messages + after - before;
        if after == 0 {
            waiting.devices.remove(&device);
            waiting.turns.retain(|other| *other != device);
            self.rates.insert(device, used);
        } else if !known {
            waiting.turns.push_back(device);
        }
        outcome
    }

    fn unrenewed(&self, now: Instant) -> Vec<Arc<Inbound>> {
        self.lock().devices.values_mut().flat_map(|queue| queue.unrenewed(RENEWED_AFTER, now)).collect()
    }
}

async fn work(queue: Arc<Queue>, handler: Arc<Handler>) {
    let mut renewal = Instant::now() + RENEWAL_INTERVAL;
    loop {
        let now = Instant::now();
        if now >= renewal {
            renewal = renew(&queue, None).await;
        }
        match queue.turn(now) {
            Turn::Work(device, entry) => {
                let message = Arc::clone(&entry.message);
                let mut served = pin!(serve(&queue, &handler, device, entry));
                loop {
                    tokio::select! {
                        () = &mut served => break,
                        () = sleep_until(renewal) => renewal = renew(&queue, Some(&message)).await,
                    }
                }
            }
            Turn::Wait(None) => queue.wake.notified().await,
            Turn::Wait(Some(due)) => tokio::select! {
                () = queue.wake.notified() => {}
                () = sleep_until(due.min(renewal)) => {}
            },
            Turn::GiveBack(rest) => {
                for message in rest {
                    message.ack.settle(Verdict::Retry(Duration::ZERO)).await;
                }
                return;
            }
        }
    }
}

/// Sends progress acknowledgements for waiting messages and the current one; returns when to do so again.
async fn renew(queue: &Queue, at_work: Option<&Arc<Inbound>>) -> Instant {
    for message in queue.unrenewed(Instant::now()).iter().chain(at_work) {
        message.ack.renew().await;
    }
    Instant::now() + RENEWAL_INTERVAL
}

async fn serve(queue: &Queue, handler: &Handler, device: u64, entry: Entry<Arc<Inbound>>) {
    let Entry { message, standing, renewed, .. } = entry;
    if renewed.elapsed() >= RENEWED_AFTER {
        message.ack.renew().await;
    }
    if standing == Standing::Excess {
        metrics::counter!("waybill_mqtt_over_rate_total", "kind" => message.kind().label(), "reason" => "too_many")
            .increment(1);
        return message.ack.settle(handler.refuse_excess(&message).await).await;
    }
    match handler.handle(&message).await {
        Handled::Settled(verdict) => message.ack.settle(verdict).await,
        Handled::Throttled(throttled) => {
            message.ack.renew().await;
            let put_back =
                |queue: &mut DeviceQueue<_>| queue.put_back(message, throttled.until, throttled.permit, Instant::now());
            let moot = queue.change(&mut queue.lock(), device, put_back);
            if let Some(moot) = moot {
                drop_message(&moot, Dropped::Throttled).await;
            }
        }
    }
}

/// Acknowledges a message that a newer one has replaced, or that is one too many.
async fn drop_message(message: &Arc<Inbound>, why: Dropped) {
    let (kind, reason) = (message.kind().label(), why.label());
    metrics::counter!("waybill_mqtt_over_rate_total", "kind" => kind, "reason" => reason).increment(1);
    message.ack.settle(Verdict::Done).await;
}

impl Ack {
    /// Sends a progress acknowledgement.
    async fn renew(&self) {
        let Some(kept) = &self.kept else { return };
        if let Err(error) = kept.acker.ack_with(AckKind::Progress).await {
            tracing::debug!(%error, "a progress acknowledgement can't be sent");
        }
    }
}
