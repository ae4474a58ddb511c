//! One message of a device: read, judged, stored.
//!
//! The command's id follows from the broker's name for the message, so a message delivered again is the same command. What a message
//! brings beside events (contact, progress, measurements) goes to TELEMETRY, limited per device.

mod budget;
mod letters;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::device::{
    Arrival, Device, DeviceCommand, DeviceEvent, Lifecycle, MarkTopic, Reachability, Report, ReportStatus,
};
use domain::{Actor, CommandId, Decider, Key, Rejection};
use event_store::dead_letters::{DeadLetterReason, DeadLetters};
use event_store::telemetry::{BrokerPlace, TELEMETRY_FORMAT, Telemetry, TelemetryKind, TelemetryRecord};
use event_store::{Committed, EventStore, Request, clock};
use rand::Rng;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;

use self::budget::Budgets;
pub(super) use self::budget::Hold;
use self::letters::Letters;
use super::answers::{Answers, WhenNothing};
use super::limits::Limit;
use super::trouble::Trouble;
use super::{Delivery, Heard, Inbound, Unfinished, Verdict};
use crate::topics::{Channel, DeviceTopic};
use crate::wire::{Contact, InfoMessage, Measurements, PresenceMessage, PresenceWord, StatusReport};

/// Progress of one update is taken once in this time.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// A sign of life that says nothing else is noted once in this time.
const CONTACT_INTERVAL: Duration = Duration::from_secs(10);
/// A device that is mistaken about its update is corrected once in this time.
const CORRECTION_INTERVAL: Duration = Duration::from_secs(5);
/// Pause before a message is delivered again for the first time; doubles up to the longest, with jitter.
const AGAIN_PAUSE: Duration = Duration::from_millis(250);
const AGAIN_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What is said of messages that were published in the wrong way.
const QOS_ZERO: &str =
    "published with QoS 0, the protocol asks for QoS 1: it may be lost, and with QoS 0 a status proves nothing";
const RETAINED: &str = "published retained: the broker repeats it to whoever subscribes later, long after it was true";

pub(crate) struct Handler {
    store: EventStore,
    telemetry: Telemetry,
    letters: Letters,
    answers: Answers,
    actor: Actor,
    progress: Limit,
    contacts: Limit,
    corrections: Limit,
    budgets: Budgets,
    unfinished: Unfinished,
}

/// What of a message was ignored because it makes no sense.
type Ignored = Option<String>;

/// What became of a message.
pub(super) enum Handled {
    Settled(Verdict),
    /// To be handled later, when no newer one takes its place.
    Hold(Hold),
}

impl Handler {
    pub(crate) fn new(
        telemetry: Telemetry,
        dead_letters: DeadLetters,
        answers: Answers,
        unfinished: Unfinished,
    ) -> Arc<Self> {
        Arc::new(Self {
            store: answers.store.clone(),
            telemetry,
            letters: Letters::new(dead_letters),
            answers,
            actor: Actor::new("device").unwrap_or_else(|_| unreachable!("a valid actor")),
            progress: Limit::once_in(PROGRESS_INTERVAL),
            contacts: Limit::once_in(CONTACT_INTERVAL),
            corrections: Limit::once_in(CORRECTION_INTERVAL),
            budgets: Budgets::new(),
            unfinished,
        })
    }

    /// Takes a message; says what the broker is told.
    pub(super) async fn handle(&self, message: &Inbound) -> Handled {
        let (kind, taken) = match (&message.topic, message.heard) {
            (Ok(topic), Heard::Stored | Heard::Passing) => (kind(topic.channel), self.take(topic, message).await),
            (Ok(_), Heard::Retained) => ("other", Err(Trouble::refused(DeadLetterReason::Retained, RETAINED))),
            (Err(unknown), _) => ("other", Err(Trouble::refused(DeadLetterReason::UnknownTopic, unknown.to_string()))),
        };
        let (outcome, handled) = match taken {
            Ok(ignored) => ("stored", Handled::Settled(self.note(message, kind, ignored).await)),
            Err(Trouble::Refused { reason, detail }) => {
                (reason.word(), Handled::Settled(self.bury(message, kind, reason, &detail).await))
            }
            Err(Trouble::NotNow(reason)) => ("again", Handled::Settled(again(message, &reason))),
            Err(Trouble::TooOften(hold)) => ("held", Handled::Hold(hold)),
        };
        metrics::counter!("waybill_mqtt_messages_total", "kind" => kind, "outcome" => outcome).increment(1);
        handled
    }

    /// Lets go of a report that is one of too many different ones at once.
    pub(super) async fn refuse_excess(&self, message: &Inbound) -> Verdict {
        let detail = "more different reports at once than are kept of one device";
        self.bury(message, "report", DeadLetterReason::TooMany, detail).await
    }

