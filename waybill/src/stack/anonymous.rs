//! Devices at a nats-server without a service.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mqtt_bridge::callout::{Issuer, NoCredentials};
use runtime::lifecycle::Tasks;

use super::nats::NatsServer;
use crate::callout::Callout;
use crate::nats::broker_address;
use crate::tls::{MqttTlsArgs, NatsTls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl NatsServer {
    /// Lets in clients without user and password as any device, as long as the tasks run.
    pub async fn admit_anonymous_devices(&self, tasks: &Tasks) -> Result<()> {
        let callout = Callout {
            auth_url: self.auth_url(),
            tls: NatsTls::default(),
            issuer: Arc::new(Issuer::from_seed(self.issuer_seed()).context("the server's issuer")?),
            credentials: Arc::new(NoCredentials),
            anonymous_devices: true,
            broker: broker_address(&self.mqtt_url(), &MqttTlsArgs::default())?,
        };
        callout.start(CONNECT_TIMEOUT, tasks).await.map(drop)
    }
}
