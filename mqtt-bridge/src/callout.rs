//! Decides who may connect to the MQTT listener: nats-server asks for each client (auth callout), Waybill answers.
//!
//! A device logs in as `{tenant}/{device}` with the token of one of its credentials, or with the client certificate that one of them is for,
//! and gets its own topics only ([`access`]). What the log
//! knows of a device is loaded for each login, and [`decision`] decides; [`responder`] is the connection to nats-server. nats-server asks
//! only when a client connects, so [`revocations`] ends the connections of devices whose credentials have ended. Credentials that expire
//! need nothing: the answer names the time, and the server ends the connection then.
//!
//! A program logs in by NATS, as its tenant and with an API key, and reads the public feed of this tenant.
//!
//! Invariants: a password is neither logged nor kept; a question that can't be decided is refused; who doesn't use MQTT reaches nothing but the
//! feed of one tenant.

mod access;
mod answer;
mod connections;
mod credentials;
mod decision;
mod device_limits;
mod issuer;
mod own_login;
mod question;
mod responder;
mod revocations;
mod self_check;

use std::sync::Arc;

use async_nats::Client;
use event_store::EventStore;
use event_store::metering::Labels;
use runtime::lifecycle::Tasks;

pub use credentials::{Credentials, Found, FoundKey, NoCredentials, Proof, StoredCredentials};
pub use device_limits::{CONNECTIONS_MAX, CrowdedDevices};
pub use issuer::{InvalidSeed, Issuer};
pub use self_check::SelfCheckError;

use crate::link::BrokerAddress;
use connections::Connections;
use device_limits::DeviceLimits;
use responder::{Judge, Responder};
use revocations::Revocations;

/// What answers to nats-server need.
pub struct CalloutOptions {
    /// A connection to account AUTH, whose user may answer nats-server's questions.
    pub auth: Client,
    pub issuer: Arc<Issuer>,
    pub credentials: Arc<dyn Credentials>,
    /// Lets in clients without a user, as any device. For development.
    pub anonymous_devices: bool,
    /// The MQTT listener.
    pub broker: BrokerAddress,
    pub tasks: Tasks,
}

/// What the end of connections needs.
pub struct RevocationOptions {
    pub store: EventStore,
    /// A connection to the system account, whose user may list and end connections.
    pub system: Client,
    /// A connection to the account of the log, for the lease.
    pub waybill: Client,
    pub tasks: Tasks,
}

/// Why devices can't be let in.
#[derive(Debug, thiserror::Error)]
pub enum CalloutError {
    #[error("nats-server's questions can't be subscribed to: {0}")]
    NotSubscribed(String),
    #[error(transparent)]
    SelfCheck(#[from] SelfCheckError),
}

/// Answers nats-server from now on; returns when the MQTT listener was seen to let in exactly whom it should, with the devices that are
/// then found to have too many connections.
pub async fn start(options: CalloutOptions) -> Result<CrowdedDevices, CalloutError> {
    let CalloutOptions { auth, issuer, credentials, anonymous_devices, broker, tasks } = options;
    let crowded = CrowdedDevices::default();
    let limits = DeviceLimits::new(crowded.clone());
    let judge = Judge::new(Arc::clone(&issuer), credentials, limits, anonymous_devices);
    let responder = Responder::subscribe(auth, judge).await.map_err(CalloutError::NotSubscribed)?;
    tasks.spawn("mqtt-callout", responder.run(tasks.token().clone()));
    if anonymous_devices {
        tracing::warn!("Devices without credentials are let in, as any device of any tenant.");
    }
    self_check::check(&broker, &issuer, anonymous_devices).await?;
    Ok(crowded)
}

/// Ends the connections of devices whose credentials end, from now on.
pub fn follow_revocations(options: RevocationOptions) {
    let RevocationOptions { store, system, waybill, tasks } = options;
    let revocations = Revocations { store, connections: Connections::new(system), waybill, tasks: tasks.clone() };
    tasks.spawn("mqtt-revocations", revocations.run());
}

/// What becomes of clients that want to connect.
pub(crate) const OUTCOMES: &[Labels] = &[
    &[("outcome", "accepted")],
    &[("outcome", "not_mqtt")],
    &[("outcome", "anonymous")],
    &[("outcome", "wrong_user")],
    &[("outcome", "wrong_client_id")],
    &[("outcome", "tenant_closed")],
    &[("outcome", "no_device")],
    &[("outcome", "decommissioned")],
    &[("outcome", "wrong_token")],
    &[("outcome", "expired")],
    &[("outcome", "unavailable")],
    &[("outcome", "busy")],
    &[("outcome", "too_often")],
];

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::OUTCOMES;
    use super::decision::Refusal;

    #[test]
    fn every_refusal_is_counted_from_the_start() {
        let counted: Vec<&str> = OUTCOMES.iter().map(|labels| labels[0].1).collect();
        let refusals = Refusal::iter().map(<&'static str>::from);
        assert_eq!(counted, std::iter::once("accepted").chain(refusals).collect::<Vec<_>>());
    }
}
