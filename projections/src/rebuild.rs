//! Building a read model anew while the old one serves: new tables in a schema of their own, filled from the log's beginning, then put in
//! the old ones' place in one transaction.

use std::sync::Arc;

use event_store::{Delivery, Log, StoreError};
use futures::StreamExt;
use sqlx::{Executor as _, PgConnection, Postgres, Transaction};

use crate::db::{Db, DbError};
use crate::decode::{Decoded, Unreadable};
use crate::models::{self, ReadModel};

/// Records applied in one transaction.
const BATCH_RECORDS: usize = 2_000;

/// Rebuilds a read model by name; `progress` is told the position reached and the end.
pub async fn rebuild(
    db: &Db,
    log: Arc<dyn Log>,
    name: &str,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<u64, DbError> {
    let model = models::by_name(name)?;
    let schema = format!("rebuild_{name}");
    let _held = db.hold(&format!("rebuilding {name}")).await?;
    let incarnation_ms = log.info().await.map_err(unavailable)?.incarnation_ms;
    create_tables(db, model, &schema).await?;
    let mut position = replay(db, &log, &[model], &schema, 0, &mut progress).await?;
    // The last stretch is short: the switch locks the checkpoint, so the live projector stands still meanwhile.
    let mut tx = db.pool().begin().await?;
    sqlx::query("SELECT position FROM projection_checkpoints WHERE name = $1 FOR UPDATE")
        .bind(name)
        .execute(&mut *tx)
        .await?;
    position = replay(db, &log, &[model], &schema, position, &mut progress).await?;
    switch(&mut tx, model, &schema, position, incarnation_ms).await?;
    tx.commit().await?;
    drop_schema(db, &schema).await?;
    Ok(position)
}

/// Empty copies of a model's tables in a schema of their own.
pub(crate) async fn create_tables(db: &Db, model: &dyn ReadModel, schema: &str) -> Result<(), DbError> {
    let mut sql = format!("CREATE SCHEMA IF NOT EXISTS {schema}; GRANT USAGE ON SCHEMA {schema} TO waybill_projector;");
    for table in model.tables() {
        sql.push_str(&format!(
            "DROP TABLE IF EXISTS {schema}.{table}; CREATE TABLE {schema}.{table} (LIKE public.{table} INCLUDING ALL); SELECT waybill_protect('{schema}.{table}');"
        ));
    }
    db.pool().execute(&*sql).await?;
    Ok(())
}

pub(crate) async fn drop_schema(db: &Db, schema: &str) -> Result<(), DbError> {
    let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
    db.pool().execute(&*sql).await?;
    Ok(())
}

/// Applies the log from behind `from` to its present end; returns that.
pub(crate) async fn replay(
    db: &Db,
    log: &Arc<dyn Log>,
    models: &[&dyn ReadModel],
    schema: &str,
    from: u64,
    progress: &mut (impl FnMut(u64, u64) + Send),
) -> Result<u64, DbError> {
    let head = log.info().await.map_err(unavailable)?.last_sequence;
    if head <= from {
        return Ok(from);
    }
    let mut source = log.subscribe(from + 1);
    let mut batch = Vec::new();
    let mut reached = from;
    while reached < head {
        match source.next().await {
            Some(Ok(Delivery::Record(raw))) if raw.position <= head => {
                reached = raw.position;
                match Decoded::decode(raw) {
                    Ok(record) => batch.push(record),
                    Err(unreadable) => keep_unreadable(db, models, schema, *unreadable).await?,
                }
            }
            Some(Ok(Delivery::Record(_))) => reached = head,
            Some(Ok(Delivery::CaughtUp { position })) => reached = reached.max(position.min(head)),
            Some(Err(error)) => return Err(unavailable(error)),
            None => return Err(DbError::Unavailable("the subscription ended".to_owned())),
        }
        if batch.len() >= BATCH_RECORDS || (reached >= head && !batch.is_empty()) {
            let mut tx = db.write(schema).await?;
            for model in models {
                model.apply(&mut tx, &batch).await?;
            }
            tx.commit().await?;
            batch.clear();
            progress(reached, head);
        }
    }
    Ok(head)
}

fn unavailable(error: StoreError) -> DbError {
    DbError::Unavailable(error.to_string())
}

/// Only a model that keeps bytes can be built over a record that can't be decoded.
async fn keep_unreadable(
    db: &Db,
    models: &[&dyn ReadModel],
    schema: &str,
    unreadable: Unreadable,
) -> Result<(), DbError> {
    let mut tx = db.write(schema).await?;
    for model in models {
        if !model.keep_unreadable(&mut tx, &unreadable.raw).await? {
            return Err(DbError::Invalid(format!("{} can't be built: {}", model.name(), unreadable.error)));
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Puts the new tables in the old ones' place. Policies, grants and the checkpoint go with them.
async fn switch(
    tx: &mut Transaction<'_, Postgres>,
    model: &dyn ReadModel,
    schema: &str,
    position: u64,
    incarnation_ms: u64,
) -> Result<(), DbError> {
    let mut sql = String::new();
    for table in model.tables() {
        sql.push_str(&format!("DROP TABLE public.{table}; ALTER TABLE {schema}.{table} SET SCHEMA public; SELECT waybill_protect('public.{table}');"));
    }
    let connection: &mut PgConnection = tx;
    connection.execute(&*sql).await?;
    sqlx::query(
        "INSERT INTO projection_checkpoints (name, position, version, incarnation_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, version = EXCLUDED.version,
           incarnation_ms = EXCLUDED.incarnation_ms, epoch = projection_checkpoints.epoch + 1",
    )
    .bind(model.name())
    .bind(position as i64)
    .bind(model.version())
    .bind(incarnation_ms as i64)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM parked_records WHERE projection = $1").bind(model.name()).execute(connection).await?;
    Ok(())
}
