//! Connects the answers to nats-server's questions who may connect.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use event_store::EventStore;
use mqtt_bridge::BrokerAddress;
use mqtt_bridge::callout::{self, CalloutOptions, Credentials, CrowdedDevices, Issuer, RevocationOptions};
use runtime::lifecycle::Tasks;

use crate::nats::connect_with_rights;
use crate::tls::NatsTls;

/// Also the prefix of the replies that nats.conf lets the user of the system account have.
const SYSTEM: &str = "waybill-system";

/// Where to connect, and what answers depend on.
pub struct Callout {
    pub auth_url: String,
    pub tls: NatsTls,
    pub issuer: Arc<Issuer>,
    pub credentials: Arc<dyn Credentials>,
    pub anonymous_devices: bool,
    pub broker: BrokerAddress,
}

impl Callout {
    /// Answers from now on; returns the connection when the MQTT listener was seen to let in exactly whom it should, with the devices that
    /// are then found to have too many connections.
    pub async fn start(self, patience: Duration, tasks: &Tasks) -> Result<(async_nats::Client, CrowdedDevices)> {
        let Self { auth_url, tls, issuer, credentials, anonymous_devices, broker } = self;
        let (auth, rights) =
            connect_with_rights(patience, &auth_url, &tls, "waybill-auth").await.context("WAYBILL_NATS_AUTH_URL")?;
        let tasks = tasks.clone();
        let options = CalloutOptions { auth: auth.clone(), issuer, credentials, anonymous_devices, broker, tasks };
        let crowded = rights.or_refused(callout::start(options)).await?;
        Ok((auth, crowded))
    }
}

/// Ends the connections of devices whose credentials end, from now on; returns the connection to the system account.
pub async fn follow_revocations(
    patience: Duration,
    system_url: &str,
    tls: &NatsTls,
    waybill: async_nats::Client,
    store: EventStore,
    tasks: &Tasks,
) -> Result<async_nats::Client> {
    let system = connect_with_rights(patience, system_url, tls, SYSTEM).await;
    let (system, _) = system.context("WAYBILL_NATS_SYSTEM_URL")?;
    let tasks = tasks.clone();
    callout::follow_revocations(RevocationOptions { store, system: system.clone(), waybill, tasks });
    Ok(system)
}
