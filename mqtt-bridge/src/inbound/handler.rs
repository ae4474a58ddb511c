//! Handles one message of a device: parse, decide, store.
//!
//! The command's id is derived from the broker's id of the message, so a redelivered message is the same command. Data that is not in
//! events (contact, progress, measurements) goes to TELEMETRY, with a rate limit per device.

mod contact;
mod dead_letters;
mod mistakes;
mod network;
mod run;
mod throttle;
mod update_log;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::device::{Arrival, CODE_WINDOW_CLOSED, Device, DeviceCommand, MarkTopic, Report, ReportStatus};
use domain::{Actor, CommandId, Decider, Key};
use event_store::dead_letters::{DeadLetterReason, DeadLetters};
use event_store::telemetry::{TELEMETRY_FORMAT, Telemetry, TelemetryKind, TelemetryRecord};
use event_store::{Committed, EventStore, Request};
use rand::Rng;
use runtime::clock;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;

use self::dead_letters::DeadLetterWriter;
use self::mistakes::{is_about_ended_update, unknown_target};
use self::throttle::SelfReportThrottle;
use super::answers::{Answers, WhenNothing};
use super::intake_error::{IntakeError, Throttled};
use super::{Arrived, Delivery, Inbound, Unfinished, Verdict};
use crate::install_window;
use crate::limits::Limit;
use crate::topics::{Channel, DeviceTopic};
use crate::wire::{InfoMessage, StatusReport};

/// Progress of one update is stored once in this time.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// A message that only shows contact is recorded once in this time.
const CONTACT_INTERVAL: Duration = Duration::from_secs(10);
/// A device that reports on an ended update is answered once in this time.
const CORRECTION_INTERVAL: Duration = Duration::from_secs(5);
/// Pause before the first redelivery of a message; doubles up to the longest, with jitter.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Details of dead letters for messages that were published in the wrong way.
const QOS_ZERO: &str =
    "published with QoS 0, the protocol asks for QoS 1: it may be lost, and with QoS 0 a status proves nothing";
const RETAINED: &str =
    "published retained: the broker repeats it to each later subscriber, when it may no longer be true";

/// Detail of dead letters for pieces of logs.
const LOG_TOO_FAST: &str = "more pieces of logs than are taken of one device: 60 at once, then one each second";

pub(crate) struct Handler {
    store: EventStore,
    telemetry: Telemetry,
    dead_letter_writer: DeadLetterWriter,
    answers: Answers,
    actor: Actor,
    progress: Limit,
    contacts: Limit,
    corrections: Limit,
    throttle: SelfReportThrottle,
    unfinished: Unfinished,
}

/// The invalid optional values of a message, if any.
type Ignored = Option<String>;

