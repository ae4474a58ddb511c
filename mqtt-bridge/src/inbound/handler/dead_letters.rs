//! Writes dead letters, with a rate limit per device and per tenant: a device that sends only invalid messages must not displace the dead
//! letters of others, or fill the stream with ids of devices that don't exist.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use domain::{DeviceId, TenantId};
use event_store::AppendError;
use event_store::dead_letters::{DeadLetter, DeadLetterReason, DeadLetters};
use moka::sync::Cache;
use tokio::time::Instant;

use super::super::Inbound;
use crate::limits::{Bucket, Limit, REMEMBERED_MAX, Rate};

/// Enough to see what is wrong with a device. With the largest dead letters 35 MB a day.
const DEVICE_RATE: Rate = Rate { burst: 60, interval: Duration::from_secs(10) };
/// Limit for all devices of a tenant: at most about 500,000 in the retention time of dead letters.
const TENANT_RATE: Rate = Rate { burst: 2_000, interval: Duration::from_secs(5) };
/// A note on messages that were applied is kept once in this time, per device, kind of message and reason.
const NOTE_INTERVAL: Duration = Duration::from_secs(3_600);
/// A device and reason are logged once in this time.
const NAMED_INTERVAL: Duration = Duration::from_secs(600);

pub(super) struct DeadLetterWriter {
    dead_letters: DeadLetters,
    spent: Cache<u64, Bucket>,
    notes: Limit,
    named: Limit,
    hasher: RandomState,
}

impl DeadLetterWriter {
    pub(super) fn new(dead_letters: DeadLetters) -> Self {
        // Alarms need a series that is 0 from the start.
        DeadLetterReason::ALL.iter().for_each(|reason| counted(*reason).increment(0));
        dropped().increment(0);
        let refill = DEVICE_RATE.refill().max(TENANT_RATE.refill());
        Self {
            dead_letters,
            spent: Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(refill).build(),
            notes: Limit::once_in(NOTE_INTERVAL),
            named: Limit::once_in(NAMED_INTERVAL),
            hasher: RandomState::new(),
        }
    }

    /// Keeps a dead letter, or only counts it if the device has had too many.
    pub(super) async fn keep(
        &self,
        message: &Inbound,
        kind: &'static str,
        reason: DeadLetterReason,
        detail: &str,
    ) -> Result<(), AppendError> {
        counted(reason).increment(1);
        let (tenant, device) = message.owner();
        let owner = (&tenant, &device);
        let topic = message.topic_text();
        self.name(owner, reason, detail, &topic);
        let note = (owner, kind, reason);
        if reason.is_note() && self.notes.is_over(&note) {
            return Ok(());
        }
        let now = Instant::now();
        if !self.take(&owner, DEVICE_RATE, now) || !self.take(&tenant, TENANT_RATE, now) {
            dropped().increment(1);
            return Ok(());
        }
        let letter = DeadLetter {
            tenant: tenant.as_ref(),
            device: device.as_ref(),
            source: if message.origin.is_some() { "chirpstack" } else { "mqtt" },
            origin: &topic,
            reason,
            detail,
            payload: &message.payload,
        };
        self.dead_letters.keep(letter).await?;
        if reason.is_note() {
            self.notes.record(&note);
        }
        Ok(())
    }

    /// Logs what is wrong with a device.
    fn name(&self, owner: (&Option<TenantId>, &Option<DeviceId>), reason: DeadLetterReason, detail: &str, topic: &str) {
        if self.named.is_over(&(owner, reason)) {
            return;
        }
        self.named.record(&(owner, reason));
        let name = |id: Option<&str>| id.unwrap_or("_").to_owned();
        tracing::warn!(
            tenant.id = name(owner.0.as_ref().map(TenantId::as_str)),
            device.id = name(owner.1.as_ref().map(DeviceId::as_str)),
            reason = reason.word(),
            detail,
            topic,
            "A device's message is a dead letter."
        );
    }

    fn take(&self, whose: &impl Hash, rate: Rate, now: Instant) -> bool {
        let hash = self.hasher.hash_one((whose, rate.burst));
        let mut bucket = self.spent.get(&hash).unwrap_or_default();
        let taken = bucket.take(rate, now);
        self.spent.insert(hash, bucket);
        taken
    }
}

/// All dead letters, kept or not.
fn counted(reason: DeadLetterReason) -> metrics::Counter {
    metrics::counter!("waybill_dead_letters_total", "reason" => reason.word())
}

/// Dead letters that were only counted.
fn dropped() -> metrics::Counter {
    metrics::counter!("waybill_mqtt_dead_letters_dropped_total")
}
