//! The master keys of a process. From a file they are read again when they don't suffice, so a new key needs no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::AsyncReadExt;
use trust::{MasterKeys, OpenError, Purpose, SecretValue};

use super::error::KeyringError;

/// Largest file of master keys, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Master keys, and the file they came from.
#[derive(Debug)]
pub struct Keyring {
    file: Option<PathBuf>,
    keys: RwLock<Arc<MasterKeys>>,
}

impl Keyring {
    /// Keys that stay the same while the process runs.
    pub fn of(keys: MasterKeys) -> Self {
        Self { file: None, keys: RwLock::new(Arc::new(keys)) }
    }

    /// Keys from a file.
    pub async fn of_file(path: &Path) -> Result<Self, KeyringError> {
        let keys = read(path).await?;
        Ok(Self { file: Some(path.to_owned()), keys: RwLock::new(Arc::new(keys)) })
    }

    /// The keys as last read.
    pub fn current(&self) -> Arc<MasterKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A sealed value. When it is sealed under a key that this process doesn't know, the keys are read again first.
    pub async fn open(&self, purpose: Purpose, place: &[&str], sealed: &[u8]) -> Result<SecretValue, OpenError> {
        match self.current().open_for(purpose, place, sealed) {
            Err(OpenError::UnknownKey(key)) => match self.reread().await {
                Ok(keys) => keys.open_for(purpose, place, sealed),
                Err(error) => {
                    tracing::error!(%error, "The master keys can't be read again.");
                    Err(OpenError::UnknownKey(key))
                }
            },
            opened => opened,
        }
    }

    /// The keys that the file has now. If it can't be read, the keys stay as they are.
    pub async fn reread(&self) -> Result<Arc<MasterKeys>, KeyringError> {
        let Some(file) = &self.file else { return Ok(self.current()) };
        let keys = Arc::new(read(file).await?);
        let before =
            std::mem::replace(&mut *self.keys.write().unwrap_or_else(PoisonError::into_inner), Arc::clone(&keys));
        if !before.ids().eq(keys.ids()) {
            tracing::info!(keys = ?keys, "The master keys have changed.");
        }
        Ok(keys)
    }
}

async fn read(path: &Path) -> Result<MasterKeys, KeyringError> {
    let unreadable = |reason| KeyringError::Unreadable { path: path.to_owned(), reason };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut text = String::new();
    file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text).await.map_err(unreadable)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(KeyringError::TooLarge { path: path.to_owned(), max_bytes: FILE_MAX_BYTES });
    }
    text.parse().map_err(|reason| KeyringError::Invalid { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use trust::{KeyId, MasterKey};

    use super::*;

    fn ids(keys: &MasterKeys) -> Vec<&str> {
        keys.ids().map(KeyId::as_str).collect()
    }

    #[tokio::test]
    async fn a_changed_file_counts_when_it_is_read_again_and_a_bad_one_changes_nothing() {
        let directory = std::env::temp_dir().join(format!("waybill-keyring-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("master-keys");
        assert!(Keyring::of_file(&file).await.unwrap_err().to_string().contains("can't be read"));
        let old = MasterKey::generate_text().replacen('k', "old", 1);
        std::fs::write(&file, &old).unwrap();
        let keyring = Keyring::of_file(&file).await.unwrap();
        let old_id = keyring.current().first_id().clone();

        std::fs::write(&file, format!("new{}\n{old}", &MasterKey::generate_text()[9..])).unwrap();
        assert_eq!(keyring.current().first_id(), &old_id);
        assert_eq!(ids(&keyring.reread().await.unwrap()), ["new", old_id.as_str()]);

        for (bad, wanted) in [("geheim".to_owned(), "line 1"), ("#".repeat(70_000), "more than 65536 bytes")] {
            std::fs::write(&file, bad).unwrap();
            let error = keyring.reread().await.unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains("master-keys") && !error.contains("geheim"), "{error}");
        }
        assert_eq!(ids(&keyring.current()), ["new", old_id.as_str()]);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
