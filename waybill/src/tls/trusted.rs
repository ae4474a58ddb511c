//! Which servers this process trusts, and what it shows them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use async_nats::ConnectOptions;
use hyper_rustls::ConfigBuilderExt;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use super::pem;

/// TLS of the connections to nats-server.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NatsTlsArgs {
    /// CA that nats-server's certificate must come from, PEM, for tls:// addresses [default: the system's]
    #[arg(long, env = "WAYBILL_NATS_CA")]
    pub nats_ca: Option<PathBuf>,
    /// Client certificate for nats-server, PEM
    #[arg(long, env = "WAYBILL_NATS_CERT", requires = "nats_key_file")]
    pub nats_cert: Option<PathBuf>,
    /// Private key of this certificate, PEM
    #[arg(long, env = "WAYBILL_NATS_KEY_FILE", requires = "nats_cert")]
    pub nats_key_file: Option<PathBuf>,
}

/// TLS of the bridge's connections to the MQTT listener.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MqttTlsArgs {
    /// CA that the MQTT listener's certificate must come from, PEM, for mqtts:// [default: the system's]
    #[arg(long, env = "WAYBILL_MQTT_CA")]
    pub mqtt_ca: Option<PathBuf>,
    /// Client certificate for the MQTT listener, PEM, if it requires one
    #[arg(long, env = "WAYBILL_MQTT_CERT", requires = "mqtt_key_file")]
    pub mqtt_cert: Option<PathBuf>,
    /// Private key of this certificate, PEM
    #[arg(long, env = "WAYBILL_MQTT_KEY_FILE", requires = "mqtt_cert")]
    pub mqtt_key_file: Option<PathBuf>,
}

impl MqttTlsArgs {
    pub(crate) fn is_given(&self) -> bool {
        self.mqtt_ca.is_some() || self.mqtt_cert.is_some()
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>> {
        let identity = self.mqtt_cert.as_deref().zip(self.mqtt_key_file.as_deref());
        client(self.mqtt_ca.as_deref(), identity)
    }
}

/// The same for nats-server, checked.
#[derive(Debug, Clone, Default)]
pub struct NatsTls(NatsTlsArgs);

impl NatsTlsArgs {
    /// Reads the files, so that a mistake is reported at the start. They are read again at each connect.
    pub fn checked(&self) -> Result<NatsTls> {
        if let Some(ca) = &self.nats_ca {
            roots(ca).context("WAYBILL_NATS_CA")?;
        }
        if let (Some(cert), Some(key)) = (&self.nats_cert, &self.nats_key_file) {
            pem::certificates(cert, &pem::read(cert)?).context("WAYBILL_NATS_CERT")?;
            pem::private_key(key, &pem::read(key)?).context("WAYBILL_NATS_KEY_FILE")?;
        }
        Ok(NatsTls(self.clone()))
    }
}

impl NatsTls {
    /// Options of a connection, with TLS or without.
    pub(crate) fn apply(&self, options: ConnectOptions, is_tls: bool) -> Result<ConnectOptions> {
        let NatsTlsArgs { nats_ca, nats_cert, nats_key_file } = &self.0;
        ensure!(
            is_tls || (nats_ca.is_none() && nats_cert.is_none()),
            "WAYBILL_NATS_CA and WAYBILL_NATS_CERT need tls:// addresses: nats:// isn't encrypted"
        );
        let mut options = options.require_tls(is_tls);
        if let Some(ca) = nats_ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(cert), Some(key)) = (nats_cert, nats_key_file) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        Ok(options)
    }
}

/// Settings of a client that trusts a CA alone, or those of the system.
pub fn trusting(ca: Option<&Path>) -> Result<Arc<ClientConfig>> {
    client(ca, None)
}

/// The same for a client that shows a certificate, PEM, with its key.
pub fn client(ca: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = match ca {
        Some(ca) => builder.with_root_certificates(roots(ca)?),
        None => builder.with_native_roots().context("the system's certificates can't be read")?,
    };
    let Some((cert, key)) = identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = pem::certificates(cert, &pem::read(cert)?)?;
    let private = pem::private_key(key, &pem::read(key)?)?;
    let shown = builder.with_client_auth_cert(chain, private);
    Ok(Arc::new(shown.with_context(|| format!("{} and {} don't fit", cert.display(), key.display()))?))
}

/// Settings of a client that trusts a CA in a PEM text alone, or those of the system, and shows a certificate with its key.
pub(crate) fn with_pem(ca: Option<&str>, identity: Option<(&str, &str)>) -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = match ca {
        None => builder.with_native_roots().context("the system's certificates can't be read")?,
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in pem::certificates(Path::new("the CA of the connection"), ca.as_bytes())? {
                roots.add(certificate).context("the CA of the connection is none")?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let Some((certificate, key)) = identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = pem::certificates(Path::new("the client certificate of the connection"), certificate.as_bytes())?;
    let key = pem::private_key(Path::new("the client key of the connection"), key.as_bytes())?;
    let shown = builder.with_client_auth_cert(chain, key);
    Ok(Arc::new(shown.context("the client certificate and the client key of the connection don't fit")?))
}

/// Settings of a client that can't speak TLS with anybody.
pub(crate) fn trusting_nobody() -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(RootCertStore::empty());
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// A PEM file as text.
pub(crate) fn pem_text(path: &Path) -> Result<String> {
    String::from_utf8(pem::read(path)?).with_context(|| format!("{} is not a PEM file", path.display()))
}

fn roots(ca: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(ca, &pem::read(ca)?)? {
        roots.add(certificate).with_context(|| format!("{} has a certificate that isn't one of a CA", ca.display()))?;
    }
    Ok(roots)
}
