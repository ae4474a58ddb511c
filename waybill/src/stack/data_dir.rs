//! A data directory belongs to one process at a time: a lock that the kernel releases when the process ends.

use std::fs::{DirEntry, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

const LOCK_FILE: &str = "lock";
/// Marks a directory that may be emptied, because its content is temporary.
const DISPOSABLE_FILE: &str = "disposable";
/// How long a lock is waited for: its holder may be about to end, and a process that another thread of this one is starting holds a copy
/// of all that is open until it runs its own program.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(20);
/// Hex digits of a path's short name.
const SHORT_NAME_LEN: usize = 16;

/// A directory that no other process uses while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if needed and locks it.
    pub fn open(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("the data directory {} can't be made", path.display()))?;
        let path = path.canonicalize()?;
        let lock = File::options().create(true).append(true).open(path.join(LOCK_FILE));
        let lock = lock.with_context(|| format!("the data directory {} can't be written to", path.display()))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => bail!(
                    "another Waybill uses {}: stop it, or name another directory (WAYBILL_DATA_DIR; for the demo --data-dir)",
                    path.display()
                ),
                Err(TryLockError::Error(error)) => return Err(error).context("the data directory can't be locked"),
            }
        }
    }

    /// Empties the directory, for temporary data. A directory with other content is refused, unless it is known to be `ours`.
    pub fn open_disposable(path: &Path, ours: bool) -> Result<Self> {
        let directory = Self::open(path)?;
        let marker = directory.path.join(DISPOSABLE_FILE);
        let is_empty = directory.entries()?.is_empty();
        ensure!(
            ours || is_empty || marker.exists(),
            "{} has other content: name a directory that is empty or doesn't exist",
            directory.path.display()
        );
        directory.clear()?;
        std::fs::write(marker, "Emptied at each start.\n")?;
        Ok(directory)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content, except the lock.
    fn entries(&self) -> Result<Vec<DirEntry>> {
        let entries = std::fs::read_dir(&self.path)?.collect::<std::io::Result<Vec<_>>>()?;
        Ok(entries.into_iter().filter(|entry| entry.file_name() != LOCK_FILE).collect())
    }

    fn clear(&self) -> Result<()> {
        for entry in self.entries()? {
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

/// A short name for a path, always the same.
pub(super) fn short_name(path: &Path) -> String {
    let digest = format!("{:x}", Sha256::digest(path.as_os_str().as_encoded_bytes()));
    digest[..SHORT_NAME_LEN].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_disposable_directory_holds_is_removed() {
        let path = std::env::temp_dir().join(format!("waybill-data-dir-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("precious"), "keep").unwrap();
        assert!(DataDir::open_disposable(&path, false).unwrap_err().to_string().contains("has other content"));
        assert!(path.join("precious").exists());
        std::fs::remove_file(path.join("precious")).unwrap();
        for _ in 0..2 {
            let directory = DataDir::open_disposable(&path, false).unwrap();
            assert_eq!(directory.entries().unwrap().len(), 1);
            std::fs::write(path.join("left-over"), "x").unwrap();
        }
        std::fs::remove_dir_all(&path).unwrap();
    }
}
