//! Every background task has a name and an owner.
//!
//! A [`Tasks`] has one cancellation token and tracks the tasks that it started. A task that ends with an error or a panic is logged here,
//! once. A shutdown cancels, waits up to a deadline, then abandons the remaining tasks.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one process or of one part of it. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    token: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the process should stop. Long-running tasks then end soon.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Child tasks: they stop when these stop, and can be stopped alone.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), tracker: TaskTracker::new() }
    }

    /// Starts a task. This is the only place that does. Its error or panic is logged under its name and does not affect other tasks.
    pub fn spawn<F, O>(&self, name: &'static str, future: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = O> + Send + 'static,
        O: Outcome,
    {
        let token = self.token.clone();
        self.tracker.spawn(async move {
            match AssertUnwindSafe(future).catch_unwind().await {
                Ok(outcome) => match outcome.failure() {
                    Some(error) => tracing::error!(task.name = name, %error, "task ended with an error"),
                    None => tracing::debug!(task.name = name, stopping = token.is_cancelled(), "task ended"),
                },
                Err(_) => tracing::error!(task.name = name, "task panicked"),
            }
        })
    }

    /// Cancels all tasks and waits for them; true when all ended before the deadline.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.token.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok();
        if !ended {
            tracing::warn!(tasks.left = self.tracker.len(), "tasks did not end in time");
        }
        ended
    }
}

/// What a task may end with.
pub trait Outcome: Send + 'static {
    /// The text of its failure, if it failed.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display + Send + 'static> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_tasks_and_survives_a_panic() {
        let tasks = Tasks::new();
        let token = tasks.token().clone();
        tasks.spawn("waits", async move { token.cancelled().await });
        tasks.spawn("panics", async { assert!(std::hint::black_box(false), "on purpose") });
        tasks.spawn("fails", async { Err::<(), _>("an error") });
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn shutdown_gives_up_at_its_deadline() {
        let tasks = Tasks::new();
        tasks.spawn("stuck", std::future::pending::<()>());
        assert!(!tasks.shutdown(Duration::from_millis(10)).await);
    }
}
