//! The secrets of a serving process: given by the operator, otherwise stored in the data directory and generated at the first start.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use trust::TokenHasher;

/// Shortest secret, in bytes.
const MIN_BYTES: usize = 32;

/// The secrets that the operator has given.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    pub jwt: Option<&'a String>,
    pub download: Option<&'a String>,
    pub credential: Option<&'a String>,
}

/// Secrets, each long enough.
pub struct Secrets {
    /// Of bearer tokens.
    pub jwt: Vec<u8>,
    /// Of download links.
    pub download: Vec<u8>,
    /// Hashes the tokens of devices.
    pub credentials: TokenHasher,
}

impl Secrets {
    /// Uses the given secrets, reads the others in the data directory, and generates missing ones.
    pub fn of(data_dir: &Path, given: Given<'_>) -> Result<Self> {
        given.check()?;
        Ok(Self {
            jwt: secret(data_dir, given.jwt, "jwt")?,
            download: secret(data_dir, given.download, "download-links")?,
            credentials: TokenHasher::new(secret(data_dir, given.credential, "credentials")?),
        })
    }
}

impl Given<'_> {
    /// Refuses secrets that are too short.
    pub fn check(self) -> Result<()> {
        for (name, secret) in [
            ("WAYBILL_JWT_SECRET", self.jwt),
            ("WAYBILL_DOWNLOAD_SECRET", self.download),
            ("WAYBILL_CREDENTIAL_SECRET", self.credential),
        ] {
            let bytes = secret.map_or(MIN_BYTES, String::len);
            ensure!(
                bytes >= MIN_BYTES,
                "{name} has {bytes} bytes, must have {MIN_BYTES} or more: openssl rand -hex 32"
            );
        }
        Ok(())
    }
}

fn secret(data_dir: &Path, given: Option<&String>, file: &str) -> Result<Vec<u8>> {
    if let Some(secret) = given {
        return Ok(secret.clone().into_bytes());
    }
    let path = data_dir.join("secrets").join(file);
    match std::fs::read(&path) {
        Ok(secret) => {
            // A new secret would invalidate everything that the old one has signed or hashed.
            let bytes = secret.len();
            let name = path.display();
            ensure!(bytes >= MIN_BYTES, "the secret {name} has {bytes} bytes, must have {MIN_BYTES} or more");
            Ok(secret)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let secret: [u8; MIN_BYTES] = rand::random();
            write_private(&path, &secret).with_context(|| format!("the secret {} can't be kept", path.display()))?;
            Ok(secret.to_vec())
        }
        Err(error) => Err(error).with_context(|| format!("the secret {} can't be read", path.display())),
    }
}

/// Writes a file that only its owner can read, completely or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = path.parent().with_context(|| format!("{} has no directory", path.display()))?;
    std::fs::create_dir_all(directory)?;
    let partial = path.with_extension("partial");
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(std::fs::rename(partial, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_somebody_spoiled_is_refused_and_not_replaced() {
        let directory = std::env::temp_dir().join(format!("waybill-secrets-{}", std::process::id()));
        let made = secret(&directory, None, "jwt").unwrap();
        assert_eq!((made.len(), secret(&directory, None, "jwt").unwrap()), (MIN_BYTES, made));
        let path = directory.join("secrets/jwt");
        std::fs::write(&path, "short").unwrap();
        let error = secret(&directory, None, "jwt").unwrap_err().to_string();
        assert!(error.contains("5 bytes, must have 32 or more"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