/// Outcome of a message.
pub(crate) enum Handled {
    Settled(Verdict),
    /// To be handled later, unless a newer message replaces it.
    Throttled(Throttled),
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
            dead_letter_writer: DeadLetterWriter::new(dead_letters),
            answers,
            actor: Actor::new("device").unwrap_or_else(|_| unreachable!("a valid actor")),
            progress: Limit::once_in(PROGRESS_INTERVAL),
            contacts: Limit::once_in(CONTACT_INTERVAL),
            corrections: Limit::once_in(CORRECTION_INTERVAL),
            throttle: SelfReportThrottle::new(),
            unfinished,
        })
    }

    /// Handles a message; returns what the broker is told.
    pub(crate) async fn handle(&self, message: &Inbound) -> Handled {
        let (kind, taken) = match (&message.topic, message.arrived) {
            (Ok(topic), Arrived::Stored | Arrived::Unstored) => (kind(topic.channel), self.take(topic, message).await),
            (Ok(_), Arrived::Retained) => ("other", Err(IntakeError::rejected(DeadLetterReason::Retained, RETAINED))),
            (Err(unknown), _) => {
                ("other", Err(IntakeError::rejected(DeadLetterReason::UnknownTopic, unknown.to_string())))
            }
        };
        self.settle(message, kind, taken).await
    }

    /// What the broker is told about a message, by the outcome of its processing.
    async fn settle(&self, message: &Inbound, kind: &'static str, taken: Result<Ignored, IntakeError>) -> Handled {
        let (outcome, handled) = match taken {
            Ok(ignored) => ("stored", Handled::Settled(self.add_notes(message, kind, ignored).await)),
            Err(IntakeError::Rejected { reason, detail }) => {
                (reason.word(), Handled::Settled(self.dead_letter(message, kind, reason, &detail).await))
            }
            Err(IntakeError::Unavailable(reason)) => ("again", Handled::Settled(retry_later(message, &reason))),
            Err(IntakeError::Throttled(throttled)) => ("held", Handled::Throttled(throttled)),
        };
        metrics::counter!("waybill_mqtt_messages_total", "kind" => kind, "outcome" => outcome).increment(1);
        handled
    }

    /// Dead-letters a report above the limit of different reports at once, or a piece of a log above its rate.
    pub(super) async fn refuse_excess(&self, message: &Inbound) -> Verdict {
        let kind = message.topic.as_ref().map_or("other", |topic| kind(topic.channel));
        let detail = match &message.topic {
            Ok(topic) if matches!(topic.channel, Channel::UpdateLog { .. }) => LOG_TOO_FAST,
            _ => "more different reports at once than are kept of one device",
        };
        self.dead_letter(message, kind, DeadLetterReason::TooMany, detail).await
    }

    /// Processes a message; returns its ignored values.
    async fn take(&self, topic: &DeviceTopic, message: &Inbound) -> Result<Ignored, IntakeError> {
        let (payload, delivery) = (message.payload.as_ref(), message.delivery);
        match topic.channel {
            Channel::UpdateStatus { ordinal } => self.report(topic, ordinal, payload, delivery).await,
            Channel::Status | Channel::Info if message.arrived == Arrived::Unstored => {
                self.unstored_contact(topic, payload).await.map(|()| None)
            }
            Channel::Status => self.presence(topic, message).await,
            Channel::Info => {
                let info = InfoMessage::read(payload)?.to_info()?;
                self.report_self(topic, message, MarkTopic::Info, info.into()).await?;
                self.record_contact(topic, delivery).await.map(|()| None)
            }
            Channel::Telemetry => self.measurements(topic, payload, delivery).await,
            Channel::CommandsGet => {
                self.seen_online(topic, delivery).await?;
                self.answers.send(&topic.tenant, &topic.device, WhenNothing::SayNone).await?;
                self.answers.send_run(&topic.tenant, &topic.device).await?;
                Ok(None)
            }
            Channel::FirmwareGet { .. } => {
                Err(IntakeError::rejected(DeadLetterReason::UnknownTopic, "firmware is served over HTTP only so far"))
            }
            Channel::RunStatus { n } => self.run_report(topic, n, payload, delivery).await,
            Channel::UpdateLog { ordinal } => self.update_log(topic, ordinal, payload, delivery).await,
            Channel::Commands | Channel::Run | Channel::FirmwareChunk { .. } => {
                Err(IntakeError::rejected(DeadLetterReason::UnknownTopic, "not a topic for devices to publish to"))
            }
        }
    }

    async fn report(
        &self,
        topic: &DeviceTopic,
        ordinal: u32,
        payload: &[u8],
        delivery: Option<Delivery>,
    ) -> Result<Ignored, IntakeError> {
        let message = StatusReport::read(payload)?;
        let report = message.to_report(ordinal)?;
        let repeatable = report.status == ReportStatus::Downloading && message.has_progress();
        let subject = (&topic.tenant, &topic.device, ordinal, report.attempt);
        if repeatable && self.progress.is_over(&subject) {
            metrics::counter!("waybill_mqtt_progress_dropped_total").increment(1);
            return Ok(message.ignored());
        }
        let mark = delivery.and_then(|delivery| delivery.mark(MarkTopic::Report));
        let window_closed = self.defers_for_closed_window(topic, &report).await?;
        let arrival = Arrival { mark, window_closed, ..Arrival::default() };
        let command = DeviceCommand::from(report.clone()).arrived(arrival);
        let committed = self.execute(topic, delivery, command).await?;
        if is_live(&committed, ordinal) && (message.has_progress() || committed.events.is_empty()) {
            let progress = message.progress(&report);
            self.publish(topic, TelemetryKind::Progress, delivery, message.device_time(), &progress).await?;
        }
        if repeatable {
            self.progress.record(&subject);
        }
        self.record_contact(topic, delivery).await?;
        if is_about_ended_update(&committed, &report) {
            self.correct(topic).await?;
        }
        match unknown_target(&committed.aggregate, &report) {
            Some((reason, why)) => Err(IntakeError::rejected(reason, why)),
            None => Ok(message.ignored()),
        }
    }

    /// Firmware that misreads its command defers for a window that is open.
    async fn defers_for_closed_window(&self, topic: &DeviceTopic, report: &Report) -> Result<bool, IntakeError> {
        if report.code.as_deref() != Some(CODE_WINDOW_CLOSED) {
            return Ok(false);
        }
        let device = &self.store.load(&key(topic)).await?.aggregate;
        Ok(install_window::is_closed(&self.store, &topic.tenant, device, report.ordinal, clock::now()).await?)
    }

    async fn correct(&self, topic: &DeviceTopic) -> Result<(), IntakeError> {
        let subject = (&topic.tenant, &topic.device);
        if !self.corrections.is_over(&subject) {
            self.answers.send(&topic.tenant, &topic.device, WhenNothing::SayEmpty).await?;
            self.corrections.record(&subject);
        }
        Ok(())
    }

    /// Executes a self-report of a device, unless it is throttled.
    async fn report_self(
        &self,
        topic: &DeviceTopic,
        message: &Inbound,
        kind: MarkTopic,
        command: DeviceCommand,
    ) -> Result<Committed<Device>, IntakeError> {
        let (subject, now, delivery) = ((&topic.tenant, &topic.device), Instant::now(), message.delivery);
        let mark = delivery.and_then(|delivery| delivery.mark(kind));
        let command = command.arrived(Arrival { mark, ..Arrival::default() });
        let device = &self.store.load(&key(topic)).await?.aggregate;
        let decided = device.decide(clock::now(), &command);
        let no_news = decided.as_ref().is_ok_and(Vec::is_empty);
        let events = decided.unwrap_or_default();
        if self.throttle.is_exhausted(&subject, now)
            && let Some(throttled) = self.throttle.check(&subject, device, &events, now)
        {
            return Err(IntakeError::Throttled(throttled));
        }
        // Checked before the command is executed, so that all finished messages are in the state that it is decided on. A message with news
        // records its mark in any case.
        let overtakes = !no_news || self.unfinished.before(message).await;
        let command = command.arrived(Arrival { mark, overtakes, ..Arrival::default() });
        let committed = self.execute(topic, delivery, command).await?;
        self.throttle.charge(&subject, &committed.aggregate, &committed.events, now);
        Ok(committed)
    }

    async fn execute(
        &self,
        topic: &DeviceTopic,
        delivery: Option<Delivery>,
        command: DeviceCommand,
    ) -> Result<Committed<Device>, IntakeError> {
        let request = Request::new(command_id(delivery), self.actor.clone(), command);
        Ok(self.store.execute(&key(topic), request).await?)
    }

    async fn publish(
        &self,
        topic: &DeviceTopic,
        kind: TelemetryKind,
        delivery: Option<Delivery>,
        device_time: Option<DateTime<Utc>>,
        data: &impl Serialize,
    ) -> Result<(), IntakeError> {
        let data =
            to_raw_value(data).map_err(|error| IntakeError::rejected(DeadLetterReason::Broken, error.to_string()))?;
        self.publish_raw(topic, kind, delivery, device_time, data).await
    }

    async fn publish_raw(
        &self,
        topic: &DeviceTopic,
        kind: TelemetryKind,
        delivery: Option<Delivery>,
        device_time: Option<DateTime<Utc>>,
        data: Box<RawValue>,
    ) -> Result<(), IntakeError> {
        let place = delivery.and_then(Delivery::place);
        let record = TelemetryRecord { v: TELEMETRY_FORMAT, kind, received_at: clock::now(), device_time, place, data };
        let once =
            delivery.filter(|_| place.is_none()).map(|delivery| format!("{}-{kind:?}", delivery.name().join("-")));
        self.telemetry.publish_once(&topic.tenant, &topic.device, &record, once.as_deref()).await?;
        Ok(())
    }

    /// Adds dead letters that are notes on a message that was applied.
    async fn add_notes(&self, message: &Inbound, kind: &'static str, ignored: Ignored) -> Verdict {
        let mut verdict = Verdict::Done;
        if let Some(ignored) = ignored {
            verdict = self.dead_letter(message, kind, DeadLetterReason::PartlyIgnored, &ignored).await;
        }
        if message.arrived == Arrived::Unstored && verdict == Verdict::Done {
            verdict = self.dead_letter(message, kind, DeadLetterReason::QosZero, QOS_ZERO).await;
        }
        verdict
    }

    async fn dead_letter(
        &self,
        message: &Inbound,
        kind: &'static str,
        reason: DeadLetterReason,
        detail: &str,
    ) -> Verdict {
        match self.dead_letter_writer.keep(message, kind, reason, detail).await {
            Ok(()) => Verdict::Done,
            Err(error) => retry_later(message, &error.to_string()),
        }
    }
}

