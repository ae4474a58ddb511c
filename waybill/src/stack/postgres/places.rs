//! Directories of PostgreSQL's data and socket.
//!
//! Three restrictions apply: PostgreSQL refuses to run as root, its user must be able to reach all its files, and the path of a Unix socket
//! must be short.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::stack::data_dir::short_name;
use crate::stack::spawner::RunAs;

/// `nobody`, the user of PostgreSQL if this process runs as root.
const NOBODY: u32 = 65_534;
/// Longest path of a socket that every system accepts, in bytes.
const SOCKET_PATH_MAX_BYTES: usize = 100;
const SOCKET_NAME: &str = ".s.PGSQL.5432";
/// Name of a file with the data's actual directory, if it isn't the requested one.
const NOTE: &str = "moved-to";
/// Permission for all users to pass through.
const OTHERS_MAY_ENTER: u32 = 0o001;

/// The directories of one PostgreSQL.
pub(super) struct Places {
    pub(super) data: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) log: PathBuf,
    /// The socket is outside the data directory and has to be removed separately.
    socket_apart: bool,
}

/// The user of PostgreSQL.
pub(super) fn user() -> RunAs {
    if nix::unistd::geteuid().is_root() { RunAs::User { uid: NOBODY, gid: NOBODY } } else { RunAs::Same }
}

impl Places {
    /// Chooses the directories for data requested in `directory`, and makes them.
    pub(super) fn prepare(directory: &Path, run_as: RunAs) -> Result<Self> {
        let wanted = absolute(directory)?;
        let name = short_name(&wanted);
        let home = if run_as == RunAs::Same || is_reachable(&wanted) {
            wanted
        } else {
            elsewhere(&wanted, PathBuf::from(format!("/var/tmp/waybill-{name}")), run_as)?
        };
        let within = home.join("socket");
        let socket_apart = within.join(SOCKET_NAME).as_os_str().len() > SOCKET_PATH_MAX_BYTES;
        let socket = if socket_apart { PathBuf::from(format!("/tmp/waybill-{name}")) } else { within };
        for directory in [&home, &socket] {
            private_directory(directory, run_as)?;
        }
        Ok(Self { data: home.join("data"), log: home.join("postgres.log"), socket, socket_apart })
    }

    /// A directory of PostgreSQL's user.
    pub(super) fn home(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }

    /// The lock file beside the socket.
    pub(super) fn socket_lock(&self) -> PathBuf {
        self.socket.join(format!("{SOCKET_NAME}.lock"))
    }

    /// Removes a socket directory outside the data directory.
    pub(super) fn forget_socket(&self) {
        if self.socket_apart {
            std::fs::remove_dir_all(&self.socket).ok();
        }
    }
}

/// The path without symbolic links, as far as it exists.
fn absolute(directory: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(directory).with_context(|| format!("{} can't be made", directory.display()))?;
    Ok(directory.canonicalize()?)
}

/// Puts the data into `home`, and a note about it into the requested directory. Without the note, existing data in `home` belonged to a
/// directory that was removed since, so it is removed, too.
fn elsewhere(wanted: &Path, home: PathBuf, run_as: RunAs) -> Result<PathBuf> {
    private_directory(&home, run_as)?;
    let note = wanted.join(NOTE);
    if !note.exists() {
        std::fs::remove_dir_all(&home).with_context(|| format!("{} can't be removed", home.display()))?;
        private_directory(&home, run_as)?;
        std::fs::write(&note, home.as_os_str().as_encoded_bytes()).context("the data directory can't be written to")?;
    }
    Ok(home)
}

/// Whether any user can reach a directory through its parents.
fn is_reachable(directory: &Path) -> bool {
    let open = |parent: &Path| parent.metadata().is_ok_and(|meta| meta.permissions().mode() & OTHERS_MAY_ENTER != 0);
    directory.ancestors().skip(1).all(open)
}

/// Makes a directory that only PostgreSQL's user can enter. An existing one must be ours, because its name can be guessed.
fn private_directory(directory: &Path, run_as: RunAs) -> Result<()> {
    let ours = nix::unistd::geteuid().as_raw();
    let user = if let RunAs::User { uid, .. } = run_as { uid } else { ours };
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let found = std::fs::symlink_metadata(directory)?;
            ensure!(
                found.is_dir() && [ours, user].contains(&found.uid()),
                "{} belongs to another user: remove it, or set WAYBILL_DATA_DIR to a directory of your own",
                directory.display()
            );
        }
        made => made.with_context(|| format!("{} can't be made", directory.display()))?,
    }
    if let RunAs::User { uid, gid } = run_as {
        chown(directory, Some(uid), Some(gid))?;
    }
    Ok(std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?)
}
