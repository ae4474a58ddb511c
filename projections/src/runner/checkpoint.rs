//! The position of a projection, and which owner may move it.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};

use super::RunEnd;
use crate::db::{Db, DbError};
use crate::read_model::SweepPlace;

/// The checkpoint as this owner knows it.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    name: &'static str,
    pub(crate) position: u64,
    epoch: i64,
    /// The sweep of the next record, if it has begun.
    pub(super) sweep: Option<Sweep>,
}

/// How far the sweep of a record has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sweep {
    /// Position of the record.
    pub(super) position: u64,
    /// None when it has ended.
    pub(super) place: Option<SweepPlace>,
}

impl Checkpoint {
    /// Takes over a projection: from now on the previous owner can't move its checkpoint.
    pub(crate) async fn claim(db: &Db, name: &'static str, version: i32, incarnation_ms: u64) -> Result<Self, RunEnd> {
        let mut tx = db.write_durably().await?;
        let row = sqlx::query(
            "INSERT INTO projection_checkpoints (name, version, incarnation_ms) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET epoch = projection_checkpoints.epoch + 1, state = 'running', error = NULL
             RETURNING position, epoch, version, incarnation_ms, sweep",
        )
        .bind(name)
        .bind(version)
        .bind(incarnation_ms as i64)
        .fetch_one(&mut *tx)
        .await
        .map_err(DbError::from)?;
        let read = |error: sqlx::Error| RunEnd::Again(DbError::from(error));
        let (found_version, found_ms): (i32, i64) =
            (row.try_get("version").map_err(read)?, row.try_get("incarnation_ms").map_err(read)?);
        if found_ms != incarnation_ms as i64 {
            return Err(RunEnd::Halted(format!(
                "the read model stands for a log created at {found_ms} ms, this one was created at {incarnation_ms} ms; rebuild it with --new-log"
            )));
        }
        if found_version < version {
            return Err(RunEnd::Outdated { found: found_version });
        }
        if found_version > version {
            return Err(RunEnd::Halted(format!(
                "the read model has version {found_version}, this program writes version {version}: it is too old"
            )));
        }
        tx.commit().await.map_err(DbError::from)?;
        let position: i64 = row.try_get("position").map_err(read)?;
        let sweep: Option<Json<Sweep>> = row.try_get("sweep").map_err(read)?;
        let sweep = sweep.map(|Json(sweep)| sweep);
        Ok(Self { name, position: position as u64, epoch: row.try_get("epoch").map_err(read)?, sweep })
    }

    /// Stores for other processes that the projection has stopped, and why. Errors are ignored.
    pub(crate) async fn note_trouble(db: &Db, name: &str, state: &str, error: &str) {
        let note = "UPDATE projection_checkpoints SET state = $2, error = $3 WHERE name = $1";
        let line = db.line();
        let note = sqlx::query(note).bind(name).bind(state).bind(error.replace('\0', ""));
        let noted = line.carry(async { Ok::<_, DbError>(note.execute(&line.pool).await?) }).await;
        if let Err(error) = noted {
            tracing::debug!(projection = name, %error, "The state of a projection can't be written.");
        }
    }

    /// Moves the checkpoint within a transaction, unless another owner has it. Returns the checkpoint to use after the commit.
    pub(crate) async fn write(&self, connection: &mut PgConnection, position: u64) -> Result<Self, DbError> {
        self.replace(connection, position, None).await
    }

    /// Keeps how far a sweep has come, within its transaction. Returns the checkpoint to use after the commit.
    pub(super) async fn write_sweep(&self, connection: &mut PgConnection, sweep: Sweep) -> Result<Self, DbError> {
        self.replace(connection, self.position, Some(sweep)).await
    }

    async fn replace(
        &self,
        connection: &mut PgConnection,
        position: u64,
        sweep: Option<Sweep>,
    ) -> Result<Self, DbError> {
        let done = sqlx::query(
            "UPDATE projection_checkpoints SET position = $4, sweep = $5, caught_up_at = now() WHERE name = $1 AND epoch = $2 AND position = $3",
        )
        .bind(self.name)
        .bind(self.epoch)
        .bind(self.position as i64)
        .bind(position as i64)
        .bind(sweep.clone().map(Json))
        .execute(connection)
        .await?;
        if done.rows_affected() != 1 {
            return Err(self.is_anothers());
        }
        Ok(Self { position, sweep, ..self.clone() })
    }

    /// Fails if another owner has it, within the transaction that writes rows of a record before it.
    pub(super) async fn confirm(&self, connection: &mut PgConnection) -> Result<(), DbError> {
        let found = sqlx::query(
            "SELECT FROM projection_checkpoints WHERE name = $1 AND epoch = $2 AND position = $3 FOR UPDATE",
        );
        let found =
            found.bind(self.name).bind(self.epoch).bind(self.position as i64).fetch_optional(connection).await?;
        found.map(drop).ok_or_else(|| self.is_anothers())
    }

    fn is_anothers(&self) -> DbError {
        DbError::Unavailable(format!("projection {} has another owner", self.name))
    }

    /// Moves only the checkpoint: the records in between don't concern the read model.
    pub(crate) async fn advance(&mut self, db: &Db, position: u64) -> Result<(), DbError> {
        let mut tx = db.write("public").await?;
        let next = self.write(&mut tx, position).await?;
        tx.commit().await?;
        *self = next;
        Ok(())
    }
}
