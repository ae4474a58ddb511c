//! Connections to nats-server and its MQTT listener: addresses, users, and what a user may not do.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::ConnectOptions;
use mqtt_bridge::BrokerAddress;

use crate::rights::Rights;
use crate::tls::{MqttTlsArgs, NatsTls};

/// Longest wait for nats-server at start.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);
const MQTT_PORT: u16 = 1883;
const MQTTS_PORT: u16 = 8883;

/// Connects to nats-server and reconnects when the connection is lost. `urls` names any servers of a cluster, with commas between them;
/// user and password are those of the first. `name` also keeps its replies apart from other users'.
pub async fn connect(urls: &str, name: &str) -> Result<async_nats::Client> {
    connect_with_rights(START_TIMEOUT, urls, &NatsTls::default(), name).await.map(|(client, _)| client)
}

/// The addresses of the servers of a cluster.
pub(crate) fn addresses(urls: &str) -> Result<Vec<async_nats::ServerAddr>> {
    let addresses = urls
        .split(',')
        .map(|url| url.trim().parse::<async_nats::ServerAddr>())
        .collect::<std::io::Result<Vec<_>>>()
        .context("the address of nats-server is not valid; an example is nats://user:password@host:4222")?;
    let schemes: Vec<&str> = addresses.iter().map(|address| address.scheme()).collect();
    ensure!(
        schemes.iter().all(|scheme| *scheme == "nats") || schemes.iter().all(|scheme| *scheme == "tls"),
        "the addresses of nats-server must all begin with nats://, or all with tls://"
    );
    Ok(addresses)
}

/// Checks addresses together with the settings of TLS.
pub(crate) fn check(urls: &str, tls: &NatsTls) -> Result<()> {
    let is_tls = addresses(urls)?.iter().all(async_nats::ServerAddr::tls_required);
    tls.apply(event_store::connection::options("check"), is_tls).map(drop)
}

/// The same within a time limit, with the user's missing rights.
pub async fn connect_with_rights(
    patience: Duration,
    urls: &str,
    tls: &NatsTls,
    name: &str,
) -> Result<(async_nats::Client, Rights)> {
    let addresses = addresses(urls)?;
    let places: Vec<async_nats::ServerAddr> = addresses
        .iter()
        .map(|address| format!("{}://{}:{}", address.scheme(), address.host(), address.port()).parse())
        .collect::<std::io::Result<_>>()?;
    let first = addresses.first().context("no address of nats-server")?;
    let place =
        addresses.iter().map(|address| format!("{}:{}", address.host(), address.port())).collect::<Vec<_>>().join(", ");
    let deadline = tokio::time::Instant::now() + patience;
    let rights = Rights::of(first.username());
    loop {
        let options = tls.apply(connect_options(first, name, &rights), first.tls_required())?;
        match options.connect(&places[..]).await {
            Ok(client) => return Ok((client, rights)),
            Err(error) if is_refused(&error) => {
                return Err(error).with_context(|| format!("nats-server at {place} refuses this user and password"));
            }
            Err(error) if is_untrusted(&error) => {
                return Err(error).with_context(|| {
                    format!("nats-server at {place} shows a certificate that isn't trusted for this address (WAYBILL_NATS_CA)")
                });
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

/// Whether the first of these servers lets in this user with this password.
pub(crate) async fn lets_in(urls: &str, tls: &NatsTls, user: &str, password: &str) -> Result<bool> {
    let addresses = addresses(urls)?;
    let first = addresses.first().context("no address of nats-server")?;
    let place = format!("{}://{}:{}", first.scheme(), first.host(), first.port());
    let options = tls.apply(event_store::connection::options("waybill-check"), first.tls_required())?;
    let login = options.user_and_password(user.to_owned(), password.to_owned()).connect(place).await;
    Ok(login.is_ok())
}

/// Errors that a retry can't fix.
fn is_refused(error: &async_nats::ConnectError) -> bool {
    use async_nats::ConnectErrorKind as Kind;
    matches!(error.kind(), Kind::Authentication | Kind::AuthorizationViolation)
}

/// A certificate of another CA, or for another name.
fn is_untrusted(error: &async_nats::ConnectError) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = source {
        let of_tls = found.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let of_tls = of_tls.and_then(|inner| inner.downcast_ref::<rustls::Error>()).or(found.downcast_ref());
        if matches!(of_tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        source = found.source();
    }
    false
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

/// `mqtt://user:password@host:port`, or `mqtts://`.
pub(crate) fn broker_address(url: &str, tls: &MqttTlsArgs) -> Result<BrokerAddress> {
    // The value contains a password, so only the setting is named.
    let url = reqwest::Url::parse(url)
        .context("WAYBILL_MQTT_URL is not an address, such as mqtt://user:password@host:1883")?;
    let scheme = url.scheme();
    let is_tls = scheme == "mqtts";
    ensure!(
        is_tls || scheme == "mqtt",
        "WAYBILL_MQTT_URL begins with {scheme}://, must begin with mqtt:// or mqtts://"
    );
    ensure!(
        is_tls || !tls.is_given(),
        "WAYBILL_MQTT_CA and WAYBILL_MQTT_CERT need an mqtts:// address: mqtt:// isn't encrypted"
    );
    Ok(BrokerAddress {
        tls: is_tls.then(|| tls.config()).transpose().context("WAYBILL_MQTT_CA, WAYBILL_MQTT_CERT")?,
        host: url.host_str().context("the MQTT address has no host")?.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(if is_tls { MQTTS_PORT } else { MQTT_PORT }),
        user: url.username().to_owned(),
        password: url.password().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_spoken_is_taken_as_a_broker() {
        let address = broker_address("mqtt://bridge:secret@broker.example", &MqttTlsArgs::default()).unwrap();
        assert_eq!(
            (address.host.as_str(), address.port, address.user.as_str(), address.tls.is_some()),
            ("broker.example", MQTT_PORT, "bridge", false)
        );
        for url in ["https://broker.example", "broker.example:1883", "mqtt:"] {
            let error = broker_address(url, &MqttTlsArgs::default()).err().unwrap().to_string();
            assert!(!error.contains("secret") && error.contains("MQTT"), "{url}: {error}");
        }
    }

    #[test]
    fn a_ca_is_no_use_without_tls() {
        let tls = MqttTlsArgs { mqtt_ca: Some("ca.pem".into()), ..MqttTlsArgs::default() };
        let error = broker_address("mqtt://broker.example", &tls).unwrap_err().to_string();
        assert!(error.contains("WAYBILL_MQTT_CA") && error.contains("an mqtts:// address"), "{error}");
        let error = format!("{:#}", broker_address("mqtts://broker.example", &tls).unwrap_err());
        assert!(error.contains("WAYBILL_MQTT_CA") && error.contains("ca.pem can't be read"), "{error}");
        let error = addresses("tls://a:4222,nats://b:4222").unwrap_err().to_string();
        assert!(error.contains("or all with tls://"), "{error}");
    }
}
