//! TLS in front of gRPC, for connections with client certificates.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::settings::TlsSettings;

/// What ends TLS, or why it can't.
pub(crate) fn acceptor(settings: &TlsSettings) -> io::Result<TlsAcceptor> {
    let config = config(settings).map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn config(settings: &TlsSettings) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(text)?;
    let builder = match &settings.client_ca_pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem)? {
                roots.add(certificate).map_err(text)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(text)?)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(settings.key_pem.as_bytes()).map_err(text)?;
    let mut config = builder.with_single_cert(certificates(&settings.certificate_pem)?, key).map_err(text)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
