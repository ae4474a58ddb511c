//! Which process runs a projection: one at a time, by a lock in PostgreSQL that ends with its connection.
//!
//! The lock only prevents that owners alternate. The checkpoint's epoch makes two owners harmless, also when the connection with the lock
//! breaks unnoticed.

use std::time::Duration;

use sqlx::{Postgres, Transaction};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::db::{Db, DbError};
use crate::line::ANSWER_TIMEOUT;
use crate::status_board::StatusBoard;

/// Pause between two tries to get the lock of another process.
const STAND_BY_PAUSE: Duration = Duration::from_secs(1);

/// This process's lock on a projection, if it has it.
pub(super) struct Ownership {
    projection: &'static str,
    held: Option<Transaction<'static, Postgres>>,
}

impl Ownership {
    pub(super) fn none(projection: &'static str) -> Self {
        Self { projection, held: None }
    }

    /// Waits until this process has the lock. Meanwhile the status board shows what the owner has stored.
    /// Fails at a stop.
    pub(super) async fn take(&mut self, db: &Db, board: &StatusBoard, stop: &CancellationToken) -> Result<(), DbError> {
        if self.stands().await {
            return Ok(());
        }
        self.give_up(board);
        loop {
            self.held = db.try_hold(&format!("projection {}", self.projection)).await?;
            if self.held.is_some() {
                board.own(self.projection, true);
                return Ok(());
            }
            if stop.run_until_cancelled(sleep(STAND_BY_PAUSE)).await.is_none() {
                return Err(DbError::Unavailable("stopping".to_owned()));
            }
        }
    }

    /// Whether this process still has the lock, according to its connection. After a broken connection PostgreSQL may have crashed and lost
    /// commits.
    pub(super) async fn stands(&mut self) -> bool {
        let Some(held) = &mut self.held else { return false };
        matches!(timeout(ANSWER_TIMEOUT, sqlx::query("SELECT 1").execute(&mut **held)).await, Ok(Ok(_)))
    }

    /// Releases the lock at a stop, and waits for the answer: PostgreSQL logs a connection that ends without reading it.
    pub(super) async fn release(mut self) {
        if let Some(held) = self.held.take() {
            let _ = timeout(ANSWER_TIMEOUT, held.rollback()).await;
        }
    }

    /// Releases the lock for another process, perhaps with a newer program.
    pub(super) fn give_up(&mut self, board: &StatusBoard) {
        self.held = None;
        board.own(self.projection, false);
    }
}
