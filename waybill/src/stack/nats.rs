//! nats-server with the configuration of `nats.conf`.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mqtt_bridge::callout::Issuer;
use nix::sys::signal::Signal;

use super::ports::{ensure_free, settled};
use super::process::Process;
use super::spawner::{RunAs, Spawner, command};
use super::tools::Tools;
use crate::role_user::RoleUser;
use crate::secrets;

const TEMPLATE: &str = include_str!("../../../nats.conf");
/// Directory of certificates in the template.
const CERTIFICATES_EXAMPLE: &str = "/etc/waybill/tls";
/// How long a server may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(20);
/// Part of the error when a signal has ended the server.
const KILLED: &str = "by a signal";
/// Start attempts, if a free port is taken meanwhile, or if the server ends before it is ready.
const START_TRIES: u32 = 5;
/// Pause before the second start; doubles with each further one.
const RESTART_PAUSE: Duration = Duration::from_millis(250);

/// File with the seed of `issuer` in `nats.conf`.
const ISSUER_SEED_FILE: &str = "issuer-seed";

/// Passwords of the users in `nats.conf`.
#[derive(Debug, Clone)]
pub struct Passwords {
    pub waybill: String,
    /// Of the users of single roles, and of commands that people run.
    pub of_roles: BTreeMap<RoleUser, String>,
    pub analyst: String,
    pub admin: String,
    pub bridge: String,
    pub auth: String,
    pub sys: String,
}

impl Default for Passwords {
    /// Those of development: the users' names.
    fn default() -> Self {
        let own = |name: &str| name.to_owned();
        Self {
            waybill: own("waybill"),
            of_roles: RoleUser::ALL.into_iter().map(|user| (user, own(user.name()))).collect(),
            analyst: own("analyst"),
            admin: own("admin"),
            bridge: own("bridge"),
            auth: own("auth"),
            sys: own("sys"),
        }
    }
}

/// Where a server listens. Port 0 means any free one, kept over restarts.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    pub listen: SocketAddr,
    pub mqtt_listen: SocketAddr,
    pub monitor_listen: SocketAddr,
    pub server_name: String,
    pub passwords: Passwords,
    /// A `cluster {}` block.
    pub cluster: Option<String>,
    /// Most bytes that account WAYBILL stores; without it only the disk limits them.
    pub waybill_max_file_bytes: Option<u64>,
    /// Seed of the issuer, if several servers have the same; without it the directory has its own.
    pub issuer_seed: Option<String>,
    /// Directory with `server.crt` and `server.key`: clients and devices must speak TLS.
    pub certificates: Option<PathBuf>,
    /// Clients, but not devices, must show a certificate of `ca.crt` there.
    pub verify_clients: bool,
    /// The same for devices and the bridge's MQTT client.
    pub verify_devices: bool,
}

impl Default for NatsOptions {
    fn default() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: any,
            mqtt_listen: any,
            monitor_listen: any,
            server_name: "waybill".to_owned(),
            passwords: Passwords::default(),
            cluster: None,
            waybill_max_file_bytes: None,
            issuer_seed: None,
            certificates: None,
            verify_clients: false,
            verify_devices: false,
        }
    }
}

/// A nats-server that this process has started.
pub struct NatsServer {
    tools: Tools,
    spawner: Spawner,
    directory: PathBuf,
    options: NatsOptions,
    issuer: Issuer,
    issuer_seed: String,
    process: Option<Process>,
}

