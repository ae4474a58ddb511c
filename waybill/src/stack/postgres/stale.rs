//! Lock files of a PostgreSQL that was killed.
//!
//! PostgreSQL detects most of them by itself, but not if the process they name is a zombie, or if its number now belongs to another
//! PostgreSQL. The working directory of every server process is its data directory: if no process has it, they are stale.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::places::Places;

const POLL: Duration = Duration::from_millis(20);

/// Waits until no server uses the data, then removes the lock files.
pub(super) async fn remove_lock_files(places: &Places, deadline: Instant) -> Result<()> {
    let files = [places.data.join("postmaster.pid"), places.socket_lock()];
    if !files.iter().any(|file| file.exists()) {
        return Ok(());
    }
    while let Some(pid) = process_in(&places.data) {
        ensure!(
            Instant::now() < deadline,
            "another PostgreSQL (process {pid}) runs on {}: stop it, or set WAYBILL_DATA_DIR to another directory",
            places.data.display()
        );
        tokio::time::sleep(POLL).await;
    }
    if cfg!(target_os = "linux") {
        for file in &files {
            std::fs::remove_file(file).ok();
        }
    }
    Ok(())
}

/// A process whose working directory is this one. Without `/proc`, none is found and PostgreSQL's own check decides.
fn process_in(directory: &Path) -> Option<u32> {
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (std::fs::read_link(entry.path().join("cwd")).ok()? == directory).then_some(pid)
    })
}