    /// Takes a message; says what of it was ignored.
    async fn take(&self, topic: &DeviceTopic, message: &Inbound) -> Result<Ignored, Trouble> {
        let (payload, delivery) = (message.payload.as_ref(), message.delivery);
        match topic.channel {
            Channel::UpdateStatus { ordinal } => self.report(topic, ordinal, payload, delivery).await,
            Channel::Status | Channel::Info if message.heard == Heard::Passing => {
                self.glimpse(topic, payload).await.map(|()| None)
            }
            Channel::Status => self.presence(topic, message).await,
            Channel::Info => {
                let info = InfoMessage::read(payload)?.to_info()?;
                self.tell(topic, message, MarkTopic::Info, info.into()).await?;
                self.note_contact(topic, delivery).await.map(|()| None)
            }
            Channel::Telemetry => self.measurements(topic, payload, delivery).await,
            Channel::CommandsGet => {
                self.seen_online(topic, delivery).await?;
                self.answers.send(&topic.tenant, &topic.device, WhenNothing::SayNone).await?;
                Ok(None)
            }
            Channel::FirmwareGet { .. } => {
                Err(Trouble::refused(DeadLetterReason::UnknownTopic, "firmware is served over HTTP only so far"))
            }
            Channel::Commands | Channel::FirmwareChunk { .. } => {
                Err(Trouble::refused(DeadLetterReason::UnknownTopic, "not a topic for devices to publish to"))
            }
        }
    }

    /// A `status` or `info` with QoS 0: it makes the device online and has no other effect. Nobody keeps it, so it may be read late, after
    /// newer ones, and nothing says so: it can't prove which version runs.
    async fn glimpse(&self, topic: &DeviceTopic, payload: &[u8]) -> Result<(), Trouble> {
        let offline = || PresenceMessage::read(payload).is_ok_and(|message| message.status == PresenceWord::Offline);
        if topic.channel == Channel::Status && offline() {
            return self.active(topic).await.map(drop);
        }
        self.seen_online(topic, None).await
    }

    async fn report(
        &self,
        topic: &DeviceTopic,
        ordinal: u32,
        payload: &[u8],
        delivery: Option<Delivery>,
    ) -> Result<Ignored, Trouble> {
        let message = StatusReport::read(payload)?;
        let report = message.to_report(ordinal)?;
        let repeatable = report.status == ReportStatus::Downloading && message.has_progress();
        let subject = (&topic.tenant, &topic.device, ordinal, report.attempt);
        if repeatable && self.progress.is_over(&subject) {
            metrics::counter!("waybill_mqtt_progress_dropped_total").increment(1);
            return Ok(message.ignored());
        }
        let mark = delivery.map(|delivery| delivery.mark(MarkTopic::Report));
        let wish = DeviceCommand::from(report.clone()).arrived(Arrival { mark, overtakes: false });
        let committed = self.execute(topic, delivery, wish).await?;
        if is_live(&committed, ordinal) && (message.has_progress() || committed.events.is_empty()) {
            let progress = message.progress(&report);
            self.publish(topic, TelemetryKind::Progress, delivery, message.device_time(), &progress).await?;
        }
        if repeatable {
            self.progress.note(&subject);
        }
        self.note_contact(topic, delivery).await?;
        if is_mistaken(&committed, &report) {
            self.correct(topic).await?;
        }
        match never_was(&committed.aggregate, &report) {
            Some((reason, why)) => Err(Trouble::refused(reason, why)),
            None => Ok(message.ignored()),
        }
    }

    async fn presence(&self, topic: &DeviceTopic, inbound: &Inbound) -> Result<Ignored, Trouble> {
        let (message, delivery) = (PresenceMessage::read(&inbound.payload)?, inbound.delivery);
        let contact = numbered(message.to_contact()?, delivery);
        let mut ignored = message.ignored();
        match message.status {
            PresenceWord::Online => {
                let presence = message.to_presence()?;
                let last = presence.last_update.clone();
                let told = self.tell(topic, inbound, MarkTopic::Status, presence.into()).await;
                if matches!(told, Err(Trouble::TooOften(_))) {
                    // The device was heard, whatever it said.
                    self.note_contact(topic, delivery).await?;
                }
                let device = &told?.aggregate;
                let never_was =
                    last.and_then(|last| never_was(device, &last)).map(|(_, why)| format!("last_update: {why}"));
                ignored = ignored.into_iter().chain(never_was).reduce(|one, other| format!("{one}; {other}"));
                self.contacts.note(&(&topic.tenant, &topic.device));
            }
            // Whether the device is gone is decided later, when it has had time to come back.
            PresenceWord::Offline => {
                self.active(topic).await?;
                let mark = delivery.map(|delivery| delivery.mark(MarkTopic::Status));
                let (session, arrival) = (contact.session.clone(), Arrival { mark, overtakes: false });
                self.execute(topic, delivery, DeviceCommand::ReportOffline { session, arrival }).await?;
            }
        }
        self.publish(topic, TelemetryKind::Contact, delivery, None, &contact).await?;
        Ok(ignored)
    }

