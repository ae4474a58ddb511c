//! Aggregates that a projection could not apply, with everything that came after, in order.

use std::collections::HashSet;

use crate::db::{Db, DbError};
use crate::decode::Decoded;

/// Parked aggregates of one projection.
pub(crate) struct Parked {
    projection: &'static str,
    aggregates: HashSet<String>,
}

impl Parked {
    pub(crate) async fn load(db: &Db, projection: &'static str) -> Result<Self, DbError> {
        let aggregates: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT aggregate FROM parked_records WHERE projection = $1")
                .bind(projection)
                .fetch_all(db.pool())
                .await?;
        Ok(Self { projection, aggregates: aggregates.into_iter().collect() })
    }

    pub(crate) fn count(&self) -> usize {
        self.aggregates.len()
    }

    pub(crate) fn holds(&self, aggregate: &str) -> bool {
        self.aggregates.contains(aggregate)
    }

    /// Parks a record. Doing it again changes nothing.
    pub(crate) async fn keep(&mut self, db: &Db, record: &Decoded, error: &str) -> Result<(), DbError> {
        sqlx::query(
            "INSERT INTO parked_records (projection, position, aggregate, error) VALUES ($1, $2, $3, $4)
             ON CONFLICT (projection, position) DO NOTHING",
        )
        .bind(self.projection)
        .bind(record.position())
        .bind(record.aggregate())
        .bind(error)
        .execute(db.pool())
        .await?;
        self.aggregates.insert(record.aggregate());
        Ok(())
    }
}
