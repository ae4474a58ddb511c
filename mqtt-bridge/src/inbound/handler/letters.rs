//! Dead letters of devices, each device within a rate: whoever sends nothing but garbage must not push out what others are remembered by.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use event_store::AppendError;
use event_store::dead_letters::{DeadLetter, DeadLetters};
use moka::sync::Cache;
use tokio::time::Instant;

use super::super::Inbound;
use super::super::limits::{Bucket, REMEMBERED_MAX, Rate};
use crate::topics::tenant_of;

/// Enough to see what is wrong with a device; with the largest letters, 35 MB a day.
const LETTERS: Rate = Rate { burst: 60, interval: Duration::from_secs(10) };

pub(super) struct Letters {
    dead_letters: DeadLetters,
    spent: Cache<u64, Bucket>,
    hasher: RandomState,
}

impl Letters {
    pub(super) fn new(dead_letters: DeadLetters) -> Self {
        let spent = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(LETTERS.refill()).build();
        Self { dead_letters, spent, hasher: RandomState::new() }
    }

    /// Keeps a message that can't be taken, or counts it when its device has had too many.
    pub(super) async fn keep(&self, message: &Inbound, reason: &str) -> Result<(), AppendError> {
        if !self.take(message) {
            metrics::counter!("waybill_mqtt_dead_letters_dropped_total").increment(1);
            return Ok(());
        }
        let tenant = match &message.topic {
            Ok(topic) => Some(topic.tenant.clone()),
            Err(unknown) => tenant_of(&unknown.0),
        };
        let letter = DeadLetter {
            tenant: tenant.as_ref(),
            source: "mqtt",
            origin: &message.origin,
            reason,
            payload: &message.payload,
        };
        self.dead_letters.keep(letter).await.map(drop)
    }

    fn take(&self, message: &Inbound) -> bool {
        let device = message.topic.as_ref().ok().map(|topic| (&topic.tenant, &topic.device));
        let hash = self.hasher.hash_one(device);
        let mut bucket = self.spent.get(&hash).unwrap_or_default();
        let taken = bucket.take(LETTERS, Instant::now());
        self.spent.insert(hash, bucket);
        taken
    }
}
