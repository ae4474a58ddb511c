//! Handles one event of a network server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chirpstack::events::{Event, NetworkEvent, Unreadable};
use chrono::{DateTime, Utc};
use domain::device::{Device, Frame};
use domain::values::is_usable_time;
use domain::{DeviceId, TenantId};
use event_store::dead_letters::DeadLetterReason;
use event_store::network::RawEvent;
use event_store::{EventStore, StoreError};
use moka::sync::Cache;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::order::{Order, Place};
use super::parts::{self, Part};
use super::wire::DeviceMessage;
use super::{device, metrics};
use crate::inbound::{Ack, Arrived, Delivery, Handled, Handler, Inbound, IntakeError, Numbering, Verdict};
use crate::limits::{Bucket, REMEMBERED_MAX, Rate};
use crate::lorawan::DownlinksEnded;
use crate::topics::{Channel, DeviceTopic, UnknownTopic};

/// Rate of notices of one device. Further ones are dropped.
const NOTICES: Rate = Rate { burst: 60, interval: Duration::from_secs(10) };
/// Pause before an event is delivered again: the first, doubling up to the longest.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Intake {
    store: EventStore,
    handler: Arc<Handler>,
    downlinks_ended: DownlinksEnded,
    order: Order,
    notices: Cache<(TenantId, DeviceId), Bucket>,
}

/// An event of the queue, and what was read of it.
pub(super) struct Read {
    pub(super) raw: RawEvent,
    pub(super) event: Result<NetworkEvent, Unreadable>,
    /// Creation time of the queue, in milliseconds since 1970.
    pub(super) incarnation_ms: u64,
    /// Number in the queue.
    pub(super) number: u64,
    pub(super) times: u32,
}

/// An event and the device that it is about.
struct About<'a> {
    read: &'a Read,
    event: &'a NetworkEvent,
    id: DeviceId,
    device: Arc<Device>,
    /// When it happened, by the clocks of the network.
    at: Option<DateTime<Utc>>,
    place: Option<Place>,
}

impl Read {
    fn tenant(&self) -> &TenantId {
        &self.raw.tenant
    }

    /// The event as a message of a device, for the handler.
    fn inbound(
        &self,
        topic: Result<DeviceTopic, UnknownTopic>,
        part: u8,
        frame: Option<Frame>,
        payload: Bytes,
    ) -> Inbound {
        let Self { incarnation_ms, number, times, .. } = *self;
        let numbering = Numbering::Network { part, frame };
        Inbound {
            topic,
            arrived: Arrived::Stored,
            payload,
            delivery: Some(Delivery { numbering, incarnation_ms, number, times }),
            ack: Ack::none(),
            origin: Some(format!("{} {}", self.raw.source.word(), self.raw.origin)),
        }
    }

    pub(super) fn retry_pause(&self) -> Duration {
        let doublings = self.times.saturating_sub(1).min(8);
        RETRY_PAUSE.saturating_mul(1 << doublings).min(RETRY_PAUSE_MAX)
    }
}

impl About<'_> {
    fn inbound(&self, channel: Channel, part: u8, payload: Bytes) -> Inbound {
        let frame = self.place.as_ref().and_then(Place::frame);
        self.read.inbound(Ok(DeviceTopic::new(self.read.tenant(), &self.id, channel)), part, frame, payload)
    }
}

impl Intake {
    pub(crate) fn new(store: EventStore, handler: Arc<Handler>, downlinks_ended: DownlinksEnded) -> Self {
        let notices = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(NOTICES.refill()).build();
        Self { store, handler, downlinks_ended, order: Order::new(), notices }
    }

    /// Handles an event; returns what the queue is told.
    pub(super) async fn handle(&self, read: &Read) -> Verdict {
        let event = match &read.event {
            Ok(event) => event,
            Err(error) => {
                metrics::event("unknown", "unreadable");
                return self.refuse(read, &error.0).await;
            }
        };
        let kind = parts::kind(&event.event);
        let key = event.dedup_key.as_ref().filter(|key| key.is_unique);
        if key.is_some_and(|key| self.order.is_copy(read.tenant(), key.as_str())) {
            metrics::event(kind, "copy");
            return Verdict::Done;
        }
        let verdict = match device::find(&self.store, read.tenant(), event.dev_eui.as_str()).await {
            Err(error) => self.not_loaded(read, &error, "the device of an EUI can't be looked up").await,
            Ok(None) => {
                metrics::event(kind, "unknown_device");
                tracing::debug!(tenant.id = %read.tenant(), dev_eui = %event.dev_eui, kind, "an event of a device that isn't registered");
                return Verdict::Done;
            }
            Ok(Some(_)) if matches!(event.event, Event::Other { .. }) => {
                metrics::event(kind, "unknown_kind");
                return Verdict::Done;
            }
            Ok(Some((id, device))) => self.apply(read, event, id, device).await,
        };
        match verdict {
            Verdict::Done => key.into_iter().for_each(|key| self.order.record_key(read.tenant(), key.as_str())),
            Verdict::Retry(_) => metrics::event(kind, "again"),
        }
        verdict
    }

