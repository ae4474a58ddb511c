//! What network servers tell about devices, beside what devices say themselves.

use chrono::{DateTime, Utc};
use event_store::telemetry::TelemetryKind;
use serde_json::value::RawValue;

use super::Handler;
use crate::inbound::handler::Handled;
use crate::inbound::intake_error::IntakeError;
use crate::inbound::{Delivery, Inbound};
use crate::topics::DeviceTopic;

/// An object without measurements.
const NOTHING: &str = "{}";
/// Text for people when the topic of a message of a network server names no device.
const NO_DEVICE: &str = "no device";

impl Handler {
    /// Measurements and readings of the radio, of a device that has made contact by them.
    pub(crate) async fn uplink(&self, message: &Inbound, at: Option<DateTime<Utc>>, data: Box<RawValue>) -> Handled {
        let taken = match &message.topic {
            Ok(topic) => self.store_uplink(topic, message.delivery, at, data).await.map(|()| None),
            Err(_) => Err(IntakeError::Unavailable(NO_DEVICE.to_owned())),
        };
        self.settle(message, "uplink", taken).await
    }

    /// What the network server said about a device. The device has made no contact by it.
    pub(crate) async fn notice(&self, message: &Inbound, at: Option<DateTime<Utc>>, data: Box<RawValue>) -> Handled {
        let taken = match &message.topic {
            Ok(topic) => {
                let stored = self.publish_raw(topic, TelemetryKind::Notice, message.delivery, at, data);
                stored.await.map(|()| None)
            }
            Err(_) => Err(IntakeError::Unavailable(NO_DEVICE.to_owned())),
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
