//! Uplinks and notices of network servers about devices.

use chrono::{DateTime, Utc};
use event_store::dead_letters::DeadLetterReason;
use event_store::telemetry::TelemetryKind;
use serde_json::value::RawValue;

use super::Handler;
use crate::inbound::handler::Handled;
use crate::inbound::intake_error::IntakeError;
use crate::inbound::{Delivery, Inbound};
use crate::topics::{DeviceTopic, UnknownTopic};

/// An object without measurements.
const NOTHING: &str = "{}";

impl Handler {
    /// Measurements and readings of the radio. The device has made contact by them.
    pub(crate) async fn uplink(&self, message: &Inbound, at: Option<DateTime<Utc>>, data: Box<RawValue>) -> Handled {
        let taken = match &message.topic {
            Ok(topic) => self.store_uplink(topic, message.delivery, at, data).await.map(|()| None),
            Err(unknown) => Err(no_device(unknown)),
        };
        self.settle(message, "uplink", taken).await
    }

    /// A statement of the network server about a device. It is no contact of the device.
    pub(crate) async fn notice(&self, message: &Inbound, at: Option<DateTime<Utc>>, data: Box<RawValue>) -> Handled {
        let taken = match &message.topic {
            Ok(topic) => {
                let stored = self.publish_raw(topic, TelemetryKind::Notice, message.delivery, at, data);
                stored.await.map(|()| None)
            }
            Err(unknown) => Err(no_device(unknown)),
        };
        self.settle(message, "notice", taken).await
    }

    /// Makes a dead letter of an event, or a note on one that was applied without some values.
    pub(crate) async fn refuse(&self, message: &Inbound, refused: IntakeError) -> Handled {
        self.settle(message, "network", Err(refused)).await
    }

    async fn store_uplink(
        &self,
        topic: &DeviceTopic,
        delivery: Option<Delivery>,
        at: Option<DateTime<Utc>>,
        data: Box<RawValue>,
    ) -> Result<(), IntakeError> {
        self.seen_online(topic, delivery).await?;
        if data.get() == NOTHING {
            return Ok(());
        }
        self.publish_raw(topic, TelemetryKind::Measurements, delivery, at, data).await
    }
}

fn no_device(unknown: &UnknownTopic) -> IntakeError {
    IntakeError::rejected(DeadLetterReason::UnknownTopic, unknown.to_string())
}