    async fn apply(&self, read: &Read, event: &NetworkEvent, id: DeviceId, device: Arc<Device>) -> Verdict {
        let at = event.time.filter(|at| is_usable_time(*at));
        let place = match &event.event {
            Event::Uplink(uplink) => Some(Place::new(read.number, read.times, uplink, at)),
            _ => None,
        };
        let about = About { read, event, id, device, at, place };
        let (parts, ignored) = parts::parts(event);
        for (number, part) in (1_u8..).zip(parts) {
            let verdict = self.part(&about, number, part).await;
            if verdict != Verdict::Done {
                return verdict;
            }
        }
        if !ignored.is_empty() {
            let message = about.inbound(Channel::Telemetry, 0, read.raw.body.clone());
            let noted = IntakeError::rejected(DeadLetterReason::PartlyIgnored, ignored.join("; "));
            let verdict = settled(read, self.handler.refuse(&message, noted).await);
            if verdict != Verdict::Done {
                return verdict;
            }
        }
        metrics::event(parts::kind(&event.event), "applied");
        Verdict::Done
    }

    /// One effect of an event.
    async fn part(&self, about: &About<'_>, number: u8, part: Part) -> Verdict {
        let read = about.read;
        match part {
            Part::Message(DeviceMessage::Report { ordinal, body }) => {
                let live = || about.device.live().map(|update| update.ordinal);
                let Some(ordinal) = ordinal.or_else(live) else {
                    return self.no_update(about, number, &body).await;
                };
                let message = about.inbound(Channel::UpdateStatus { ordinal }, number, Bytes::from(body.to_string()));
                settled(read, self.handler.handle(&message).await)
            }
            Part::Message(DeviceMessage::Presence { body, firmware_short }) => {
                self.presence(about, number, body, firmware_short).await
            }
            Part::Measured(data) => {
                let Ok(data) = to_raw_value(&data) else { return Verdict::Done };
                let message = about.inbound(Channel::Telemetry, number, read.raw.body.clone());
                settled(read, self.handler.uplink(&message, about.at, data).await)
            }
            Part::Notice(data) => self.notice(about, number, &data).await,
            Part::DownlinkMissed => {
                self.downlinks_ended.tell(read.tenant(), &about.id);
                Verdict::Done
            }
        }
    }

    /// A message of a device about itself, unless a newer one was handled. Measurements make no such message late.
    async fn presence(
        &self,
        about: &About<'_>,
        number: u8,
        mut body: Map<String, Value>,
        firmware_short: Option<u32>,
    ) -> Verdict {
        let (read, tenant) = (about.read, about.read.tenant());
        if about.place.as_ref().is_some_and(|place| self.order.is_late(tenant, &about.id, place)) {
            metrics::event(parts::kind(&about.event.event), "late");
            return Verdict::Done;
        }
        if let Some(short) = firmware_short {
            match device::running(&self.store, tenant, &about.device, short).await {
                Ok((component, version)) => {
                    let versions = body.entry("versions").or_insert_with(|| json!({}));
                    versions[component] = version.into();
                }
                Err(error) => {
                    return self.not_loaded(about.read, &error, "the firmware of a device can't be looked up").await;
                }
            }
        }
        let message = about.inbound(Channel::Status, number, Bytes::from(Value::Object(body).to_string()));
        let verdict = settled(read, self.handler.handle(&message).await);
        if let (Verdict::Done, Some(place)) = (verdict, &about.place) {
            self.order.record(tenant, &about.id, place);
        }
        verdict
    }

    async fn notice(&self, about: &About<'_>, number: u8, data: &Value) -> Verdict {
        let key = (about.read.tenant().clone(), about.id.clone());
        let mut bucket = self.notices.get(&key).unwrap_or_default();
        let is_within = bucket.take(NOTICES, Instant::now());
        self.notices.insert(key, bucket);
        if !is_within {
            metrics::event(parts::kind(&about.event.event), "limited");
            return Verdict::Done;
        }
        let Ok(data) = to_raw_value(data) else { return Verdict::Done };
        let message = about.inbound(Channel::Telemetry, number, about.read.raw.body.clone());
        settled(about.read, self.handler.notice(&message, about.at, data).await)
    }

    async fn no_update(&self, about: &About<'_>, number: u8, body: &Value) -> Verdict {
        let message = about.inbound(Channel::Telemetry, number, Bytes::from(body.to_string()));
        let why = "a report without an ordinal, and no update is under way";
        let refused = IntakeError::rejected(DeadLetterReason::NoSuchUpdate, why);
        settled(about.read, self.handler.refuse(&message, refused).await)
    }

    /// Temporary errors are retried. An event that meets a damaged record becomes a dead letter, so that it doesn't hold up others.
    async fn not_loaded(&self, read: &Read, error: &StoreError, what: &str) -> Verdict {
        if error.is_final() {
            return self.refuse(read, &format!("{what}: {error}")).await;
        }
        tracing::debug!(%error, "{what} now");
        Verdict::Retry(read.retry_pause())
    }

    /// Makes a dead letter of an event that can't be read or handled.
    pub(super) async fn refuse(&self, read: &Read, why: &str) -> Verdict {
        let topic = Err(UnknownTopic(format!("{}/network", read.tenant())));
        let message = read.inbound(topic, 0, None, read.raw.body.clone());
        let refused = IntakeError::rejected(DeadLetterReason::Malformed, why);
        settled(read, self.handler.refuse(&message, refused).await)
    }
}

fn settled(read: &Read, handled: Handled) -> Verdict {
    match handled {
        Handled::Settled(Verdict::Done) => Verdict::Done,
        Handled::Settled(Verdict::Retry(_)) => Verdict::Retry(read.retry_pause()),
        // The device boots too often. Its boots change no update, and the next one says what it runs. If this event waited, it would take room
        // in the queue of all tenants, and hold up the clocks.
        Handled::Throttled(_) => {
            metrics::event("uplink", "throttled");
            Verdict::Done
        }
    }
}
