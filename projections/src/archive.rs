//! The archive: the original bytes of every record, with columns for queries.
//!
//! Works on raw records, so records that can't be decoded are kept, too. Events aren't stored twice: postgres-es reads them from the
//! view `events` over this table.

mod audit;
mod columns;
mod read;

use std::time::Duration;

use async_trait::async_trait;
use event_store::{RawRecord, Record};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::db::DbError;
use crate::decode::Decoded;
use crate::memory::Memory;
use crate::read_model::ReadModel;
pub use audit::{
    AuditEntry, AuditFilter, AuditPage, Facets, Frequency, Order, audit, entries_at, facets, one_of_correlation,
    reached,
};
use columns::Columns;
pub use read::{Archived, records, records_of_campaign, replay};

pub(crate) struct ArchiveModel;

#[async_trait]
impl ReadModel for ArchiveModel {
    fn name(&self) -> &'static str {
        crate::ARCHIVE
    }

    fn version(&self) -> i32 {
        2
    }

    fn tables(&self) -> Vec<&'static str> {
        vec!["records"]
    }

    fn views(&self) -> Vec<&'static str> {
        vec!["events"]
    }

    fn linger(&self) -> Duration {
        LINGER
    }

    fn reads_events(&self) -> bool {
        false
    }

    async fn apply(
        &self,
        connection: &mut PgConnection,
        batch: &[Decoded],
        _memory: &mut Memory,
    ) -> Result<(), DbError> {
        let rows = batch.iter().map(|record| Row::new(&record.raw, Columns::of(&record.raw, &record.record)));
        store(connection, &rows.collect::<Vec<_>>()).await
    }

    async fn keep_unreadable(&self, connection: &mut PgConnection, raw: &RawRecord) -> Result<bool, DbError> {
        // This program may not know the event although the record is well formed.
        let record = Record::decode(raw.position, &raw.body).map_err(|error| error.to_string());
        let columns = record.as_ref().map_err(String::clone).and_then(|record| Columns::of(raw, record));
        store(connection, &[Row::new(raw, columns)]).await?;
        Ok(true)
    }
}

/// A row of `records`. The columns are null for a record whose body PostgreSQL can't read.
struct Row<'a> {
    raw: &'a RawRecord,
    columns: Option<Columns<'a>>,
}

impl<'a> Row<'a> {
    fn new(raw: &'a RawRecord, columns: Result<Columns<'a>, String>) -> Self {
        let position = raw.position;
        let warn = |error: &String| tracing::warn!(position, error, "Only the bytes of a record are archived.");
        Self { raw, columns: columns.inspect_err(warn).ok() }
    }
}

/// How long a batch waits for more records: callers seldom wait for the archive, and a large batch costs much less.
const LINGER: Duration = Duration::from_millis(250);

/// No position comes twice, since rows and checkpoint change together. To look for a row each time would cost a fifth of an insert.
const INSERT: &str = "
INSERT INTO records (position, stored_at, tenant, subject, headers, sha256, body, version, recorded_at, causation_position, correlation_id,
  causation_id, event_count, actor)
SELECT * FROM UNNEST($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::jsonb[], $6::bytea[], $7::bytea[], $8::bigint[],
  $9::timestamptz[], $10::bigint[], $11::uuid[], $12::uuid[], $13::integer[], $14::text[])";

async fn store(connection: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), DbError> {
    /// One array, with a value of each row.
    fn each<'a, T>(rows: &[Row<'a>], value: impl Fn(&'a RawRecord) -> T) -> Vec<T> {
        rows.iter().map(|row| value(row.raw)).collect()
    }
    /// The same for a column that may be null.
    fn column<'a, T>(rows: &[Row<'a>], value: impl Fn(&Columns<'a>) -> Option<T>) -> Vec<Option<T>> {
        rows.iter().map(|row| row.columns.as_ref().and_then(&value)).collect()
    }
    sqlx::query(INSERT)
        .bind(each(rows, |raw| raw.position as i64))
        .bind(each(rows, |raw| raw.stored_at))
        .bind(each(rows, |raw| raw.key.tenant.as_str()))
        .bind(each(rows, |raw| raw.subject.as_str()))
        .bind(each(rows, |raw| Json(&raw.headers)))
        .bind(each(rows, |raw| Sha256::digest(&raw.body).to_vec()))
        .bind(each(rows, |raw| &raw.body[..]))
        .bind(column(rows, |columns| Some(columns.version)))
        .bind(column(rows, |columns| Some(columns.recorded_at)))
        .bind(column(rows, |columns| columns.causation_position))
        .bind(column(rows, |columns| Some(columns.correlation_id)))
        .bind(column(rows, |columns| columns.causation_id))
        .bind(column(rows, |columns| Some(columns.event_count)))
        .bind(column(rows, |columns| Some(columns.actor)))
        .execute(connection)
        .await?;
    Ok(())
}
