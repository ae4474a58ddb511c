//! A data directory belongs to one process at a time: a lock that the kernel drops with its holder, however that ends.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

const LOCK_FILE: &str = "lock";
/// Hex digits of a path's short name.
const SHORT_NAME_LEN: usize = 16;

/// A directory that nobody else uses while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be and locks it.
    pub fn open(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("the data directory {} can't be made", path.display()))?;
        let path = path.canonicalize()?;
        let lock = File::options().create(true).append(true).open(path.join(LOCK_FILE));
        let lock = lock.with_context(|| format!("the data directory {} can't be written to", path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("another Waybill uses {}: stop it, or set WAYBILL_DATA_DIR to another directory", path.display())
            }
            Err(TryLockError::Error(error)) => Err(error).context("the data directory can't be locked"),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes everything in it. Servers must not run in it any more.
    pub fn clear(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name() == LOCK_FILE {
                continue;
            }
            let removed = if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())
            } else {
                std::fs::remove_file(entry.path())
            };
            removed.with_context(|| format!("{} can't be removed", entry.path().display()))?;
        }
        Ok(())
    }
}

/// A short name for a path, the same for ever.
pub(super) fn short_name(path: &Path) -> String {
    let digest = format!("{:x}", Sha256::digest(path.as_os_str().as_encoded_bytes()));
    digest[..SHORT_NAME_LEN].to_owned()
}
