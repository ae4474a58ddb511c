//! Building a read model anew while the old one serves: new tables in a schema of their own, filled from the log's beginning, then put in
//! the old ones' place in one transaction.

use std::sync::Arc;

use event_store::Log;
use sqlx::{Executor as _, PgConnection, Postgres, Row as _, Transaction};

use crate::db::{Db, DbError};
use crate::models::{self, ReadModel};
use crate::replay::{Replay, unavailable};
use crate::runner::statistics::analyze;

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
    let mut replay = Replay::new(db, &log, &schema, &[model]);
    replay.run(&mut progress).await?;
    for table in model.tables() {
        analyze(db, &format!("{schema}.{table}")).await?;
    }
    // The last stretch is short: the switch locks the checkpoint, so the live projector stands still meanwhile.
    let mut tx = db.pool().begin().await?;
    crate::db::work_at_length(&mut *tx).await?;
    sqlx::query("SELECT position FROM projection_checkpoints WHERE name = $1 FOR UPDATE")
        .bind(name)
        .execute(&mut *tx)
        .await?;
    let position = replay.run(&mut progress).await?;
    switch(&mut tx, model, &schema, position, incarnation_ms).await?;
    replay.park(&mut tx).await?;
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
        // LIKE leaves them out.
        let settings =
            "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = to_regclass('public.' || $1)";
        let settings: Option<String> = sqlx::query_scalar(settings).bind(table).fetch_one(&db.pool()).await?;
        if let Some(settings) = settings {
            sql.push_str(&format!("ALTER TABLE {schema}.{table} SET ({settings});"));
        }
    }
    db.pool().execute(&*sql).await?;
    Ok(())
}

pub(crate) async fn drop_schema(db: &Db, schema: &str) -> Result<(), DbError> {
    let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
    db.pool().execute(&*sql).await?;
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
        sql.push_str(&keep_index_names(tx, schema, table).await?);
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

/// Statements that give the indexes of a new table the names of the old one's, by which migrations know them.
async fn keep_index_names(connection: &mut PgConnection, schema: &str, table: &str) -> Result<String, DbError> {
    let definition = r"regexp_replace(indexdef, '^CREATE (UNIQUE )?INDEX \S+ ON \S+ ', '\1')";
    let sql = format!(
        "SELECT n.indexname, o.indexname
         FROM (SELECT indexname, {definition} AS definition FROM pg_indexes WHERE schemaname = 'public' AND tablename = $2) o
         JOIN (SELECT indexname, {definition} AS definition FROM pg_indexes WHERE schemaname = $1 AND tablename = $2) n USING (definition)"
    );
    let pairs = sqlx::query(&sql).bind(schema).bind(table).fetch_all(connection).await?;
    let (mut aside, mut named) = (String::new(), String::new());
    for (number, pair) in pairs.iter().enumerate() {
        let (new, old): (String, String) = (pair.try_get(0)?, pair.try_get(1)?);
        // By way of a name that none has: the old name of one may be the new name of another.
        aside.push_str(&format!("ALTER INDEX {schema}.{new} RENAME TO {table}_renamed_{number};"));
        named.push_str(&format!("ALTER INDEX {schema}.{table}_renamed_{number} RENAME TO {old};"));
    }
    Ok(aside + &named)
}
