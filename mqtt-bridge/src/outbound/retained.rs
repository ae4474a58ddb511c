//! Commands over MQTT: retained on the device's topics.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::TenantId;
use domain::device::Device;
use domain::values::Transport;

use crate::command::{self, Command, CommandError, Fingerprint, Links};
use crate::install_window::InstallWindow;
use crate::link::Link;
use crate::topics::{Channel, DeviceTopic};
use crate::way::{NotSent, Recipient, Way};

pub(super) struct Retained {
    pub(super) link: Arc<Link>,
    pub(super) links: Arc<dyn Links>,
}

#[async_trait]
impl Way for Retained {
    /// Devices of other protocols that subscribe to their topics are served, too.
    fn reaches(&self, device: &Device) -> bool {
        device.profile.transport != Transport::Lorawan
    }

    fn is_open(&self) -> bool {
        self.link.is_connected()
    }

    fn pause(&self, _tenant: &TenantId) -> Option<Duration> {
        None
    }

    fn sends_answered(&self) -> bool {
        true
    }

    /// It would be delivered whenever the device connects.
    fn leaves_unanswered(&self) -> bool {
        false
    }

    fn runs_commands(&self) -> bool {
        true
    }

    fn fingerprint(&self, to: &Recipient<'_>) -> Fingerprint {
        command::fingerprint(to.aggregate, InstallWindow::retained(to.opening))
    }

    fn command(&self, to: &Recipient<'_>) -> Result<Command, CommandError> {
        let window = InstallWindow::retained(to.opening);
        let to_whom = (&to.device.tenant, &to.device.device);
        command::desired(to_whom, to.aggregate, &*self.links, to.signatures, window, to.now)
    }

    async fn send(&self, to: &Recipient<'_>, channel: Channel, command: &Command) -> Result<Duration, NotSent> {
        let topic = DeviceTopic::new(&to.device.tenant, &to.device.device, channel);
        let published = self.link.publish(&topic, command.payload.clone(), true).await;
        let outcome = if published.is_ok() { "sent" } else { "failed" };
        let kind = command.fingerprint.kind();
        metrics::counter!("waybill_mqtt_commands_total", "kind" => kind, "outcome" => outcome).increment(1);
        published.map(|()| Duration::ZERO).map_err(|error| {
            tracing::debug!(device.id = %to.device.device, %error, "command not published");
            NotSent::Soon
        })
    }
}
