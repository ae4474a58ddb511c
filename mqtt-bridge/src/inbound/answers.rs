//! Answers to devices that ask for their command or speak of an update that is over: the present command, not retained.
//!
//! An answer that can't be sent is forgotten: the device asks again, and the retained command stands anyway.

use std::sync::Arc;

use bytes::Bytes;
use domain::device::Device;
use domain::{DeviceId, Key, TenantId};
use event_store::{EventStore, StoreError, clock};

use crate::command::{self, Links};
use crate::link::Link;
use crate::topics::{Channel, DeviceTopic};

pub(crate) struct Answers {
    pub(crate) store: EventStore,
    pub(crate) link: Arc<Link>,
    pub(crate) links: Arc<dyn Links>,
}

/// What a device is told when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenNothing {
    /// It asked: a message that says so.
    SayNone,
    /// It is mistaken: what stands, an empty payload.
    SayEmpty,
}

impl Answers {
    /// Sends the present command with a fresh link.
    pub(super) async fn send(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        when_nothing: WhenNothing,
    ) -> Result<(), StoreError> {
        let loaded = self.store.load_fresh(&Key::<Device>::new(tenant, device)).await?;
        let now = clock::now();
        let payload = match command::desired(tenant, device, &loaded.aggregate, &*self.links, now) {
            Ok(command) if command.payload.is_empty() && when_nothing == WhenNothing::SayNone => command::none(now),
            Ok(command) => Ok(command.payload),
            Err(error) => Err(error),
        };
        match payload {
            Ok(payload) => self.publish(tenant, device, payload).await,
            Err(error) => tracing::error!(device.id = %device, %error, "no command can be made for a device"),
        }
        Ok(())
    }

    async fn publish(&self, tenant: &TenantId, device: &DeviceId, payload: Bytes) {
        let topic = DeviceTopic::new(tenant, device, Channel::Commands);
        let outcome = match self.link.publish(&topic, payload, false).await {
            Ok(()) => "sent",
            Err(error) => {
                tracing::debug!(device.id = %device, %error, "answer not sent");
                "failed"
            }
        };
        metrics::counter!("waybill_mqtt_answers_total", "outcome" => outcome).increment(1);
    }
}
