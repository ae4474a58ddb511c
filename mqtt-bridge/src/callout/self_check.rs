//! At the start: does nats-server ask Waybill who may connect?
//!
//! A nats.conf without the callout would either let everybody in or refuse every device, and only nats-server's log would say why. So the
//! bridge connects to the listener itself: once as [`USER`] with a password that it alone can make, which must be let in; with a wrong
//! password, and without any, which must be refused.

use std::time::Duration;

use runtime::clock;
use tokio::time::{Instant, sleep};

use super::answer::DEVICES_ACCOUNT;
use super::issuer::Issuer;
use super::own_login::{USER, password};
use crate::link::{BrokerAddress, Knock, knock};

/// How long the listener may take to let the check in: it may have just started.
const PATIENCE: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(250);

/// Why devices can't be let in, or are not kept out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfCheckError {
    #[error(
        "the MQTT listener lets in clients without a password: remove no_auth_user from mqtt {{}} in nats.conf (for development only: \
         --development --anonymous-devices)"
    )]
    OpenToAnybody,
    #[error(
        "the MQTT listener lets in clients with a wrong password: nats.conf needs authorization {{ auth_callout {{ issuer: {issuer}, \
         account: AUTH, auth_users: [every user of nats.conf] }} }}"
    )]
    OpenToWrongPasswords { issuer: String },
    #[error(
        "nats-server refused Waybill's own test login: nats.conf needs authorization {{ auth_callout {{ issuer: {issuer}, account: \
         AUTH, auth_users: [every user of nats.conf] }} }} with this issuer, and all bridges the same WAYBILL_NATS_ISSUER_SEED"
    )]
    NotAsked { issuer: String },
    #[error("the MQTT listener can't be checked: {0}")]
    Unreachable(String),
}

/// Checks that the listener admits exactly whom Waybill admits.
pub(super) async fn check(
    broker: &BrokerAddress,
    issuer: &Issuer,
    anonymous_devices: bool,
) -> Result<(), SelfCheckError> {
    let id = || format!("waybill-self-check-{}", clock::new_id());
    let key = || issuer.public_key().to_owned();
    let own = || {
        let id = id();
        let password = password(issuer, &id);
        (id, Some((USER, password)))
    };
    if !is_let_in(broker, own, true).await? {
        return Err(SelfCheckError::NotAsked { issuer: key() });
    }
    if is_let_in(broker, || (id(), Some((USER, id()))), false).await? {
        return Err(SelfCheckError::OpenToWrongPasswords { issuer: key() });
    }
    if !anonymous_devices && is_let_in(broker, || (id(), None), false).await? {
        return Err(SelfCheckError::OpenToAnybody);
    }
    tracing::info!(account = DEVICES_ACCOUNT, "nats-server asks Waybill who may connect to the MQTT listener.");
    Ok(())
}

/// Whether a client is let in. Repeated until the outcome is the expected one, for a while; a listener that can't be reached is waited for.
async fn is_let_in(
    broker: &BrokerAddress,
    client: impl Fn() -> (String, Option<(&'static str, String)>),
    expected: bool,
) -> Result<bool, SelfCheckError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (client_id, credentials) = client();
        let outcome = knock(broker, &client_id, credentials).await;
        let is_over = Instant::now() > deadline;
        match outcome {
            Knock::LetIn => return Ok(true),
            Knock::Refused if !expected || is_over => return Ok(false),
            Knock::Unreachable(error) if is_over => return Err(SelfCheckError::Unreachable(error)),
            Knock::Refused | Knock::Unreachable(_) => sleep(PAUSE).await,
        }
    }
}
