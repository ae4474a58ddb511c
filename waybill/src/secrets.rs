//! The secrets of a serving process: given by the operator, otherwise stored in the data directory and generated at the first start.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use event_store::Keyring;
use trust::{MasterKey, MasterKeys, TokenHasher};

/// File in the data directory with the generated master key.
const MASTER_KEYS_FILE: &str = "master-keys";
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

/// The master keys: a file, or one key.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MasterKeyArgs {
    /// File with the master keys that seal the secrets of tenants, one ID:KEY a line, KEY being 32 bytes in hex; the first key seals, all
    /// open; read again when it has changed. This or WAYBILL_MASTER_KEY is required with a --role, otherwise a key is generated and kept in
    /// the data directory if absent
    #[arg(long, env = "WAYBILL_MASTER_KEYS_FILE", conflicts_with = "master_key")]
    pub master_keys_file: Option<PathBuf>,
    /// One master key, ID:KEY, in place of a file
    #[arg(long, env = "WAYBILL_MASTER_KEY", hide_env_values = true)]
    pub master_key: Option<String>,
}

impl MasterKeyArgs {
    pub fn is_given(&self) -> bool {
        self.master_keys_file.is_some() || self.master_key.is_some()
    }

    /// The given keys, else those in the data directory.
    pub async fn keyring(&self, data_dir: &Path) -> Result<Keyring> {
        if let Some(key) = &self.master_key {
            let keys = key.parse::<MasterKeys>();
            return Ok(Keyring::of(keys.context("WAYBILL_MASTER_KEY")?));
        }
        let kept = kept_master_keys(data_dir);
        let (file, setting) = match &self.master_keys_file {
            Some(file) => (file, "WAYBILL_MASTER_KEYS_FILE"),
            None => (&kept, "say which master keys to use: --master-keys-file or WAYBILL_MASTER_KEYS_FILE"),
        };
        Keyring::of_file(file).await.context(setting)
    }

    /// The same; generates a key if none was given and the data directory has none.
    pub async fn keyring_or_new(&self, data_dir: &Path) -> Result<Keyring> {
        let kept = kept_master_keys(data_dir);
        if !self.is_given() && !kept.exists() {
            write_private(&kept, format!("{}\n", MasterKey::generate_text()).as_bytes())
                .with_context(|| format!("the secret {} can't be kept", kept.display()))?;
        }
        self.keyring(data_dir).await
    }
}

fn kept_master_keys(data_dir: &Path) -> PathBuf {
    data_dir.join("secrets").join(MASTER_KEYS_FILE)
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
    use std::os::unix::fs::PermissionsExt;

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

    #[tokio::test]
    async fn a_master_key_is_generated_only_where_none_is_given() {
        let directory = std::env::temp_dir().join(format!("waybill-master-keys-{}", std::process::id()));
        let none = MasterKeyArgs::default();
        let error = format!("{:#}", none.keyring(&directory).await.unwrap_err());
        assert!(error.contains("--master-keys-file"), "{error}");
        let made = none.keyring_or_new(&directory).await.unwrap();
        let again = none.keyring_or_new(&directory).await.unwrap();
        assert_eq!(made.current().first_id(), again.current().first_id());
        let file = directory.join("secrets/master-keys");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let of_file = MasterKeyArgs { master_keys_file: Some(directory.join("missing")), master_key: None };
        let error = format!("{:#}", of_file.keyring_or_new(&directory).await.unwrap_err());
        assert!(error.contains("WAYBILL_MASTER_KEYS_FILE") && error.contains("missing"), "{error}");
        let of_key = MasterKeyArgs { master_keys_file: None, master_key: Some("k:geheim".to_owned()) };
        let error = format!("{:#}", of_key.keyring_or_new(&directory).await.unwrap_err());
        assert!(error.contains("WAYBILL_MASTER_KEY") && !error.contains("geheim"), "{error}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
