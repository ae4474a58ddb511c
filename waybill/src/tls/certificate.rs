//! The certificate of the HTTP server. When its files change it is read again, without a restart.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::pem;

/// Interval of looking whether the files have changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Files of a certificate and its key.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CertificateArgs {
    /// Certificate of the HTTP server, PEM, followed by those between it and the CA; HTTP is then HTTPS only. The file is read again when it
    /// changes
    #[arg(long, env = "WAYBILL_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of this certificate, PEM
    #[arg(long, env = "WAYBILL_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// A certificate that is served, as it is in its files now.
#[derive(Debug)]
pub struct ServedCertificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    certified: Arc<CertifiedKey>,
    pem: Pem,
}

/// What the two files contain.
#[derive(Clone, PartialEq, Eq)]
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl CertificateArgs {
    pub fn is_given(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Reads the files and checks that they belong together.
    pub fn load(&self) -> Result<Option<Arc<ServedCertificate>>> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let (cert, key) = (cert.clone(), key.clone());
        let pem = Pem {
            cert: pem::read(&cert).context("WAYBILL_TLS_CERT")?,
            key: pem::read(&key).context("WAYBILL_TLS_KEY")?,
        };
        let certified = certified(&cert, &key, &pem)?;
        Ok(Some(Arc::new(ServedCertificate { cert, key, current: RwLock::new(Current { certified, pem }) })))
    }
}

impl ServedCertificate {
    /// Settings of a server that shows this certificate.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Follows changes of the files until it is stopped. Files that can't be used, such as a key that is replaced before its certificate,
    /// change nothing.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut refused: Option<String> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.look()).await;
            match looked.map_err(anyhow::Error::from).and_then(|looked| looked) {
                Ok(false) => refused = None,
                Ok(true) => {
                    refused = None;
                    tracing::info!(file = %self.cert.display(), "The certificate has changed.");
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    if refused.as_ref() != Some(&error) {
                        tracing::error!(error, "The changed certificate can't be used; the one from before stays.");
                    }
                    refused = Some(error);
                }
            }
        }
    }

    /// Takes changed files; true if they have changed.
    fn look(&self) -> Result<bool> {
        let pem = Pem { cert: pem::read(&self.cert)?, key: pem::read(&self.key)? };
        if self.current.read().unwrap_or_else(PoisonError::into_inner).pem == pem {
            return Ok(false);
        }
        let certified = certified(&self.cert, &self.key, &pem)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { certified, pem };
        Ok(true)
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).certified))
    }
}

fn certified(cert: &std::path::Path, key: &std::path::Path, pem: &Pem) -> Result<Arc<CertifiedKey>> {
    let chain = pem::certificates(cert, &pem.cert).context("WAYBILL_TLS_CERT")?;
    let private = pem::private_key(key, &pem.key).context("WAYBILL_TLS_KEY")?;
    let certified = CertifiedKey::from_der(chain, private, &ring::default_provider());
    let certified = certified.map_err(|error| {
        anyhow!("the key in {} can't be used for the certificate in {}: {error}", key.display(), cert.display())
    })?;
    // An unreadable certificate can't be compared with the key.
    certified
        .keys_match()
        .with_context(|| format!("WAYBILL_TLS_CERT: {} has no certificate of this key", cert.display()))?;
    Ok(Arc::new(certified))
}
