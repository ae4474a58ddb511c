//! A directory for one test, and a time limit for that test.
//!
//! The test framework has no time limit: a test that waits without end would silently stop the whole run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Time limit of a test. Every wait in a test should have a shorter deadline; this is for waits without one.
const TEST_TIME_MAX: Duration = Duration::from_secs(600);
const EXIT_CODE: i32 = 101;

/// Removed at the end of the test; kept with its logs if the test fails.
pub(crate) struct Directory {
    path: PathBuf,
    /// Dropping it ends the watch.
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

/// Ends the process if the test takes too long. Its servers end with it.
fn watch(ended: &Receiver<()>, longest: Duration, test: &str, logs: &Path) {
    if ended.recv_timeout(longest) == Err(RecvTimeoutError::Timeout) {
        // Written directly to standard error, because the framework holds back a test's output until the test ends.
        drop(writeln!(
            std::io::stderr(),
            "{test} hasn't ended within {longest:?}; logs are kept in {}",
            logs.display()
        ));
        std::process::exit(EXIT_CODE);
    }
}
