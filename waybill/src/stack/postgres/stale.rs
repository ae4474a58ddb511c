//! Lock files of a PostgreSQL that was killed.
//!
//! PostgreSQL finds most of them stale by itself, but not when the process they name is a zombie that nobody has waited for, or when
//! its number belongs to another PostgreSQL by now. Every server process stands in its data directory: when none does, they are stale.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::places::Places;

const POLL: Duration = Duration::from_millis(20);

/// Waits until no server works on the data any more, then removes what the last one left.
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

/// A process whose working directory is this one. Without `/proc`, none is seen and PostgreSQL's own check decides.
fn process_in(directory: &Path) -> Option<u32> {
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (std::fs::read_link(entry.path().join("cwd")).ok()? == directory).then_some(pid)
    })
}
