//! PostgreSQL on a Unix socket only, so it needs no port and can't be reached from other machines.
//!
//! Any user who can enter the socket's directory connects without a password: PostgreSQL's own user, and root.

mod places;
mod stale;
mod tls;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::process::Process;
use super::spawner::{RunAs, Spawner, command};
use super::tools::Tools;
use places::Places;
use tls::PostgresTls;

/// How long starting may take, crash recovery included.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(20);
/// Start attempts, if it is killed before it is ready.
const START_TRIES: u32 = 5;
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// How long an immediate shutdown may take before it is a kill.
const DROP_TIMEOUT: Duration = Duration::from_secs(3);
const DATABASE: &str = "waybill";
const SUPERUSER: &str = "postgres";
/// Connections for pools of several processes.
const CONNECTIONS_MAX: u32 = 200;

/// PostgreSQL's own cache. Its default, 128 MB, holds rows and indexes of some 60,000 devices. Memory that isn't needed isn't taken.
const SHARED_BUFFERS: &str = "512MB";
/// After so much log PostgreSQL writes a checkpoint, and then whole pages into the log again. The default, 1 GB, is full within a campaign.
const WAL_MAX: &str = "2GB";

/// A PostgreSQL that this process has started.
pub struct Postgres {
    tools: Tools,
    spawner: Spawner,
    run_as: RunAs,
    places: Places,
    tls: Option<PostgresTls>,
    process: Option<Process>,
}

impl Postgres {
    /// Starts PostgreSQL, with its data in `directory` if its user can reach that; creates data and database at the first start.
    pub async fn start(tools: &Tools, spawner: &Spawner, directory: &Path) -> Result<Self> {
        Self::start_with(tools, spawner, directory, None).await
    }

    /// The same. With a directory of `server.crt`, `server.key` and `ca.crt` it also listens on a port of this machine, with TLS, if it was
    /// built with that; see [`Self::has_tls`].
    pub async fn start_with(
        tools: &Tools,
        spawner: &Spawner,
        directory: &Path,
        certificates: Option<&Path>,
    ) -> Result<Self> {
        let run_as = places::user();
        let places = Places::prepare(directory, run_as)?;
        let mut postgres =
            Self { tools: tools.clone(), spawner: spawner.clone(), run_as, places, tls: None, process: None };
        postgres.init().await?;
        if let Some(certificates) = certificates
            && postgres.is_built_with_tls().await?
        {
            postgres.tls = Some(PostgresTls::prepare(certificates, postgres.places.home(), run_as)?);
        }
        postgres.launch().await?;
        postgres.create_database().await?;
        Ok(postgres)
    }

    /// For sqlx: the socket's directory is given as the host. With TLS, an address that checks the certificate.
    pub fn url(&self) -> String {
        if let Some(tls) = &self.tls {
            return tls.url(SUPERUSER, DATABASE);
        }
        format!("postgres://{SUPERUSER}@{}/{DATABASE}", percent_encoded(self.places.socket.as_os_str()))
    }

