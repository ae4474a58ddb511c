//! A new PostgreSQL cluster for each world: copies of one, because making one takes longer than all else at a start.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::sync::OnceCell;
use waybill::stack::{Postgres, Spawner, Tools};

use crate::directory::Directory;

/// Where the copied one is kept, also for later runs.
const KEPT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/postgres-cluster");

static MADE: OnceCell<PathBuf> = OnceCell::const_new();

/// Puts a new cluster where [`waybill::stack::Stack::start`] expects its own.
pub(super) async fn provide(tools: &Tools, data_dir: &Path) {
    let user = std::fs::metadata(data_dir).unwrap().uid();
    let made = MADE.get_or_init(async || make(tools, user).await).await;
    let postgres = data_dir.join("postgres");
    std::fs::create_dir(&postgres).unwrap();
    copy(made, &postgres.join("data"));
}

/// Of this version, for this user.
async fn make(tools: &Tools, user: u32) -> PathBuf {
    let kept = PathBuf::from(format!("{KEPT}-{}-{user}", tools.postgres_version));
    if !kept.exists() {
        let directory = Directory::new();
        let mut postgres = Postgres::start(tools, &Spawner::start(), &directory.path().join("postgres")).await.unwrap();
        postgres.stop().await;
        // Another run may have made it meanwhile.
        let partial = kept.with_extension(std::process::id().to_string());
        copy(postgres.data(), &partial);
        if std::fs::rename(&partial, &kept).is_err() {
            std::fs::remove_dir_all(&partial).unwrap();
        }
    }
    kept
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} can't be copied", from.display());
}