    async fn measurements(
        &self,
        topic: &DeviceTopic,
        payload: &[u8],
        delivery: Option<Delivery>,
    ) -> Result<Ignored, Trouble> {
        let Measurements { data, device_time, ignored } = Measurements::read(payload)?;
        self.seen_online(topic, delivery).await?;
        self.publish_raw(topic, TelemetryKind::Measurements, delivery, device_time, data).await?;
        Ok(ignored)
    }

    /// Makes the device online by a message that says nothing else, once in a while; refuses unknown devices always.
    async fn seen_online(&self, topic: &DeviceTopic, delivery: Option<Delivery>) -> Result<(), Trouble> {
        let device = self.active(topic).await?;
        // Whoever counts as offline is let through: it was marked so just now.
        if self.contacts.is_over(&(&topic.tenant, &topic.device)) && device.reachability == Reachability::Online {
            return Ok(());
        }
        let mark = delivery.map(|delivery| delivery.mark(MarkTopic::Status));
        if !device.heard.is_behind(mark, device.heard.status) {
            self.execute(topic, delivery, DeviceCommand::SeenOnline).await?;
        }
        self.note_contact(topic, delivery).await
    }

    async fn note_contact(&self, topic: &DeviceTopic, delivery: Option<Delivery>) -> Result<(), Trouble> {
        let subject = (&topic.tenant, &topic.device);
        if self.contacts.is_over(&subject) {
            return Ok(());
        }
        let contact = numbered(Contact::default(), delivery);
        self.publish(topic, TelemetryKind::Contact, delivery, None, &contact).await?;
        self.contacts.note(&subject);
        Ok(())
    }

    /// The device, if it is in service.
    async fn active(&self, topic: &DeviceTopic) -> Result<Arc<Device>, Trouble> {
        let device = Arc::clone(&self.store.load(&key(topic)).await?.aggregate);
        match device.lifecycle {
            Lifecycle::Active => Ok(device),
            Lifecycle::Absent => Err(Rejection::DeviceUnknown.into()),
            Lifecycle::Decommissioned => Err(Rejection::DeviceDecommissioned.into()),
        }
    }

    async fn correct(&self, topic: &DeviceTopic) -> Result<(), Trouble> {
        let subject = (&topic.tenant, &topic.device);
        if !self.corrections.is_over(&subject) {
            self.answers.send(&topic.tenant, &topic.device, WhenNothing::SayEmpty).await?;
            self.corrections.note(&subject);
        }
        Ok(())
    }

    /// Executes what a device says of itself, while it doesn't do so too often.
    async fn tell(
        &self,
        topic: &DeviceTopic,
        message: &Inbound,
        kind: MarkTopic,
        wish: DeviceCommand,
    ) -> Result<Committed<Device>, Trouble> {
        let (subject, now, delivery) = ((&topic.tenant, &topic.device), Instant::now(), message.delivery);
        let mark = delivery.map(|delivery| delivery.mark(kind));
        let wish = wish.arrived(Arrival { mark, overtakes: false });
        let device = &self.store.load(&key(topic)).await?.aggregate;
        let decided = device.decide(clock::now(), &wish);
        let no_news = decided.as_ref().is_ok_and(Vec::is_empty);
        let events = decided.unwrap_or_default();
        if self.budgets.is_spent(&subject, now)
            && let Some(hold) = self.budgets.hold(&subject, device, &events, now)
        {
            return Err(Trouble::TooOften(hold));
        }
        // Asked before it is executed: what is finished by now is in the state that a message without news is judged on. News leaves
        // its mark in any case.
        let overtakes = !no_news || self.unfinished.before(message).await;
        let wish = wish.arrived(Arrival { mark, overtakes });
        let committed = self.execute(topic, delivery, wish).await?;
        self.budgets.charge(&subject, &committed.aggregate, &committed.events, now);
        Ok(committed)
    }

    async fn execute(
        &self,
        topic: &DeviceTopic,
        delivery: Option<Delivery>,
        wish: DeviceCommand,
    ) -> Result<Committed<Device>, Trouble> {
        let request = Request::new(command_id(delivery), self.actor.clone(), wish);
        Ok(self.store.execute(&key(topic), request).await?)
    }

    async fn publish(
        &self,
        topic: &DeviceTopic,
        kind: TelemetryKind,
        delivery: Option<Delivery>,
        device_time: Option<DateTime<Utc>>,
        data: &impl Serialize,
    ) -> Result<(), Trouble> {
        let data = to_raw_value(data).map_err(|error| Trouble::refused(DeadLetterReason::Broken, error.to_string()))?;
        self.publish_raw(topic, kind, delivery, device_time, data).await
    }

