//! A directory of a test's own, and the longest that test may take.
//!
//! The test framework has no deadline of its own: a test that waits for what never comes would stop the whole run without a word.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Longest time of a test. Every wait in it has a shorter deadline; this is for the one that was forgotten.
const TEST_TIME_MAX: Duration = Duration::from_secs(600);
const EXIT_CODE: i32 = 101;

/// Removed at the end of the test; kept with its logs when the test fails.
pub(crate) struct Directory {
    path: PathBuf,
    /// Closed by dropping, which ends the watch.
    _running: Sender<()>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("waybill-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        let (running, ended) = channel();
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let logs = path.clone();
        std::thread::spawn(move || watch(&ended, TEST_TIME_MAX, &test, &logs));
        Self { path, _running: running }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("logs are kept in {}", self.path.display());
        } else {
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// Ends the process when the test takes too long. Its servers die with it.
fn watch(ended: &Receiver<()>, longest: Duration, test: &str, logs: &Path) {
    if ended.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
        // Written past the framework, which keeps what a test prints until that test ends.
        drop(writeln!(
            std::io::stderr(),
            "{test} hasn't ended within {longest:?}; logs are kept in {}",
            logs.display()
        ));
        std::process::exit(EXIT_CODE);
    }
}
