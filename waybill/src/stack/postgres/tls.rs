//! PostgreSQL over TCP with TLS, which it doesn't offer over its Unix socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::stack::ports::free_port;
use crate::stack::spawner::RunAs;

const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";

/// Where it listens, and its certificate.
pub(super) struct PostgresTls {
    listen: SocketAddr,
    /// Of PostgreSQL's user.
    files: PathBuf,
    ca: PathBuf,
}

impl PostgresTls {
    /// Copies `server.crt` and `server.key` to `home`, because PostgreSQL refuses keys that others own or read. `ca.crt` is for clients.
    pub(super) fn prepare(certificates: &Path, home: &Path, run_as: RunAs) -> Result<Self> {
        for name in [CERTIFICATE, KEY] {
            let (from, to) = (certificates.join(name), home.join(name));
            std::fs::copy(&from, &to).with_context(|| format!("{} can't be copied", from.display()))?;
            if let RunAs::User { uid, gid } = run_as {
                chown(&to, Some(uid), Some(gid))?;
            }
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600))?;
        }
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        Ok(Self { listen, files: home.to_owned(), ca: certificates.join("ca.crt") })
    }

    pub(super) fn settings(&self) -> Vec<String> {
        vec![
            format!("listen_addresses={}", self.listen.ip()),
            format!("port={}", self.listen.port()),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", self.files.join(CERTIFICATE).display()),
            format!("ssl_key_file={}", self.files.join(KEY).display()),
        ]
    }

    pub(super) fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@{}/{database}?sslmode=verify-full&sslrootcert={}", self.listen, self.ca.display())
    }

    pub(super) fn port(&self) -> u16 {
        self.listen.port()
    }
}
