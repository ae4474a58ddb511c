//! PEM files, with errors that name the file.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Largest PEM file, in bytes.
const FILE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A file's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let meta = std::fs::metadata(path).with_context(|| format!("{} can't be read", path.display()))?;
    ensure!(meta.len() <= FILE_MAX_BYTES, "{} has more than {FILE_MAX_BYTES} bytes", path.display());
    std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))
}

/// The certificates in a PEM text, at least one.
pub(super) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.with_context(|| format!("{} is not a PEM file of certificates", path.display()))?;
    ensure!(!found.is_empty(), "{} has no certificate in PEM form", path.display());
    Ok(found)
}

/// The private key in a PEM text. It is in no error.
pub(super) fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| anyhow::anyhow!("{} has no private key in PEM form that isn't encrypted", path.display()))
}
