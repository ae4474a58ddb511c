//! Compares every read model with a fresh replay of the log into empty tables.

use std::sync::Arc;
use std::time::Duration;

use event_store::Log;
use sqlx::Row as _;

use crate::db::{Db, DbError, ReadTx};
use crate::models;
use crate::read_model::ReadModel;
use crate::rebuild::{create_tables, drop_schema};
use crate::replay::Replay;

const SCHEMA: &str = "replayed";
/// Most differences that are reported.
const NAMED_MAX: i64 = 5;
/// How long live read models may take to reach the position of the replay.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
const CATCH_UP_POLL: Duration = Duration::from_millis(50);

/// The differences as sentences; empty if there are none. Nothing may be appended to the log meanwhile.
pub async fn compare(db: &Db, log: Arc<dyn Log>) -> Result<Vec<String>, DbError> {
    let all = models::all();
    let _held = db.hold("comparing read models").await?;
    for model in &all {
        create_tables(db, *model, SCHEMA).await?;
    }
    let position = Replay::new(db, &log, SCHEMA, &all).run(&mut |_, _| {}).await?;
    wait_for_live(db, position).await?;
    let mut differences = Vec::new();
    let mut tx = db.read_at_length().await?;
    for model in &all {
        differences.extend(differences_of(&mut tx, *model).await?);
    }
    drop(tx);
    drop_schema(db, SCHEMA).await?;
    Ok(differences)
}

async fn wait_for_live(db: &Db, position: u64) -> Result<(), DbError> {
    let deadline = tokio::time::Instant::now() + CATCH_UP_TIMEOUT;
    loop {
        let behind: Vec<String> = db
            .positions()
            .await?
            .into_iter()
            .filter(|(_, reached)| *reached < position)
            .map(|(name, _)| name)
            .collect();
        if behind.is_empty() && !db.has_deferred_records().await? {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(DbError::Unavailable(format!("read models lag behind {position}: {behind:?}")));
        }
        tokio::time::sleep(CATCH_UP_POLL).await;
    }
}

async fn differences_of(tx: &mut ReadTx, model: &dyn ReadModel) -> Result<Vec<String>, DbError> {
    let mut differences = Vec::new();
    for table in model.tables() {
        for (one, other, what) in [("public", SCHEMA, "only live"), (SCHEMA, "public", "only replayed")] {
            let sql = format!(
                "SELECT row_to_json(a)::text FROM {one}.{table} a EXCEPT SELECT row_to_json(b)::text FROM {other}.{table} b LIMIT {NAMED_MAX}"
            );
            for row in sqlx::query(&sql).fetch_all(&mut *tx.0).await? {
                differences.push(format!("{table}, {what}: {}", row.try_get::<String, _>(0)?));
            }
        }
    }
    Ok(differences)
}
