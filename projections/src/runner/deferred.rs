//! Records whose rows are written beside the records that follow, one record in a transaction.
//!
//! The checkpoint moves past such a record at once, in the transaction that keeps its position in `deferred_records`. Nobody reads its
//! rows before a record of another aggregate that names them (`needed_by`): before that record is applied, all of them are written.

use std::collections::BTreeSet;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::db::{Db, DbError};
use crate::decode::Decoded;

/// A record that was deferred.
#[derive(Debug, Clone)]
pub(super) struct DeferredRecord {
    pub(super) aggregate: String,
    pub(super) position: u64,
    pub(super) needed_by: String,
}

impl DeferredRecord {
    pub(super) fn new(record: &Decoded, needed_by: String) -> Self {
        Self { aggregate: record.aggregate(), position: record.raw.position, needed_by }
    }

    /// The next one, of those that an aggregate needs, if one is named: an aggregate with few left doesn't wait for one with many.
    pub(super) async fn next(db: &Db, projection: &str, needed_by: Option<&str>) -> Result<Option<Self>, DbError> {
        let mut tx = db.read_all().await?;
        let found = sqlx::query(
            "SELECT aggregate, position, needed_by FROM deferred_records
             WHERE projection = $1 AND ($2::text IS NULL OR needed_by = $2)
             ORDER BY count(*) OVER (PARTITION BY needed_by), position LIMIT 1",
        );
        let found = found.bind(projection).bind(needed_by).fetch_optional(&mut *tx.0).await?;
        let read = |row: PgRow| {
            let position: i64 = row.try_get(1)?;
            Ok(Self { aggregate: row.try_get(0)?, position: position as u64, needed_by: row.try_get(2)? })
        };
        found.map(read).transpose()
    }

    /// Removes it, in the transaction that writes its rows.
    pub(super) async fn remove(&self, connection: &mut PgConnection, projection: &str) -> Result<(), DbError> {
        sqlx::query("DELETE FROM deferred_records WHERE projection = $1 AND position = $2")
            .bind(projection)
            .bind(self.position as i64)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// Which aggregates need records that one projection has deferred. At most one entry for each campaign that is being planned; the records
/// themselves stay in the table.
pub(super) struct Deferred {
    projection: &'static str,
    needed_by: BTreeSet<String>,
}

impl Deferred {
    pub(super) async fn load(db: &Db, projection: &'static str) -> Result<Self, DbError> {
        let mut tx = db.read_all().await?;
        let needed_by: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT needed_by FROM deferred_records WHERE projection = $1")
                .bind(projection)
                .fetch_all(&mut *tx.0)
                .await?;
        Ok(Self { projection, needed_by: needed_by.into_iter().collect() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.needed_by.is_empty()
    }

    /// Whether records wait that the next record of an aggregate needs.
    pub(super) fn holds_up(&self, record: &Decoded) -> bool {
        !self.needed_by.is_empty() && self.needed_by.contains(&record.aggregate())
    }

    /// Keeps records, in the transaction that moves the checkpoint past them.
    pub(super) async fn write(&self, connection: &mut PgConnection, records: &[DeferredRecord]) -> Result<(), DbError> {
        for record in records {
            sqlx::query(
                "INSERT INTO deferred_records (projection, position, aggregate, needed_by) VALUES ($1, $2, $3, $4)",
            )
            .bind(self.projection)
            .bind(record.position as i64)
            .bind(&record.aggregate)
            .bind(&record.needed_by)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    /// To be called when that transaction has committed.
    pub(super) fn remember(&mut self, records: &[DeferredRecord]) {
        self.needed_by.extend(records.iter().map(|record| record.needed_by.clone()));
    }

    /// No record is left that this aggregate needs, or none at all.
    pub(super) fn forget(&mut self, needed_by: Option<&str>) {
        match needed_by {
            Some(needed_by) => {
                self.needed_by.remove(needed_by);
            }
            None => self.needed_by.clear(),
        }
    }
}
