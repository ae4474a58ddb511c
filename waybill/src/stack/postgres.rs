//! PostgreSQL on a Unix socket only: no port to find, nothing to reach from elsewhere.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::process::Process;
use super::spawner::{RunAs, Spawner, command};
use super::tools::Tools;

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);
const DATABASE: &str = "waybill";
const SUPERUSER: &str = "postgres";
/// `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;
/// Connections for pools of several processes.
const CONNECTIONS_MAX: u32 = 200;

/// A PostgreSQL of our own.
pub struct Postgres {
    tools: Tools,
    spawner: Spawner,
    run_as: RunAs,
    data: PathBuf,
    socket_dir: PathBuf,
    process: Option<Process>,
}

impl Postgres {
    /// Starts PostgreSQL, with its data in `directory` where the user it runs as can reach that; makes data and database at the first start.
    pub async fn start(tools: &Tools, spawner: &Spawner, directory: &Path) -> Result<Self> {
        let run_as =
            if nix::unistd::geteuid().is_root() { RunAs::User { uid: NOBODY, gid: NOBODY } } else { RunAs::Same };
        let wanted = std::path::absolute(directory)?;
        let unreachable = run_as != RunAs::Same && !is_reachable(&wanted);
        let home = if unreachable {
            PathBuf::from(format!("/var/tmp/waybill-{:016x}", hash_of(&wanted)))
        } else {
            wanted.clone()
        };
        let socket_dir = PathBuf::from(format!("/tmp/waybill-pg-{:016x}", hash_of(&wanted)));
        for dir in [&home, &socket_dir] {
            private_directory(dir, run_as)?;
        }
        let (tools, spawner) = (tools.clone(), spawner.clone());
        let mut postgres = Self { tools, spawner, run_as, data: home.join("data"), socket_dir, process: None };
        postgres.init()?;
        postgres.launch().await?;
        postgres.create_database()?;
        Ok(postgres)
    }

    /// For sqlx: the socket's directory stands in the place of a host.
    pub fn url(&self) -> String {
        let host: String = self.socket_dir.display().to_string().replace('/', "%2F");
        format!("postgres://{SUPERUSER}@{host}/{DATABASE}")
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// SIGKILL to the postmaster; its children notice and end.
    pub fn kill9(&mut self) {
        drop(self.process.take());
    }

    /// A fast shutdown.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::SIGINT).await;
        }
    }

    /// Starts again on the same data.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill9();
        self.launch().await
    }

    fn program(&self, name: &str) -> PathBuf {
        self.tools.postgres_bin.join(name)
    }

    fn init(&self) -> Result<()> {
        if self.data.join("PG_VERSION").exists() {
            return Ok(());
        }
        // What an interrupted initdb left behind can't be used.
        if self.data.exists() {
            std::fs::remove_dir_all(&self.data)?;
        }
        let mut initdb = command(&self.program("initdb"), self.run_as);
        initdb.arg("-D").arg(&self.data).args(["-U", SUPERUSER, "-A", "trust", "--locale=C", "-E", "UTF8"]);
        run(initdb, "initdb")
    }

    async fn launch(&mut self) -> Result<()> {
        let mut postgres = command(&self.program("postgres"), self.run_as);
        let setting = |name: &str, value: String| ["-c".to_owned(), format!("{name}={value}")];
        postgres.arg("-D").arg(&self.data);
        postgres.args(setting("listen_addresses", String::new()));
        postgres.args(setting("unix_socket_directories", self.socket_dir.display().to_string()));
        postgres.args(setting("max_connections", CONNECTIONS_MAX.to_string()));
        postgres.args(setting("timezone", "UTC".to_owned()));
        let log = self.socket_dir.join("postgres.log");
        // After a SIGKILL the old children may still hold the data directory for a moment: then starting is tried again.
        let deadline = Instant::now() + READY_TIMEOUT;
        let mut process = Process::start("postgres", &self.spawner, clone_of(&postgres), &log)?;
        loop {
            if self.answers() {
                self.process = Some(process);
                return Ok(());
            }
            let ended = process.ended();
            if Instant::now() > deadline {
                bail!("PostgreSQL isn't ready after {READY_TIMEOUT:?} ({ended:?}):\n{}", process.log_tail());
            }
            tokio::time::sleep(READY_POLL).await;
            if ended.is_some() {
                process = Process::start("postgres", &self.spawner, clone_of(&postgres), &log)?;
            }
        }
    }

    fn client(&self, program: &str) -> Command {
        let mut client = Command::new(self.program(program));
        client.arg("-h").arg(&self.socket_dir).args(["-U", SUPERUSER]);
        client
    }

    fn answers(&self) -> bool {
        let output = self.client("psql").args(["-d", "template1", "-Atc", "select 1"]).output();
        output.is_ok_and(|output| output.status.success())
    }

    fn create_database(&self) -> Result<()> {
        let output = self.client("createdb").arg(DATABASE).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() || text.contains("already exists"), "createdb: {text}");
        Ok(())
    }
}

fn clone_of(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy
}

fn run(mut command: Command, name: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("{name} can't be run"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Whether any user can walk to a directory's parents.
fn is_reachable(directory: &Path) -> bool {
    const OTHERS_MAY_ENTER: u32 = 0o001;
    directory
        .ancestors()
        .skip(1)
        .filter_map(|dir| std::fs::metadata(dir).ok())
        .all(|meta| meta.permissions().mode() & OTHERS_MAY_ENTER != 0)
}

fn private_directory(directory: &Path, run_as: RunAs) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("{} can't be made", directory.display()))?;
    if let RunAs::User { uid, gid } = run_as {
        std::os::unix::fs::chown(directory, Some(uid), Some(gid))?;
    }
    Ok(std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?)
}

fn hash_of(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