    async fn publish_raw(
        &self,
        topic: &DeviceTopic,
        kind: TelemetryKind,
        delivery: Option<Delivery>,
        device_time: Option<DateTime<Utc>>,
        data: Box<RawValue>,
    ) -> Result<(), Trouble> {
        let place =
            delivery.map(|Delivery { incarnation_ms, number, .. }| BrokerPlace { incarnation_ms, sequence: number });
        let record = TelemetryRecord { v: TELEMETRY_FORMAT, kind, received_at: clock::now(), device_time, place, data };
        self.telemetry.publish(&topic.tenant, &topic.device, &record).await?;
        Ok(())
    }

    /// Leaves notes on a message that had its effect.
    async fn note(&self, message: &Inbound, kind: &'static str, ignored: Ignored) -> Verdict {
        let mut verdict = Verdict::Done;
        if let Some(ignored) = ignored {
            verdict = self.bury(message, kind, DeadLetterReason::PartlyIgnored, &ignored).await;
        }
        if message.heard == Heard::Passing && verdict == Verdict::Done {
            verdict = self.bury(message, kind, DeadLetterReason::QosZero, QOS_ZERO).await;
        }
        verdict
    }

    async fn bury(&self, message: &Inbound, kind: &'static str, reason: DeadLetterReason, detail: &str) -> Verdict {
        match self.letters.keep(message, kind, reason, detail).await {
            Ok(()) => Verdict::Done,
            Err(error) => again(message, &error.to_string()),
        }
    }
}

fn key(topic: &DeviceTopic) -> Key<Device> {
    Key::new(&topic.tenant, &topic.device)
}

fn numbered(contact: Contact, delivery: Option<Delivery>) -> Contact {
    match delivery {
        Some(Delivery { incarnation_ms, number, .. }) => contact.numbered(incarnation_ms, number),
        None => contact,
    }
}

fn command_id(delivery: Option<Delivery>) -> CommandId {
    match delivery {
        Some(delivery) => {
            CommandId::derive(&["mqtt", &delivery.incarnation_ms.to_string(), &delivery.number.to_string()])
        }
        None => CommandId(clock::new_id()),
    }
}

/// What a report speaks of that never was.
fn never_was(device: &Device, report: &Report) -> Option<(DeadLetterReason, String)> {
    let (ordinal, attempt) = (report.ordinal, report.attempt);
    match device.update(ordinal) {
        // Of old updates only the latest are remembered.
        None if ordinal <= device.last_ordinal => None,
        None => {
            let last = match device.last_ordinal {
                0 => "it was never given any".to_owned(),
                last => format!("its last one is {last}"),
            };
            Some((DeadLetterReason::NoSuchUpdate, format!("no update {ordinal} of this device: {last}")))
        }
        Some(update) if (1..=update.attempt).contains(&attempt) => None,
        Some(update) => {
            let made = match update.attempt {
                0 => "none was made yet".to_owned(),
                last => format!("the last one is {last}"),
            };
            Some((DeadLetterReason::NoSuchAttempt, format!("no attempt {attempt} of update {ordinal}: {made}")))
        }
    }
}

/// Whether a device reports on an update that wasn't live: it should hear what stands.
fn is_mistaken(committed: &Committed<Device>, report: &Report) -> bool {
    let ended_by_this = committed.events.iter().any(|event| {
        event.update().is_some_and(|update| update.ordinal == report.ordinal)
            && !matches!(event, DeviceEvent::UpdateReportedLate { .. })
    });
    !is_live(committed, report.ordinal) && !ended_by_this
}

fn is_live(committed: &Committed<Device>, ordinal: u32) -> bool {
    committed.aggregate.update(ordinal).is_some_and(|update| update.phase.is_live())
}

fn again(message: &Inbound, reason: &str) -> Verdict {
    let times = message.delivery.map_or(1, |delivery| delivery.times).clamp(1, 16);
    let pause = AGAIN_PAUSE.saturating_mul(1 << (times - 1)).min(AGAIN_PAUSE_MAX);
    if message.heard != Heard::Stored {
        metrics::counter!("waybill_mqtt_unkept_lost_total").increment(1);
    }
    tracing::debug!(reason, times, "a message can't be stored now");
    Verdict::Again(pause.mul_f64(rand::rng().random_range(0.5..1.0)))
}

fn kind(channel: Channel) -> &'static str {
    match channel {
        Channel::UpdateStatus { .. } => "report",
        Channel::Status => "presence",
        Channel::Info => "info",
        Channel::Telemetry => "telemetry",
        Channel::CommandsGet => "commands_get",
        Channel::Commands | Channel::FirmwareGet { .. } | Channel::FirmwareChunk { .. } => "other",
    }
}
