//! Aggregates that a projection could not apply, for those who run the installation.

use sqlx::Row as _;

use crate::db::{Db, DbError};

/// Most aggregates in an answer.
pub const AGGREGATES_MAX: i64 = 100;

/// A parked aggregate of a projection: it and all its later records wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedAggregate {
    pub projection: String,
    pub tenant: String,
    /// Its type.
    pub aggregate: String,
    pub aggregate_id: String,
    pub records: u64,
    pub first_position: u64,
    pub last_position: u64,
    /// Why the first of its records could not be applied.
    pub error: String,
}

/// Parked aggregates of all tenants, those that wait longest first.
pub async fn list(db: &Db) -> Result<Vec<ParkedAggregate>, DbError> {
    let sql = format!(
        "SELECT projection, aggregate, count(*), min(position), max(position), (array_agg(error ORDER BY position))[1]
         FROM parked_records GROUP BY 1, 2 ORDER BY 4, 1 LIMIT {AGGREGATES_MAX}"
    );
    let mut tx = db.read_all().await?;
    let rows = sqlx::query(&sql).fetch_all(&mut *tx.0).await?;
    let parked = rows.iter().map(|row| {
        let number = |column: usize| row.try_get::<i64, _>(column).map(|number| number as u64);
        let name: &str = row.try_get(1)?;
        let mut parts = name.splitn(3, '/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Ok(ParkedAggregate {
            projection: row.try_get(0)?,
            tenant: part(),
            aggregate: part(),
            aggregate_id: part(),
            records: number(2)?,
            first_position: number(3)?,
            last_position: number(4)?,
            error: row.try_get(5)?,
        })
    });
    parked.collect()
}