    /// Whether it listens with TLS.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Process id of the postmaster, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.places.log
    }

    /// The actual directory of the data.
    pub fn data(&self) -> &Path {
        &self.places.data
    }

    /// Whether it has ended by itself.
    pub(super) fn is_down(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.ended().is_some())
    }

    /// SIGKILL to the postmaster; its children end by themselves.
    pub fn kill9(&mut self) {
        drop(self.process.take());
    }

    /// SIGSTOP to all its processes: connections stay open and no answers come.
    pub fn freeze(&self) {
        self.process.iter().for_each(Process::freeze);
    }

    /// SIGCONT after [`Self::freeze`].
    pub fn thaw(&self) {
        self.process.iter().for_each(Process::thaw);
    }

    /// A fast shutdown: connections are closed, everything is written.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::SIGINT).await;
        }
    }

    /// Starts again on the same data and socket.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill9();
        self.launch().await
    }

    fn program(&self, name: &str) -> PathBuf {
        self.tools.postgres_bin.join(name)
    }

    /// Creates the data directory, completely or not at all.
    async fn init(&self) -> Result<()> {
        let data = &self.places.data;
        if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION")) {
            let (made_by, ours) = (version.trim(), self.tools.postgres_version);
            ensure!(
                made_by == ours.to_string(),
                "the data in {} was made by PostgreSQL {made_by}, but {} is {ours}: remove it (it is rebuilt from the log) or install PostgreSQL {made_by}",
                data.display(),
                self.tools.postgres_bin.display(),
            );
            return Ok(());
        }
        let partial = data.with_extension("partial");
        if partial.exists() {
            std::fs::remove_dir_all(&partial)?;
        }
        let mut initdb = command(&self.program("initdb"), self.run_as);
        initdb.arg("-D").arg(&partial).args(["-U", SUPERUSER, "-A", "trust", "--locale=C", "-E", "UTF8"]);
        initdb.current_dir("/");
        let output = run(initdb).await?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::rename(&partial, data).context("the new data directory can't be put in its place")
    }

    async fn is_built_with_tls(&self) -> Result<bool> {
        let mut postgres = command(&self.program("postgres"), self.run_as);
        postgres.current_dir("/").arg("-D").arg(&self.places.data).args(["-C", "ssl_library"]);
        let output = run(postgres).await?;
        ensure!(output.status.success(), "postgres -C: {}", String::from_utf8_lossy(&output.stderr));
        Ok(!output.stdout.trim_ascii().is_empty())
    }

    async fn launch(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        for tries in 1.. {
            stale::remove_lock_files(&self.places, deadline).await?;
            let mut process = self.spawn()?;
            if self.ready(&mut process, deadline, tries).await? {
                self.process = Some(process);
                return Ok(());
            }
        }
        bail!("PostgreSQL can't be started")
    }

    fn spawn(&self) -> Result<Process> {
        let mut postgres = command(&self.program("postgres"), self.run_as);
        postgres.current_dir("/").arg("-D").arg(&self.places.data);
        let listening = self.tls.as_ref().map_or_else(|| vec!["listen_addresses=".to_owned()], PostgresTls::settings);
        let settings = [
            format!("unix_socket_directories={}", self.places.socket.display()),
            format!("max_connections={CONNECTIONS_MAX}"),
            format!("shared_buffers={SHARED_BUFFERS}"),
            format!("max_wal_size={WAL_MAX}"),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
        ];
        for setting in listening.into_iter().chain(settings) {
            postgres.arg("-c").arg(setting);
        }
        Process::start("postgres", &self.spawner, postgres, &self.places.log)
    }

    /// True when it answers; false if it ended and another attempt may succeed: processes of an earlier one still run, or it was killed.
    async fn ready(&self, process: &mut Process, deadline: Instant, tries: u32) -> Result<bool> {
        loop {
            if let Some(status) = process.ended() {
                let log = process.log_tail();
                let left_over = ["lock file", "shared memory"].iter().any(|sign| log.contains(sign));
                let killed = status.code().is_none() && tries < START_TRIES;
                ensure!((left_over || killed) && Instant::now() < deadline, "PostgreSQL ended with {status}:\n{log}");
                tokio::time::sleep(if killed { RESTART_PAUSE } else { READY_POLL }).await;
                return Ok(false);
            }
            if self.says_ready(process.pid()) && self.query("template1", "select 1").await.is_ok() {
                return Ok(true);
            }
            if Instant::now() > deadline {
                bail!("PostgreSQL isn't ready after {READY_TIMEOUT:?}:\n{}", process.log_tail());
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Whether the postmaster has logged that it accepts connections; an earlier attempt would be an error in its log.
    fn says_ready(&self, pid: u32) -> bool {
        let text = std::fs::read_to_string(self.places.data.join("postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        lines.next() == Some(&pid.to_string()) && lines.next_back() == Some("ready")
    }

    async fn create_database(&self) -> Result<()> {
        let known = format!("select 1 from pg_database where datname = '{DATABASE}'");
        if self.query("template1", &known).await?.is_empty() {
            self.query("template1", &format!("create database {DATABASE}")).await?;
        }
        Ok(())
    }

    /// Runs SQL over the socket.
    async fn query(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.program("psql"));
        if let Some(tls) = &self.tls {
            // Names the socket.
            psql.args(["-p", &tls.port().to_string()]);
        }
        psql.arg("-h").arg(&self.places.socket).args(["-U", SUPERUSER, "-d", database, "-XAtc", sql]);
        let output = run(psql).await?;
        ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop_blocking(Signal::SIGQUIT, DROP_TIMEOUT);
        }
        self.places.forget_socket();
    }
}

async fn run(command: Command) -> Result<Output> {
    let name = command.get_program().display().to_string();
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).output().await.with_context(|| format!("{name} can't be run: run `make setup`"))
}

fn percent_encoded(text: &OsStr) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    text.as_encoded_bytes().iter().map(encoded).collect()
}