fn key(topic: &DeviceTopic) -> Key<Device> {
    Key::new(&topic.tenant, &topic.device)
}

fn command_id(delivery: Option<Delivery>) -> CommandId {
    match delivery {
        Some(delivery) => CommandId::derive(&delivery.name().each_ref().map(String::as_str)),
        None => CommandId(clock::new_id()),
    }
}

fn is_live(committed: &Committed<Device>, ordinal: u32) -> bool {
    committed.aggregate.update(ordinal).is_some_and(|update| update.phase.is_live())
}

fn retry_later(message: &Inbound, reason: &str) -> Verdict {
    let times = message.delivery.map_or(1, |delivery| delivery.times).clamp(1, 16);
    let pause = RETRY_PAUSE.saturating_mul(1 << (times - 1)).min(RETRY_PAUSE_MAX);
    if message.arrived != Arrived::Stored {
        metrics::counter!("waybill_mqtt_unkept_lost_total").increment(1);
    }
    tracing::debug!(reason, times, "a message can't be stored now");
    Verdict::Retry(pause.mul_f64(rand::rng().random_range(0.5..1.0)))
}

fn kind(channel: Channel) -> &'static str {
    match channel {
        Channel::UpdateStatus { .. } => "report",
        Channel::Status => "presence",
        Channel::Info => "info",
        Channel::Telemetry => "telemetry",
        Channel::CommandsGet => "commands_get",
        Channel::RunStatus { .. } => "run_report",
        Channel::UpdateLog { .. } => "log",
        Channel::Commands | Channel::Run | Channel::FirmwareGet { .. } | Channel::FirmwareChunk { .. } => "other",
    }
}
