//! Where a ChirpStack is and with which key it is asked.

use std::fmt;
use std::time::Duration;

use runtime::outward::{self, Outward};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::connector::Connector;

/// How long a call may take when the caller says nothing else.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = outward::CONNECT_TIMEOUT.saturating_add(Duration::from_secs(1));
/// A connection that is silent for this long is asked whether it is alive.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long the answer to that may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an address.
const URL_BYTES_MAX: usize = 2_048;

/// An API key of ChirpStack. It does not print itself.
#[derive(Clone)]
pub struct ApiKey(MetadataValue<Ascii>);

impl ApiKey {
    pub fn new(key: &str) -> Result<Self, InvalidConnection> {
        if key.is_empty() {
            return Err(InvalidConnection("the API key is empty".to_owned()));
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {key}")
            .parse()
            .map_err(|_| InvalidConnection("the API key has characters that a header can't carry".to_owned()))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The value of the header `authorization`.
    pub(super) fn bearer(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(…)")
    }
}

/// A certificate that a client shows, with its private key. It does not print itself.
#[derive(Clone)]
pub struct ClientIdentity(Identity);

impl ClientIdentity {
    /// Both in PEM. Whether they fit is found when a client is made.
    #[must_use]
    pub fn new(certificates_pem: &str, key_pem: &str) -> Self {
        Self(Identity::from_pem(certificates_pem, key_pem))
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientIdentity(…)")
    }
}

/// The settings of a connection can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConnection(pub String);

/// Where a ChirpStack is and with which key it is asked.
#[derive(Debug, Clone)]
pub struct Connection {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    pub api_key: ApiKey,
    /// Certificates in PEM that are trusted besides the machine's own.
    pub extra_ca_pem: Option<String>,
    /// What is shown to a server that asks for a certificate.
    pub identity: Option<ClientIdentity>,
    /// How long a call may take.
    pub call_timeout: Duration,
    /// Where a tenant's address may lead.
    pub outward: Outward,
}

impl Connection {
    #[must_use]
    pub fn new(url: &str, api_key: ApiKey, outward: Outward) -> Self {
        Self { url: url.to_owned(), api_key, extra_ca_pem: None, identity: None, call_timeout: CALL_TIMEOUT, outward }
    }

    /// A channel that connects with its first call and again whenever it broke. Needs a runtime of tokio.
    pub(super) fn channel(&self) -> Result<Channel, InvalidConnection> {
        let invalid = |why: &str| InvalidConnection(format!("the address of ChirpStack {why}"));
        if self.url.len() > URL_BYTES_MAX {
            return Err(invalid("is too long"));
        }
        let endpoint = Endpoint::from_shared(self.url.clone()).map_err(|_| invalid("is not a URL"))?;
        let is_tls = match endpoint.uri().scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid("begins neither with http:// nor with https://")),
        };
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let endpoint = match is_tls {
            true => endpoint
                .tls_config(self.tls())
                .map_err(|_| InvalidConnection("the certificates or the private key can't be used".to_owned()))?,
            false => endpoint,
        };
        Ok(endpoint.connect_with_connector_lazy(Connector(self.outward.clone())))
    }

    fn tls(&self) -> ClientTlsConfig {
        let mut tls = ClientTlsConfig::new().with_native_roots();
        if let Some(pem) = &self.extra_ca_pem {
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        if let Some(identity) = &self.identity {
            tls = tls.identity(identity.0.clone());
        }
        tls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_shown_nowhere() -> Result<(), InvalidConnection> {
        let connection = Connection::new("http://127.0.0.1:8080", ApiKey::new("top-secret")?, Outward::default());
        assert!(!format!("{connection:?}").contains("top-secret"));
        assert!(!format!("{:?}", connection.api_key.bearer()).contains("top-secret"));
        let identity = Some(ClientIdentity::new("a certificate", "top-secret"));
        assert!(!format!("{:?}", Connection { identity, ..connection }).contains("top-secret"));
        Ok(())
    }

    #[tokio::test]
    async fn settings_that_cannot_be_used_are_refused_before_the_first_call() -> Result<(), InvalidConnection> {
        assert!(ApiKey::new("").is_err());
        assert!(ApiKey::new("two\nlines").is_err());
        for url in ["", "ftp://host", "host:8080", "http://a b", &format!("http://{}", "h".repeat(URL_BYTES_MAX))] {
            assert!(Connection::new(url, ApiKey::new("key")?, Outward::default()).channel().is_err(), "{url}");
        }
        let right = Connection::new("https://chirpstack.example", ApiKey::new("key")?, Outward::default());
        assert!(right.channel().is_ok());
        let identity = Some(ClientIdentity::new("no certificate", "no key"));
        assert!(Connection { identity, ..right }.channel().is_err());
        Ok(())
    }
}
