//! Which process runs a projection: one at a time, by a lock in PostgreSQL that ends with its connection.
//!
//! The lock keeps owners from taking turns; what makes two of them harmless is the checkpoint's epoch, which holds also when the
//! connection with the lock breaks unnoticed.

use std::time::Duration;

use sqlx::{Postgres, Transaction};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::db::{Db, DbError};
use crate::line::ANSWER_TIMEOUT;
use crate::status_board::StatusBoard;

/// Pause before a lock that another process has is sought again.
const STAND_BY_PAUSE: Duration = Duration::from_secs(1);

/// This process's hold on a projection, or none.
pub(super) struct Ownership {
    projection: &'static str,
    held: Option<Transaction<'static, Postgres>>,
}

impl Ownership {
    pub(super) fn none(projection: &'static str) -> Self {
        Self { projection, held: None }
    }

    /// Waits until the projection is this process's. Meanwhile the board shows what its owner has stored.
    /// An error when it is time to stop.
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

    /// Whether the lock is still this process's, as far as its connection says. One that broke may mean that PostgreSQL has died and lost what
    /// it hadn't written yet.
    pub(super) async fn stands(&mut self) -> bool {
        let Some(held) = &mut self.held else { return false };
        matches!(timeout(ANSWER_TIMEOUT, sqlx::query("SELECT 1").execute(&mut **held)).await, Ok(Ok(_)))
    }

    /// Gives the lock back at a stop, and waits for PostgreSQL's answer: it would log a connection that ends without reading it.
    pub(super) async fn release(mut self) {
        if let Some(held) = self.held.take() {
            let _ = timeout(ANSWER_TIMEOUT, held.rollback()).await;
        }
    }

    /// Lets another process try, one with a newer program perhaps.
    pub(super) fn give_up(&mut self, board: &StatusBoard) {
        self.held = None;
        board.own(self.projection, false);
    }
}
