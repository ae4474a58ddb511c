//! The servers as child processes: they start, die, restart with their data, and never outlive their parent.

mod callout;
mod permissions;
mod refusals;
mod roles;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use waybill::stack::{NatsOptions, Postgres, Spawner, Stack, Tools};

use crate::directory::Directory;

/// Variable with the directory for the test that plays a parent.
const PARENT_DIRECTORY: &str = "WAYBILL_TEST_PARENT_DIRECTORY";
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

async fn start(directory: &Path) -> Stack {
    Stack::start(&Tools::locate().unwrap(), directory, NatsOptions::default()).await.unwrap()
}

pub(crate) async fn nats(url: &str) -> async_nats::Client {
    let address: async_nats::ServerAddr = url.parse().unwrap();
    let (user, password) = (address.username().unwrap().to_owned(), address.password().unwrap().to_owned());
    let options =
        event_store::connection::options("test").custom_inbox_prefix("_INBOX").user_and_password(user, password);
    options.connect(format!("{}:{}", address.host(), address.port())).await.unwrap()
}

async fn ping(postgres: &Postgres) {
    projections::Db::connect(&postgres.url()).unwrap().ping().await.unwrap();
}

/// Whether a process still runs; a zombie counts as ended.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, Some("Z" | "X") | None)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_come_back_with_their_data_after_sigkill() {
    let directory = Directory::new();
    let mut stack = start(directory.path()).await;
    let log = async_nats::jetstream::new(nats(&stack.nats.admin_url()).await);
    let config = async_nats::jetstream::stream::Config {
        name: "KEPT".into(),
        subjects: vec!["kept.>".into()],
        ..Default::default()
    };
    log.create_stream(config).await.unwrap();
    log.publish("kept.1", "x".into()).await.unwrap().await.unwrap();
    let (listen, url) = (stack.nats.listen(), stack.postgres.url());

    for _ in 0..3 {
        let (old_nats, old_postgres) = (stack.nats.pid().unwrap(), stack.postgres.pid().unwrap());
        stack.nats.kill9();
        stack.postgres.kill9();
        assert!(!is_alive(old_nats) && !is_alive(old_postgres));
        stack.nats.restart().await.unwrap();
        stack.postgres.restart().await.unwrap();
    }

    assert_eq!((stack.nats.listen(), stack.postgres.url()), (listen, url), "addresses moved");
    let log = async_nats::jetstream::new(nats(&stack.nats.admin_url()).await);
    assert_eq!(log.get_stream("KEPT").await.unwrap().cached_info().state.messages, 1);
    stack.stop().await;
    assert!(!stack.postgres.data().join("postmaster.pid").exists(), "PostgreSQL was stopped cleanly");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_servers_are_restarted() {
    let directory = Directory::new();
    let mut stack = start(directory.path()).await;
    let pids = [stack.nats.pid().unwrap(), stack.postgres.pid().unwrap()];
    for pid in pids {
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }
    until("both are dead", || pids.iter().all(|pid| !is_alive(*pid))).await;
    stack.mend().await.unwrap();
    nats(&stack.nats.waybill_url()).await;
    ping(&stack.postgres).await;
    assert!(stack.nats.pid() != Some(pids[0]) && stack.postgres.pid() != Some(pids[1]));
    stack.stop().await;
}

