//! Contact of a device: its `status`, `info`, measurements, and any other message.

use std::sync::Arc;

use domain::Rejection;
use domain::device::{Arrival, Device, DeviceCommand, Lifecycle, MarkTopic, Reachability};
use event_store::dead_letters::DeadLetterReason;
use event_store::telemetry::TelemetryKind;

use super::mistakes::unknown_target;
use super::{Handler, Ignored, key};
use crate::inbound::intake_error::IntakeError;
use crate::inbound::{Delivery, Inbound};
use crate::topics::{Channel, DeviceTopic};
use crate::wire::{Contact, Measurements, PresenceMessage, PresenceWord};

const BOOT_LOOP: &str = "the device says that it has restarted, or changed its trial or slot, more often than that is written: 60 times at \
                         once, then once in 50 s";

impl Handler {
    /// A `status` or `info` with QoS 0: it sets the device online and has no other effect. The broker does not store and number it, so it
    /// may be handled after newer ones without notice. It can't prove which version runs.
    pub(super) async fn unstored_contact(&self, topic: &DeviceTopic, payload: &[u8]) -> Result<(), IntakeError> {
        let offline = || PresenceMessage::read(payload).is_ok_and(|message| message.status == PresenceWord::Offline);
        if topic.channel == Channel::Status && offline() {
            return self.active(topic).await.map(drop);
        }
        self.seen_online(topic, None).await
    }

    pub(super) async fn presence(&self, topic: &DeviceTopic, inbound: &Inbound) -> Result<Ignored, IntakeError> {
        let (message, delivery) = (PresenceMessage::read(&inbound.payload)?, inbound.delivery);
        let contact = numbered(message.to_contact()?, delivery);
        let mut ignored = message.ignored();
        match message.status {
            PresenceWord::Online => {
                let presence = message.to_presence()?;
                let last = presence.last_update.clone();
                let told = self.report_self(topic, inbound, MarkTopic::Status, presence.into()).await;
                if matches!(told, Err(IntakeError::Throttled(_))) {
                    // The device made contact, although its boot is throttled. If the note can't be stored, it is added with the next boot.
                    self.record_contact(topic, delivery).await?;
                    self.dead_letter(inbound, "presence", DeadLetterReason::BootLoop, BOOT_LOOP).await;
                }
                let device = &told?.aggregate;
                let unknown_target =
                    last.and_then(|last| unknown_target(device, &last)).map(|(_, why)| format!("last_update: {why}"));
                ignored = ignored.into_iter().chain(unknown_target).reduce(|one, other| format!("{one}; {other}"));
                self.contacts.record(&(&topic.tenant, &topic.device));
            }
            // Whether the device is offline is decided later, when it has had time to reconnect.
            PresenceWord::Offline => {
                self.active(topic).await?;
                let mark = delivery.and_then(|delivery| delivery.mark(MarkTopic::Status));
                let (session, arrival) = (contact.session.clone(), Arrival { mark, ..Arrival::default() });
                self.execute(topic, delivery, DeviceCommand::ReportOffline { session, arrival }).await?;
            }
        }
        self.publish(topic, TelemetryKind::Contact, delivery, None, &contact).await?;
        Ok(ignored)
    }

    pub(super) async fn measurements(
        &self,
        topic: &DeviceTopic,
        payload: &[u8],
        delivery: Option<Delivery>,
    ) -> Result<Ignored, IntakeError> {
        let Measurements { data, device_time, ignored } = Measurements::read(payload)?;
        self.seen_online(topic, delivery).await?;
        self.publish_raw(topic, TelemetryKind::Measurements, delivery, device_time, data).await?;
        Ok(ignored)
    }

    /// Sets the device online by a message without other content, at a limited rate. Unknown devices are always refused.
    pub(super) async fn seen_online(&self, topic: &DeviceTopic, delivery: Option<Delivery>) -> Result<(), IntakeError> {
        let device = self.active(topic).await?;
        // The limit does not apply to a device that counts as offline.
        if self.contacts.is_over(&(&topic.tenant, &topic.device)) && device.reachability == Reachability::Online {
            return Ok(());
        }
        let mark = delivery.and_then(|delivery| delivery.mark(MarkTopic::Status));
        if !device.applied.is_late(mark, device.applied.status) {
            self.execute(topic, delivery, DeviceCommand::SeenOnline).await?;
        }
        self.record_contact(topic, delivery).await
    }

    pub(super) async fn record_contact(
        &self,
        topic: &DeviceTopic,
        delivery: Option<Delivery>,
    ) -> Result<(), IntakeError> {
        let subject = (&topic.tenant, &topic.device);
        if self.contacts.is_over(&subject) {
            return Ok(());
        }
        let contact = numbered(Contact::default(), delivery);
        self.publish(topic, TelemetryKind::Contact, delivery, None, &contact).await?;
        self.contacts.record(&subject);
        Ok(())
    }

    /// The device, if it is in service.
    pub(super) async fn active(&self, topic: &DeviceTopic) -> Result<Arc<Device>, IntakeError> {
        let device = Arc::clone(&self.store.load(&key(topic)).await?.aggregate);
        match device.lifecycle {
            Lifecycle::Active => Ok(device),
            Lifecycle::Absent => Err(Rejection::DeviceUnknown.into()),
            Lifecycle::Decommissioned => Err(Rejection::DeviceDecommissioned.into()),
        }
    }
}

fn numbered(contact: Contact, delivery: Option<Delivery>) -> Contact {
    match delivery.and_then(Delivery::place) {
        Some(place) => contact.numbered(place.incarnation_ms, place.sequence),
        None => contact,
    }
}
