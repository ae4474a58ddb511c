//! A PostgreSQL for the tests: one server for all tests that run at the same time, one database for each.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use crate::until::until;

/// The user nobody: servers refuse to run as root.
const NOBODY: u32 = 65_534;

pub(crate) struct Server {
    directory: PathBuf,
    child: Child,
    /// Stops the thread that forked the server, and with it the server.
    _alive: std::sync::mpsc::Sender<()>,
}

static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
static SERVERS: AtomicU32 = AtomicU32::new(0);
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The server, started on first use.
pub(crate) async fn server() -> Arc<Server> {
    let mut shared = SERVER.lock().await;
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(Server::start().await);
    *shared = Arc::downgrade(&server);
    server
}

impl Server {
    async fn start() -> Self {
        let bin = programs();
        let directory = std::env::temp_dir().join(format!(
            "waybill-pg-{}-{}",
            std::process::id(),
            SERVERS.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir_all(&directory).unwrap();
        let as_root = is_root();
        if as_root {
            std::os::unix::fs::chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = directory.join("data");
        let made = command(&bin.join("initdb"), as_root)
            .args(["-A", "trust", "-U", "waybill", "--locale=C", "-E", "UTF8", "-N", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut server = command(&bin.join("postgres"), as_root);
        server.arg("-D").arg(&data).arg("-k").arg(&directory);
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=300"]);
        server.stdout(Stdio::null()).stderr(std::fs::File::create(directory.join("log")).unwrap());
        // The kernel kills the server when the thread that forked it ends.
        let (alive, ended) = std::sync::mpsc::channel::<()>();
        let (sender, child) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            sender.send(server.spawn()).unwrap();
            let _ended = ended.recv();
        });
        let child = child.recv().unwrap().unwrap();
        let started = Self { directory, child, _alive: alive };
        let log = async || std::fs::read_to_string(started.directory.join("log")).unwrap_or_default();
        until("PostgreSQL starts", log, |log| log.contains("ready to accept")).await;
        started
    }

    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let socket = self.directory.to_str().unwrap().replace('/', "%2F");
        format!("postgres://{user}@{socket}/{database}")
    }

    /// A new, empty database.
    pub(crate) async fn database(&self, owner: &str) -> String {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let admin = sqlx::PgPool::connect(&self.url("waybill", "postgres")).await.unwrap();
        sqlx::query(&format!("CREATE DATABASE {name} OWNER {owner}")).execute(&admin).await.unwrap();
        admin.close().await;
        name
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

fn command(program: &Path, as_root: bool) -> Command {
    if !as_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig", "KILL"]).arg(program);
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// Where `make setup` found PostgreSQL; otherwise Debian's paths.
fn programs() -> PathBuf {
    let tools = std::env::current_dir().unwrap();
    let recorded = tools.ancestors().find_map(|dir| std::fs::read_to_string(dir.join(".waybill/tools/tools.env")).ok());
    let recorded = recorded
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("WAYBILL_POSTGRES_BIN=").map(PathBuf::from)));
    let debian = || (15..=20).rev().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    recorded
        .into_iter()
        .chain(debian())
        .find(|bin| bin.join("initdb").exists())
        .expect("these tests need PostgreSQL: run `make setup`")
}
