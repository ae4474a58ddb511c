//! Answers devices that ask for their command or report on an update that has ended: sends the current command, not retained.
//!
//! Invariant: no answer has a link that is refused. If the firmware was withdrawn meanwhile, the update is taken back before the answer. An
//! answer that can't be sent is dropped: the device asks again, and the retained command is still there.

use std::sync::Arc;

use bytes::Bytes;
use domain::device::{Desired, Device, DeviceCommand};
use domain::firmware::{Firmware, FirmwareStatus};
use domain::window::Opening;
use domain::{Actor, CommandId, DeviceId, FirmwareId, Key, TenantId};
use event_store::{EventStore, ExecuteError, Request, StoreError};
use runtime::clock;

use crate::command::{self, Links};
use crate::dispatch_rules::{self, Ruling};
use crate::install_window::{self, InstallWindow};
use crate::link::Link;
use crate::topics::{Channel, DeviceTopic};

pub(crate) struct Answers {
    pub(crate) store: EventStore,
    pub(crate) link: Arc<Link>,
    pub(crate) links: Arc<dyn Links>,
}

/// The answer when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenNothing {
    /// The device asked: the command `none`.
    SayNone,
    /// The device reported on an ended update: an empty payload.
    SayEmpty,
}

impl Answers {
    /// Sends the current command with a new link.
    pub(super) async fn send(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        when_nothing: WhenNothing,
    ) -> Result<(), StoreError> {
        let (aggregate, signatures) = match self.with_usable_command(tenant, device).await? {
            None => (None, vec![]),
            Some(aggregate) => match dispatch_rules::rule(&self.store, tenant, &aggregate, u64::MAX).await? {
                Ruling { keeps_back: true, .. } => (None, vec![]),
                Ruling { signatures, .. } => (Some(aggregate), signatures),
            },
        };
        let now = clock::now();
        let window = match &aggregate {
            Some(aggregate) => install_window::opening(&self.store, tenant, aggregate, u64::MAX, now).await?,
            None => Opening::Always,
        };
        let window = InstallWindow::answered(window, now);
        let desired = aggregate
            .map(|aggregate| command::desired((tenant, device), &aggregate, &*self.links, &signatures, window, now));
        let payload = match (desired.transpose().map(|command| command.map(|command| command.payload)), when_nothing) {
            (Ok(Some(payload)), _) if !payload.is_empty() => Ok(payload),
            (Ok(_), WhenNothing::SayNone) => command::none(now),
            (Ok(_), WhenNothing::SayEmpty) => Ok(Bytes::new()),
            (Err(error), _) => Err(error),
        };
        match payload {
            Ok(payload) => self.publish(tenant, device, Channel::Commands, payload).await,
            Err(error) => tracing::error!(device.id = %device, %error, "no command can be made for a device"),
        }
        Ok(())
    }

    /// Sends the command that the device should run beside its updates, if there is one.
    pub(super) async fn send_run(&self, tenant: &TenantId, device: &DeviceId) -> Result<(), StoreError> {
        let aggregate = Arc::clone(&self.store.load(&Key::<Device>::new(tenant, device)).await?.aggregate);
        if aggregate.desired_command().is_none()
            || dispatch_rules::keeps_back_run(&self.store, tenant, &aggregate, u64::MAX).await?
        {
            return Ok(());
        }
        match command::run(&aggregate, clock::now()) {
            Ok(command) => self.publish(tenant, device, Channel::Run, command.payload).await,
            Err(error) => tracing::error!(device.id = %device, %error, "no command can be made for a device"),
        }
        Ok(())
    }

    /// The device, after its update was taken back if the firmware was withdrawn. None if its command still has a refused link.
    async fn with_usable_command(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
    ) -> Result<Option<Arc<Device>>, StoreError> {
        let key = Key::<Device>::new(tenant, device);
        let aggregate = Arc::clone(&self.store.load_fresh(&key).await?.aggregate);
        let Some(firmware_id) = self.refused_firmware(tenant, &aggregate).await? else { return Ok(Some(aggregate)) };
        let command = DeviceCommand::WithdrawFirmware { firmware_id };
        let actor = Actor::new("bridge").unwrap_or_else(|_| unreachable!("a valid actor"));
        let aggregate = match self.store.execute(&key, Request::new(CommandId(clock::new_id()), actor, command)).await {
            Ok(committed) => committed.aggregate,
            Err(ExecuteError::Store(error)) => return Err(error),
            // Another command was faster.
            Err(_) => Arc::clone(&self.store.load_fresh(&key).await?.aggregate),
        };
        let is_refused = self.refused_firmware(tenant, &aggregate).await?.is_some();
        Ok((!is_refused).then_some(aggregate))
    }

    /// The firmware of the current command, if its link would be refused.
    async fn refused_firmware(&self, tenant: &TenantId, device: &Device) -> Result<Option<FirmwareId>, StoreError> {
        let Desired::Install(update) = device.desired() else { return Ok(None) };
        let id = update.spec.firmware.firmware_id;
        let status = self.store.load_fresh(&Key::<Firmware>::new(tenant, &id)).await?.aggregate.status;
        let is_retired = matches!(status, FirmwareStatus::Withdrawn | FirmwareStatus::Deleted);
        Ok((is_retired && !status.is_given_out(Some(update))).then_some(id))
    }

    async fn publish(&self, tenant: &TenantId, device: &DeviceId, channel: Channel, payload: Bytes) {
        let topic = DeviceTopic::new(tenant, device, channel);
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
