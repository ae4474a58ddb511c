//! nginx over a directory.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use waybill::stack::{Process, Spawner, free_port};

/// How long it may take until it listens.
const START_MAX: Duration = Duration::from_secs(5);
/// Pause between two attempts to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Where Debian puts it, and where else it may be.
const PROGRAMS: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"];

pub(super) struct Nginx {
    process: Process,
    pub(super) address: String,
}

/// The program, if it is here.
pub(super) fn program() -> Option<PathBuf> {
    PROGRAMS.map(PathBuf::from).into_iter().find(|program| program.exists())
}

impl Nginx {
    /// Serves the files of `root`; its own are in `directory`.
    pub(super) fn start(program: &Path, directory: &Path, root: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let (port, own) = (free_port()?, directory.display());
        // It starts as root where the bench does, and must read files of its user.
        let user = if is_root() { "user root;" } else { "" };
        let text = format!(
            "daemon off; {user} worker_processes auto; pid {own}/pid; error_log {own}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;\n  \
             client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi;\n  \
             uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;\n  \
             server {{ listen 127.0.0.1:{port}; root {}; }}\n}}\n",
            root.display()
        );
        let config = directory.join("nginx.conf");
        fs::write(&config, text)?;
        let args = ["-c", &config.display().to_string(), "-p", &own.to_string()].map(str::to_owned);
        let process = Process::run("nginx", &Spawner::start(), program, &args, &directory.join("nginx.log"))?;
        let address = format!("127.0.0.1:{port}");
        let began = Instant::now();
        while TcpStream::connect(&address).is_err() {
            if began.elapsed() > START_MAX {
                let log = fs::read_to_string(directory.join("error.log")).unwrap_or_default();
                bail!("nginx doesn't listen at {address}: {log}");
            }
            std::thread::sleep(CONNECT_PAUSE);
        }
        Ok(Self { process, address })
    }

    pub(super) async fn stop(mut self) {
        self.process.terminate().await;
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
