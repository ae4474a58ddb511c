//! Connections to nats-server and its MQTT listener: addresses, users, and what a user may not do.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::ConnectOptions;
use mqtt_bridge::BrokerAddress;

use crate::rights::Rights;

/// Longest wait for nats-server at start.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);
const MQTT_PORT: u16 = 1883;

/// Connects to nats-server and reconnects when the connection is lost. `urls` names any servers of a cluster, with commas between them;
/// user and password are those of the first. `name` also keeps its replies apart from other users'.
pub async fn connect(urls: &str, name: &str) -> Result<async_nats::Client> {
    connect_with_rights(START_TIMEOUT, urls, name).await.map(|(client, _)| client)
}

/// The addresses of the servers of a cluster.
pub(crate) fn addresses(urls: &str) -> Result<Vec<async_nats::ServerAddr>> {
    urls.split(',')
        .map(|url| url.trim().parse::<async_nats::ServerAddr>())
        .collect::<std::io::Result<Vec<_>>>()
        .context("the address of nats-server is not valid; an example is nats://user:password@host:4222")
}

/// The same within a time limit, with the user's missing rights.
pub async fn connect_with_rights(patience: Duration, urls: &str, name: &str) -> Result<(async_nats::Client, Rights)> {
    let addresses = addresses(urls)?;
    let places: Vec<async_nats::ServerAddr> = addresses
        .iter()
        .map(|address| format!("nats://{}:{}", address.host(), address.port()).parse())
        .collect::<std::io::Result<_>>()?;
    let first = addresses.first().context("no address of nats-server")?;
    let place =
        addresses.iter().map(|address| format!("{}:{}", address.host(), address.port())).collect::<Vec<_>>().join(", ");
    let deadline = tokio::time::Instant::now() + patience;
    let rights = Rights::of(first.username());
    loop {
        match connect_options(first, name, &rights).connect(&places[..]).await {
            Ok(client) => return Ok((client, rights)),
            Err(error) if is_refused(&error) => {
                return Err(error).with_context(|| format!("nats-server at {place} refuses this user and password"));
            }
            Err(error) if tokio::time::Instant::now() > deadline => {
                return Err(error).with_context(|| format!("nats-server at {place} can't be reached"));
            }
            Err(error) => {
                tracing::warn!(%error, nats = %place, "nats-server can't be reached yet.");
                tokio::time::sleep(event_store::connection::RECONNECT_PAUSE_MAX).await;
            }
        }
    }
}

/// Errors that a retry can't fix.
fn is_refused(error: &async_nats::ConnectError) -> bool {
    use async_nats::ConnectErrorKind as Kind;
    matches!(error.kind(), Kind::Authentication | Kind::AuthorizationViolation)
}

fn connect_options(address: &async_nats::ServerAddr, name: &str, rights: &Rights) -> ConnectOptions {
    let rights = rights.clone();
    let options = event_store::connection::options(name).event_callback(move |event| {
        let rights = rights.clone();
        async move {
            if let async_nats::Event::ServerError(error) = event {
                rights.note(&error.to_string());
            }
        }
    });
    match (address.username(), address.password()) {
        (Some(user), Some(password)) => options.user_and_password(user.to_owned(), password.to_owned()),
        _ => options,
    }
}

/// `mqtt://user:password@host:port`.
pub(crate) fn broker_address(url: &str) -> Result<BrokerAddress> {
    // The value contains a password, so only the setting is named.
    let url = reqwest::Url::parse(url)
        .context("WAYBILL_MQTT_URL is not an address, such as mqtt://user:password@host:1883")?;
    // Other schemes, such as mqtts, promise TLS, which isn't supported.
    ensure!(url.scheme() == "mqtt", "WAYBILL_MQTT_URL begins with {}://; only mqtt:// is supported", url.scheme());
    Ok(BrokerAddress {
        host: url.host_str().context("the MQTT address has no host")?.to_owned(),
        port: url.port().unwrap_or(MQTT_PORT),
        user: url.username().to_owned(),
        password: url.password().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_spoken_is_taken_as_a_broker() {
        let address = broker_address("mqtt://bridge:secret@broker.example").unwrap();
        assert_eq!(
            (address.host.as_str(), address.port, address.user.as_str()),
            ("broker.example", MQTT_PORT, "bridge")
        );
        for url in ["mqtts://broker.example", "https://broker.example", "broker.example:1883", "mqtt:"] {
            let error = broker_address(url).err().unwrap().to_string();
            assert!(!error.contains("secret") && error.contains("MQTT"), "{url}: {error}");
        }
    }
}