impl NatsServer {
    /// Starts a server with its data in `directory` and waits until it is ready.
    pub async fn start(tools: &Tools, spawner: &Spawner, directory: &Path, wanted: NatsOptions) -> Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut options = wanted.clone();
            options.listen = settled(wanted.listen)?;
            options.mqtt_listen = settled(wanted.mqtt_listen)?;
            options.monitor_listen = settled(wanted.monitor_listen)?;
            // A port that this process chose may be taken by another process meanwhile; then the start is tried again, see below.
            if wanted.listen.port() != 0 {
                ensure_free(options.listen, "nats-server", "WAYBILL_NATS_LISTEN")?;
            }
            if wanted.mqtt_listen.port() != 0 {
                ensure_free(options.mqtt_listen, "the MQTT listener", "WAYBILL_MQTT_LISTEN")?;
            }
            let mut server = Self::prepare(tools, spawner, directory, options)?;
            match server.launch().await {
                Err(error) if tries < START_TRIES && is_worth_another_try(&error) => pause_after(tries, &error).await,
                launched => return launched.map(|()| server),
            }
        }
    }

    /// Prepares a server that isn't started yet.
    pub(super) fn prepare(tools: &Tools, spawner: &Spawner, directory: &Path, options: NatsOptions) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("{} can't be made", directory.display()))?;
        let directory = directory.canonicalize()?;
        let issuer_seed = options.issuer_seed.clone().map_or_else(|| issuer_seed(&directory), Ok)?;
        let issuer = Issuer::from_seed(&issuer_seed)
            .with_context(|| format!("{ISSUER_SEED_FILE} in {}", directory.display()))?;
        let (tools, spawner) = (tools.clone(), spawner.clone());
        Ok(Self { tools, spawner, directory, options, issuer, issuer_seed, process: None })
    }

    async fn launch(&mut self) -> Result<()> {
        self.spawn()?;
        self.ready().await
    }

    /// Starts the process without waiting until it is ready, because members of a cluster wait for one another.
    pub(super) fn spawn(&mut self) -> Result<()> {
        let config = self.directory.join("nats.conf");
        write_private(&config, &self.config()).context("nats.conf can't be written")?;
        let mut command = command(&self.tools.nats_server, RunAs::Same);
        command.arg("-c").arg(&config);
        let log = self.directory.join("nats-server.log");
        self.process = Some(Process::start("nats-server", &self.spawner, command, &log)?);
        Ok(())
    }

    /// Waits until the server is healthy and its listener accepts devices.
    pub async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let url = format!("http://{}/healthz", self.options.monitor_listen);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(1)).build()?;
        loop {
            let process = self.process.as_mut().context("nats-server isn't started")?;
            if let Some(status) = process.ended() {
                let log = process.log_tail();
                self.process = None;
                let cause = if status.code().is_none() { KILLED } else { "by itself" };
                bail!("nats-server ended {cause}, with {status}:\n{log}");
            }
            let well = http.get(&url).send().await.is_ok_and(|reply| reply.status().is_success());
            if well && tokio::net::TcpStream::connect(self.options.mqtt_listen).await.is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("nats-server isn't ready after {READY_TIMEOUT:?}:\n{}", process.log_tail());
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// The template with this server's own values.
    fn config(&self) -> String {
        let options = &self.options;
        let passwords = &options.passwords;
        let user = |name: &str, password: &str| format!("user: {name}, password: \"{password}\"");
        TEMPLATE
            .lines()
            .map(|line| match line.split_once("#@") {
                None => line.to_owned(),
                Some((given, mark)) => match mark.trim() {
                    "server_name" => format!("server_name: \"{}\"", options.server_name),
                    "listen" => format!("listen: \"{}\"", options.listen),
                    "http" => format!("http: \"{}\"", options.monitor_listen),
                    "store_dir" => format!("store_dir: {:?}", self.directory.join("store")),
                    "mqtt_listen" => format!("listen: \"{}\"", options.mqtt_listen),
                    "waybill_jetstream" => options
                        .waybill_max_file_bytes
                        .map_or(given.to_owned(), |bytes| format!("jetstream {{ max_file: {bytes} }}")),
                    "user_waybill" => user("waybill", &passwords.waybill),
                    "user_analyst" => user("analyst", &passwords.analyst),
                    "user_admin" => user("admin", &passwords.admin),
                    "user_bridge" => user("bridge", &passwords.bridge),
                    "user_bridge_mqtt" => user("bridge-mqtt", &passwords.bridge),
                    "user_auth" => user("auth", &passwords.auth),
                    "user_sys" => user("sys", &passwords.sys),
                    "issuer" => format!("issuer: {}", self.issuer.public_key()),
                    "tls" if !options.verify_clients => self.tls_line(given),
                    "tls_verify" if options.verify_clients => self.tls_line(given),
                    "mqtt_tls" if !options.verify_devices => self.tls_line(given),
                    "mqtt_tls_verify" if options.verify_devices => self.tls_line(given),
                    mark => RoleUser::ALL
                        .into_iter()
                        .find(|role| role.mark() == mark)
                        .map_or(given.to_owned(), |role| user(role.name(), &passwords.of_roles[&role])),
                },
            })
            .chain(options.cluster.clone())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// A line of the template that isn't a remark when the server has certificates.
    fn tls_line(&self, given: &str) -> String {
        match &self.options.certificates {
            Some(own) => given.replacen("# ", "", 1).replace(CERTIFICATES_EXAMPLE, &own.display().to_string()),
            None => given.to_owned(),
        }
    }

    /// `nats://user:password@host:port`, or `tls://`.
    pub fn url(&self, user: &str, password: &str) -> String {
        let scheme = if self.options.certificates.is_some() { "tls" } else { "nats" };
        format!("{scheme}://{user}:{password}@{}", self.options.listen)
    }

    /// For the service, in account WAYBILL.
    pub fn waybill_url(&self) -> String {
        self.url("waybill", &self.options.passwords.waybill)
    }

    /// For a process of one role, or a command that people run, in account WAYBILL.
    pub fn role_url(&self, user: RoleUser) -> String {
        self.url(user.name(), &self.options.passwords.of_roles[&user])
    }

    /// For consumers of FEED, in account ANALYTICS; JetStream domain `waybill`.
    pub fn analyst_url(&self) -> String {
        self.url("analyst", &self.options.passwords.analyst)
    }

    /// For administrators who change streams, in account WAYBILL.
    pub fn admin_url(&self) -> String {
        self.url("admin", &self.options.passwords.admin)
    }

    /// For the bridge, in account DEVICES.
    pub fn devices_url(&self) -> String {
        self.url("bridge", &self.options.passwords.bridge)
    }

    /// For the bridge's MQTT client.
    pub fn mqtt_url(&self) -> String {
        let scheme = if self.options.certificates.is_some() { "mqtts" } else { "mqtt" };
        format!("{scheme}://bridge-mqtt:{}@{}", self.options.passwords.bridge, self.options.mqtt_listen)
    }

    /// For answers to the server's questions who may connect, in account AUTH.
    pub fn auth_url(&self) -> String {
        self.url("auth", &self.options.passwords.auth)
    }

    /// For the end of connections, in the system account.
    pub fn system_url(&self) -> String {
        self.url("sys", &self.options.passwords.sys)
    }

    /// The seed of the key that signs these answers.
    pub fn issuer_seed(&self) -> &str {
        &self.issuer_seed
    }

    pub fn listen(&self) -> SocketAddr {
        self.options.listen
    }

    pub fn mqtt_listen(&self) -> SocketAddr {
        self.options.mqtt_listen
    }

    pub fn monitor_listen(&self) -> SocketAddr {
        self.options.monitor_listen
    }

    pub fn server_name(&self) -> &str {
        &self.options.server_name
    }

    pub fn passwords(&self) -> &Passwords {
        &self.options.passwords
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Whether it has ended by itself.
    pub(super) fn is_down(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.ended().is_some())
    }

    /// SIGKILL; data and ports stay.
    pub fn kill9(&mut self) {
        drop(self.process.take());
    }

    /// SIGSTOP: its connections stay open and no answers come.
    pub fn freeze(&self) {
        self.process.iter().for_each(Process::freeze);
    }

    /// SIGCONT after [`Self::freeze`].
    pub fn thaw(&self) {
        self.process.iter().for_each(Process::thaw);
    }

    /// Asks the server to stop and waits.
    pub async fn terminate(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::SIGTERM).await;
        }
    }

    /// Starts again on the same ports and data.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill9();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.launch().await {
                Err(error) if tries < START_TRIES && is_worth_another_try(&error) => pause_after(tries, &error).await,
                launched => return launched,
            }
        }
    }
}

/// The port was taken meanwhile, or the server was killed while it started. If it ended by itself, a retry would fail, too.
fn is_worth_another_try(error: &anyhow::Error) -> bool {
    let text = error.to_string();
    text.contains("address already in use") || text.contains(KILLED)
}

async fn pause_after(tries: u32, error: &anyhow::Error) {
    tracing::warn!(%error, tries, "nats-server has ended before it was ready and is started again.");
    tokio::time::sleep(RESTART_PAUSE.saturating_mul(1 << (tries - 1))).await;
}

/// The seed that the directory has, made at the first start.
fn issuer_seed(directory: &Path) -> Result<String> {
    let path = directory.join(ISSUER_SEED_FILE);
    match std::fs::read_to_string(&path) {
        Ok(seed) => Ok(seed),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let seed = Issuer::generate_seed();
            secrets::write_private(&path, seed.as_bytes())?;
            Ok(seed)
        }
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

/// The configuration contains passwords, so only its owner may read it.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::remove_file(path).ok();
    std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}
