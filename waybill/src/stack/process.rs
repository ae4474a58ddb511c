//! A running child process and its log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::spawner::{RunAs, Spawner, command};

/// How long a server may take to stop by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// A larger log is moved aside when a server starts, and replaces the one moved before.
const LOG_MAX_BYTES: u64 = 16 * 1024 * 1024;
const STOP_POLL: Duration = Duration::from_millis(20);
/// Last lines of a log that go into an error.
const LOG_TAIL_LINES: usize = 15;

/// A child process. Killed when dropped.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    // The forking thread must outlive the child.
    _spawner: Spawner,
}

impl Process {
    /// Starts a command with both outputs appended to `log`.
    pub(super) fn start(name: &'static str, spawner: &Spawner, mut command: Command, log: &Path) -> Result<Self> {
        put_aside(log);
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("{} can't be written to", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = spawner.spawn(command).with_context(|| format!("{name} can't be started"))?;
        Ok(Self { name, child, log: log.to_owned(), _spawner: spawner.clone() })
    }

    /// Starts any program as a child that dies with this process.
    pub fn run(name: &'static str, spawner: &Spawner, program: &Path, args: &[String], log: &Path) -> Result<Self> {
        let mut command = command(program, RunAs::Same);
        command.args(args);
        Self::start(name, spawner, command, log)
    }

    /// Asks it to stop by SIGTERM and waits.
    pub async fn terminate(&mut self) {
        self.stop(Signal::SIGTERM).await;
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, when it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGSTOP to it and to its children: connections stay open and no answers come, as with a machine that hangs or is cut off.
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// SIGCONT after [`Self::freeze`].
    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&self, signal: Signal) {
        for pid in [vec![self.pid()], children_of(self.pid())].concat() {
            kill(Pid::from_raw(pid as i32), signal).ok();
        }
    }

    /// SIGKILL, and wait for the end.
    pub fn kill9(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Sends a signal to end and waits; SIGKILL if it takes too long.
    pub(super) async fn stop(&mut self, signal: Signal) {
        if self.ended().is_some() {
            return;
        }
        kill(Pid::from_raw(self.child.id() as i32), signal).ok();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                tracing::warn!(process = self.name, "A server didn't stop in time and is killed.");
                return self.kill9();
            }
            tokio::time::sleep(STOP_POLL).await;
        }
    }

    /// The same for synchronous code.
    pub(super) fn stop_blocking(&mut self, signal: Signal, timeout: Duration) {
        if self.ended().is_some() {
            return;
        }
        kill(Pid::from_raw(self.child.id() as i32), signal).ok();
        let deadline = Instant::now() + timeout;
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(STOP_POLL);
        }
        self.kill9();
    }

    /// The end of its log, for an error message.
    pub(super) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

/// Limits the size of the log over restarts. A log that can't be moved is appended to.
fn put_aside(log: &Path) {
    if std::fs::metadata(log).is_ok_and(|found| found.len() > LOG_MAX_BYTES) {
        let mut aside = log.as_os_str().to_owned();
        aside.push(".1");
        std::fs::rename(log, aside).ok();
    }
}

/// Processes that another one has forked; none without `/proc`.
fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let forked = entries.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name in brackets: state, parent.
        let found: u32 = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
        (found == parent).then_some(pid)
    });
    forked.collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_has_grown_is_put_aside() {
        let directory = std::env::temp_dir().join(format!("waybill-logs-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let log = directory.join("server.log");
        let aside = directory.join("server.log.1");
        for (bytes, moved) in [(LOG_MAX_BYTES, false), (LOG_MAX_BYTES + 1, true)] {
            File::create(&log).unwrap().set_len(bytes).unwrap();
            put_aside(&log);
            assert_eq!((log.exists(), aside.exists()), (!moved, moved));
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
