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
use event_store::dead_letters::DeadLetters;
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
use super::{Delivery, Inbound, Unfinished, Verdict};
use crate::topics::{Channel, DeviceTopic};
use crate::wire::{Contact, InfoMessage, PresenceMessage, PresenceWord, StatusReport, read_measurements};

/// Progress of one update is taken once in this time.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// A sign of life that says nothing else is noted once in this time.
const CONTACT_INTERVAL: Duration = Duration::from_secs(10);
/// A device that is mistaken about its update is corrected once in this time.
const CORRECTION_INTERVAL: Duration = Duration::from_secs(5);
/// Pause before a message is delivered again for the first time; doubles up to the longest, with jitter.
const AGAIN_PAUSE: Duration = Duration::from_millis(250);
const AGAIN_PAUSE_MAX: Duration = Duration::from_secs(30);

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
        let (kind, taken) = match &message.topic {
            Ok(topic) => (kind(topic.channel), self.take(topic, message).await),
            Err(unknown) => ("other", Err(Trouble::refused("unknown_topic", unknown.to_string()))),
        };
        let (outcome, handled) = match taken {
            Ok(()) => ("stored", Handled::Settled(Verdict::Done)),
            Err(Trouble::Refused { label, reason }) => (label, Handled::Settled(self.bury(message, &reason).await)),
            Err(Trouble::NotNow(reason)) => ("again", Handled::Settled(again(message, &reason))),
            Err(Trouble::TooOften(hold)) => ("held", Handled::Hold(hold)),
        };
        metrics::counter!("waybill_mqtt_messages_total", "kind" => kind, "outcome" => outcome).increment(1);
        handled
    }

    /// Lets go of a report that is one of too many different ones at once.
    pub(super) async fn refuse_excess(&self, message: &Inbound) -> Verdict {
        self.bury(message, "too_many").await
    }

    async fn take(&self, topic: &DeviceTopic, message: &Inbound) -> Result<(), Trouble> {
        let (payload, delivery) = (message.payload.as_ref(), message.delivery);
        match topic.channel {
            Channel::UpdateStatus { ordinal } => self.report(topic, ordinal, payload, delivery).await,
            Channel::Status => self.presence(topic, message).await,
            Channel::Info => {
                let info = InfoMessage::read(payload)?.to_info()?;
                self.tell(topic, message, MarkTopic::Info, info.into()).await?;
                self.note_contact(topic, delivery).await
            }
            Channel::Telemetry => self.measurements(topic, payload, delivery).await,
            Channel::CommandsGet => {
                self.seen_online(topic, delivery).await?;
                Ok(self.answers.send(&topic.tenant, &topic.device, WhenNothing::SayNone).await?)
            }
            Channel::Commands | Channel::FirmwareGet { .. } | Channel::FirmwareChunk { .. } => {
                Err(Trouble::refused("unknown_topic", "not a topic that is read here"))
            }
        }
    }

    async fn report(
        &self,
        topic: &DeviceTopic,
        ordinal: u32,
        payload: &[u8],
        delivery: Option<Delivery>,
    ) -> Result<(), Trouble> {
        let message = StatusReport::read(payload)?;
        let report = message.to_report(ordinal)?;
        let repeatable = report.status == ReportStatus::Downloading && message.has_progress();
        let subject = (&topic.tenant, &topic.device, ordinal, report.attempt);
        if repeatable && self.progress.is_over(&subject) {
            metrics::counter!("waybill_mqtt_progress_dropped_total").increment(1);
            return Ok(());
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
        Ok(())
    }

    async fn presence(&self, topic: &DeviceTopic, inbound: &Inbound) -> Result<(), Trouble> {
        let (message, delivery) = (PresenceMessage::read(&inbound.payload)?, inbound.delivery);
        let contact = numbered(message.to_contact()?, delivery);
        match message.status {
            PresenceWord::Online => {
                let presence = message.to_presence()?;
                let told = self.tell(topic, inbound, MarkTopic::Status, presence.into()).await;
                if matches!(told, Err(Trouble::TooOften(_))) {
                    // The device was heard, whatever it said.
                    self.note_contact(topic, delivery).await?;
                }
                told?;
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
        self.publish(topic, TelemetryKind::Contact, delivery, None, &contact).await
    }

    async fn measurements(
        &self,
        topic: &DeviceTopic,
        payload: &[u8],
        delivery: Option<Delivery>,
    ) -> Result<(), Trouble> {
        let (data, device_time) = read_measurements(payload)?;
        self.seen_online(topic, delivery).await?;
        self.publish_raw(topic, TelemetryKind::Measurements, delivery, device_time, data).await
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
        let rejection = match device.lifecycle {
            Lifecycle::Active => return Ok(device),
            Lifecycle::Absent => Rejection::DeviceUnknown,
            Lifecycle::Decommissioned => Rejection::DeviceDecommissioned,
        };
        Err(Trouble::refused("rejected", rejection.to_string()))
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
    ) -> Result<(), Trouble> {
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
        Ok(())
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
        let data = to_raw_value(data).map_err(|error| Trouble::refused("broken", error.to_string()))?;
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

    async fn bury(&self, message: &Inbound, reason: &str) -> Verdict {
        match self.letters.keep(message, reason).await {
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
