//! Waiting for a condition by polling, with a time limit.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for anything in these tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two polls.
const POLL: Duration = Duration::from_millis(20);

/// Polls until the value is as wanted, and returns it.
pub(crate) async fn until<T: Debug>(what: &str, look: impl AsyncFn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; last {seen:?}");
        tokio::time::sleep(POLL).await;
    }
}
