//! Statistics of PostgreSQL's tables: how many updates touched no index, and their size on disk.

use anyhow::Result;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use std::time::Duration;

/// An idle connection has reported its statistics after this time.
const STATISTICS_DELAY: Duration = Duration::from_millis(1_500);

/// Rows of a table that were written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Writes {
    pub(crate) inserted: i64,
    pub(crate) updated: i64,
    pub(crate) updated_heap_only: i64,
}

/// What was written so far, by table.
pub(crate) async fn writes(database_url: &str) -> Result<BTreeMap<String, Writes>> {
    tokio::time::sleep(STATISTICS_DELAY).await;
    let mut postgres = PgConnection::connect(database_url).await?;
    let rows: Vec<(String, i64, i64, i64)> =
        sqlx::query_as("SELECT relname::text, n_tup_ins, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables")
            .fetch_all(&mut postgres)
            .await?;
    let tables = rows
        .into_iter()
        .map(|(table, inserted, updated, updated_heap_only)| (table, Writes { inserted, updated, updated_heap_only }));
    Ok(tables.collect())
}

/// Prints the share of heap-only updates of each table since `before`. All other updates wrote every index of the table.
pub(crate) fn print_heap_only(before: &BTreeMap<String, Writes>, after: &BTreeMap<String, Writes>) {
    println!("    rows written since the projections started, and updates that touched no index:");
    for (table, now) in after {
        let then = before.get(table).copied().unwrap_or_default();
        let (inserted, updated) = (now.inserted - then.inserted, now.updated - then.updated);
        let heap_only = now.updated_heap_only - then.updated_heap_only;
        if inserted + updated > 0 {
            let share = if updated > 0 {
                format!("{:.0} %", 100.0 * heap_only as f64 / updated as f64)
            } else {
                "-".to_owned()
            };
            println!("      {table:<28} {inserted:>9} inserted {updated:>9} updated, heap-only {share:>5}");
        }
    }
}

/// Prints the disk space of each table per row, with its indexes and its out-of-line values.
pub(crate) async fn print_disk(database_url: &str) -> Result<()> {
    let mut postgres = PgConnection::connect(database_url).await?;
    println!("    disk of the largest tables, with their indexes:");
    for table in ["records", "events", "devices", "updates", "rollout_members"] {
        // A table of this name may be missing, or be a view.
        let rows: Option<i64> = sqlx::query_scalar(
            "SELECT n_live_tup FROM pg_stat_user_tables WHERE schemaname = 'public' AND relname = $1",
        )
        .bind(table)
        .fetch_optional(&mut postgres)
        .await?;
        let Some(rows) = rows.filter(|rows| *rows > 0) else { continue };
        let (bytes, of_indexes): (i64, i64) = sqlx::query_as(
            "SELECT pg_total_relation_size(oid), pg_indexes_size(oid) FROM pg_class WHERE oid = to_regclass('public.' || $1)",
        )
        .bind(table)
        .fetch_one(&mut postgres)
        .await?;
        let (each, of_indexes) = (bytes / rows, of_indexes / rows);
        println!("      {table:<28} {rows:>9} rows {each:>6} bytes each, {of_indexes:>5} of them in indexes");
    }
    Ok(())
}

/// Bytes of the whole database on disk.
pub(crate) async fn disk_bytes(database_url: &str) -> Result<i64> {
    let mut postgres = PgConnection::connect(database_url).await?;
    Ok(sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut postgres).await?)
}