/// Not a test of its own: the next test runs it as a child. It starts servers and waits to be killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_waits_to_be_killed() {
    let Some(directory) = std::env::var_os(PARENT_DIRECTORY).map(PathBuf::from) else { return };
    let stack = start(&directory).await;
    let pids = format!("{} {}", stack.nats.pid().unwrap(), stack.postgres.pid().unwrap());
    std::fs::write(directory.join("pids.partial"), pids).unwrap();
    std::fs::rename(directory.join("pids.partial"), directory.join("pids")).unwrap();
    std::future::pending::<()>().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_parent_leaves_no_processes_and_the_next_start_uses_its_data() {
    let directory = Directory::new();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["stack::a_parent_that_waits_to_be_killed", "--exact"])
        .env(PARENT_DIRECTORY, directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let file = directory.path().join("pids");
    until("the servers of the parent run", || file.exists()).await;
    let pids: Vec<u32> = std::fs::read_to_string(&file).unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("its servers are gone", || !pids.iter().any(|pid| is_alive(*pid))).await;
    start(directory.path()).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_reported_with_the_variable_to_change() {
    let directory = Directory::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let tools = Tools::locate().unwrap();
    for (options, variable) in [
        (NatsOptions { listen, ..NatsOptions::default() }, "WAYBILL_NATS_LISTEN"),
        (NatsOptions { mqtt_listen: listen, ..NatsOptions::default() }, "WAYBILL_MQTT_LISTEN"),
    ] {
        let error = Stack::start(&tools, directory.path(), options).await.err().unwrap().to_string();
        assert!(error.contains(&listen.to_string()) && error.contains(variable), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let elsewhere = NatsOptions { listen: SocketAddr::from(([192, 0, 2, 1], 4222)), ..NatsOptions::default() };
    let error = Stack::start(&tools, directory.path(), elsewhere).await.err().unwrap().to_string();
    assert!(error.contains("192.0.2.1:4222") && !error.contains("in use"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stacks_cannot_share_a_data_directory() {
    let directory = Directory::new();
    let first = start(directory.path()).await;
    let second = Stack::start(&Tools::locate().unwrap(), directory.path(), NatsOptions::default()).await;
    let error = second.err().unwrap().to_string();
    assert!(error.contains("another Waybill uses") && error.contains("WAYBILL_DATA_DIR"), "{error}");
    drop(first);
    start(directory.path()).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_starts_with_any_data_directory() {
    let directory = Directory::new();
    let deep = directory.path().join("d".repeat(60)).join("e".repeat(60));
    for wanted in [deep, directory.path().join("with blank % and ümlaut")] {
        let tools = Tools::locate().unwrap();
        for _ in 0..2 {
            let mut postgres = Postgres::start(&tools, &Spawner::start(), &wanted).await.unwrap();
            ping(&postgres).await;
            postgres.stop().await;
        }
    }
}

/// PostgreSQL's user can't reach some data directories. Their data is then in another directory, and must be removed with them.
#[tokio::test(flavor = "multi_thread")]
async fn removing_a_data_directory_removes_its_database() {
    let directory = Directory::new();
    let closed = directory.path().join("closed");
    std::fs::create_dir_all(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let wanted = closed.join("postgres");
    let tools = Tools::locate().unwrap();
    let mut postgres = Postgres::start(&tools, &Spawner::start(), &wanted).await.unwrap();
    let witness = postgres.data().join("witness");
    std::fs::write(&witness, "").unwrap();
    postgres.stop().await;
    let mut postgres = Postgres::start(&tools, &Spawner::start(), &wanted).await.unwrap();
    assert!(witness.exists(), "the data is kept from one start to the next");
    postgres.stop().await;
    std::fs::remove_dir_all(&wanted).unwrap();
    let postgres = Postgres::start(&tools, &Spawner::start(), &wanted).await.unwrap();
    assert!(!witness.exists(), "the database of a removed directory came back");
    let home = postgres.data().parent().unwrap().to_owned();
    drop(postgres);
    std::fs::remove_dir_all(home).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_another_postgresql_version_is_refused_in_one_sentence() {
    let directory = Directory::new();
    let tools = Tools::locate().unwrap();
    let postgres = Postgres::start(&tools, &Spawner::start(), &directory.path().join("postgres")).await.unwrap();
    let version = postgres.data().join("PG_VERSION");
    drop(postgres);
    std::fs::write(version, "9\n").unwrap();
    let error = Postgres::start(&tools, &Spawner::start(), &directory.path().join("postgres")).await.err().unwrap();
    assert!(error.to_string().contains("made by PostgreSQL 9"), "{error}");
}
