//! Start and stop: what servers log, and what happens if one dies meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use waybill::stack::{Process, Spawner, free_port};

use crate::directory::Directory;
use crate::world::{World, waybill_binary};

const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// How often nats-server is killed directly after it has started.
const KILLS: usize = 3;

/// Lines of PostgreSQL's log that need attention.
fn complaints(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap();
    let severities = ["WARNING:", "ERROR:", "FATAL:", "PANIC:"];
    text.lines().filter(|line| severities.iter().any(|severity| line.contains(severity))).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_logs_no_errors_at_its_first_start_and_stop() {
    let mut world = World::start().await;
    let log = world.stack.postgres.log().to_owned();
    for _ in 0..2 {
        let api = world.operator().await;
        for path in ["/devices", "/campaigns", "/updates", "/firmware"] {
            api.get(path).await.unwrap();
        }
        world.stop_waybill().await;
        assert_eq!(complaints(&log), [""; 0]);
        world.start_waybill().await;
    }
    assert_eq!(complaints(&log), [""; 0]);
}

/// The child of a process that runs this program, if any.
fn child_of(parent: u32, program: &str) -> Option<u32> {
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let (state, found) = (fields.next()?, fields.next()?.parse::<u32>().ok()?);
        (found == parent && name == program && state != "Z").then_some(pid)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_during_the_start_is_restarted() {
    let directory = Directory::new();
    let port = || free_port().unwrap().to_string();
    let (http, mqtt, nats) = (port(), port(), port());
    let args = [
        "up",
        "--data-dir",
        &directory.path().join("data").display().to_string(),
        "--http-listen",
        &format!("127.0.0.1:{http}"),
        "--mqtt-listen",
        &format!("127.0.0.1:{mqtt}"),
        "--nats-listen",
        &format!("127.0.0.1:{nats}"),
    ]
    .map(str::to_owned);
    let log = directory.path().join("up.log");
    let mut up = Process::run("waybill", &Spawner::start(), &waybill_binary(), &args, &log).unwrap();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    let mut killed = Vec::new();
    let health = format!("http://127.0.0.1:{http}/health/ready");
    loop {
        assert!(up.ended().is_none() && Instant::now() < deadline, "killed {killed:?}:\n{}", said());
        let victim = child_of(up.pid(), "nats-server").filter(|pid| !killed.contains(pid));
        match victim {
            Some(pid) if killed.len() < KILLS => {
                let done = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
                // A child that has ended by itself counts as none.
                if done.success() {
                    killed.push(pid);
                }
            }
            _ => {}
        }
        let is_ready = reqwest::get(&health).await.is_ok_and(|reply| reply.status().is_success());
        if is_ready && killed.len() == KILLS {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    up.terminate().await;
}
