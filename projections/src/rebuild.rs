//! Rebuilds a read model while the old one serves: new tables in a separate schema, filled from the log's beginning, then swapped with
//! the old ones in one transaction.

use std::sync::Arc;
use std::time::Duration;

use event_store::Log;
use sqlx::{Executor as _, PgConnection, Postgres, Row as _, Transaction};

use crate::db::{Db, DbError};
use crate::models;
use crate::read_model::ReadModel;
use crate::replay::{Replay, unavailable};
use crate::runner::statistics::analyze;

/// How often it is tried to swap the tables.
const SWITCHES_MAX: u32 = 5;
/// Pause before the next try.
const SWITCH_PAUSE: Duration = Duration::from_secs(1);
/// The schema of the live tables.
const PUBLIC: &str = "public";

/// Rebuilds a read model by name; `progress` gets the position reached and the end.
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
    let mut switches = 0;
    let position = loop {
        // The last stretch is short: the swap locks the checkpoint, so the live projector waits meanwhile.
        let mut tx = db.pool().begin().await?;
        crate::db::work_at_length(&mut *tx).await?;
        sqlx::query("SELECT position FROM projection_checkpoints WHERE name = $1 FOR UPDATE")
            .bind(name)
            .execute(&mut *tx)
            .await?;
        let position = replay.run(&mut progress).await?;
        switches += 1;
        match switch(&mut tx, model, &schema, position, incarnation_ms).await {
            // A query of several tables can hold one and wait for another: PostgreSQL ends the query or the swap.
            Err(error) if error.is_unavailable() && switches < SWITCHES_MAX => {
                tracing::info!(%error, "The tables can't be swapped now. It is tried again.");
                tx.rollback().await?;
                tokio::time::sleep(SWITCH_PAUSE).await;
            }
            switched => {
                switched?;
                replay.park(&mut tx).await?;
                tx.commit().await?;
                break position;
            }
        }
    };
    drop_schema(db, &schema).await?;
    Ok(position)
}

/// The schema whose table is copied: usually the live one. A migration that changes a table puts an empty table of the new form into
/// the schema `next_NAME` of the model. The live table serves until the model is rebuilt.
async fn form_of(connection: &mut PgConnection, model: &dyn ReadModel, table: &str) -> Result<String, DbError> {
    let next = format!("next_{}", model.name());
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1 || '.' || $2) IS NOT NULL")
        .bind(&next)
        .bind(table)
        .fetch_one(connection)
        .await?;
    Ok(if is_there { next } else { PUBLIC.to_owned() })
}

/// Creates empty tables of a model in a separate schema.
pub(crate) async fn create_tables(db: &Db, model: &dyn ReadModel, schema: &str) -> Result<(), DbError> {
    let mut connection = db.pool().acquire().await?;
    let mut sql = format!("CREATE SCHEMA IF NOT EXISTS {schema}; GRANT USAGE ON SCHEMA {schema} TO waybill_projector;");
    for table in model.tables() {
        let form = form_of(&mut connection, model, table).await?;
        sql.push_str(&format!(
            "DROP TABLE IF EXISTS {schema}.{table}; CREATE TABLE {schema}.{table} (LIKE {form}.{table} INCLUDING ALL); SELECT waybill_protect('{schema}.{table}');"
        ));
        sql.push_str(&settings(&mut connection, &form, schema, table).await?);
    }
    connection.execute(&*sql).await?;
    Ok(())
}

/// Statements for the settings that LIKE doesn't copy: those of the table, and how much statistics its columns have.
async fn settings(connection: &mut PgConnection, form: &str, schema: &str, table: &str) -> Result<String, DbError> {
    let of_table = "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = to_regclass($1 || '.' || $2)";
    let of_table: Option<String> =
        sqlx::query_scalar(of_table).bind(form).bind(table).fetch_one(&mut *connection).await?;
    let mut actions: Vec<String> = of_table.into_iter().map(|settings| format!("SET ({settings})")).collect();
    // PostgreSQL 17 says NULL for the default, older ones -1.
    let of_columns = "SELECT attname::text, attstattarget::integer FROM pg_attribute
        WHERE attrelid = to_regclass($1 || '.' || $2) AND attnum > 0 AND NOT attisdropped AND attstattarget >= 0";
    for column in sqlx::query(of_columns).bind(form).bind(table).fetch_all(connection).await? {
        let (name, target): (String, i32) = (column.try_get(0)?, column.try_get(1)?);
        actions.push(format!("ALTER COLUMN {name} SET STATISTICS {target}"));
    }
    let all = actions.join(", ");
    Ok(if actions.is_empty() { all } else { format!("ALTER TABLE {schema}.{table} {all};") })
}

pub(crate) async fn drop_schema(db: &Db, schema: &str) -> Result<(), DbError> {
    let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
    db.pool().execute(&*sql).await?;
    Ok(())
}

/// Swaps the new tables with the old ones, with policies, grants, views and the checkpoint.
async fn switch(
    tx: &mut Transaction<'_, Postgres>,
    model: &dyn ReadModel,
    schema: &str,
    position: u64,
    incarnation_ms: u64,
) -> Result<(), DbError> {
    // A view stays bound to the table that it was created over, also when that is renamed.
    let of_views = |act: &str| model.views().iter().map(|view| format!("SELECT waybill_{act}_{view}();")).collect();
    let (mut sql, views): (String, String) = (of_views("drop"), of_views("create"));
    let mut next = None;
    for table in model.tables() {
        let form = form_of(tx, model, table).await?;
        sql.push_str(&keep_index_names(tx, &form, schema, table).await?);
        sql.push_str(&format!("DROP TABLE public.{table}; ALTER TABLE {schema}.{table} SET SCHEMA public; SELECT waybill_protect('public.{table}');"));
        next = next.or((form != PUBLIC).then_some(form));
    }
    sql.push_str(&views);
    if let Some(next) = next {
        sql.push_str(&format!("DROP SCHEMA {next} CASCADE;"));
    }
    let connection: &mut PgConnection = tx;
    connection.execute(&*sql).await?;
    sqlx::query(
        "INSERT INTO projection_checkpoints (name, position, version, incarnation_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, version = EXCLUDED.version,
           incarnation_ms = EXCLUDED.incarnation_ms, sweep = NULL, epoch = projection_checkpoints.epoch + 1",
    )
    .bind(model.name())
    .bind(position as i64)
    .bind(model.version())
    .bind(incarnation_ms as i64)
    .execute(&mut *connection)
    .await?;
    for records in ["parked_records", "deferred_records"] {
        let sql = format!("DELETE FROM {records} WHERE projection = $1");
        sqlx::query(&sql).bind(model.name()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Statements that give the new table's indexes the names of the copied ones. Migrations use these names.
async fn keep_index_names(
    connection: &mut PgConnection,
    form: &str,
    schema: &str,
    table: &str,
) -> Result<String, DbError> {
    let definition = r"regexp_replace(indexdef, '^CREATE (UNIQUE )?INDEX \S+ ON \S+ ', '\1')";
    let sql = format!(
        "SELECT n.indexname, o.indexname
         FROM (SELECT indexname, {definition} AS definition FROM pg_indexes WHERE schemaname = $1 AND tablename = $3) o
         JOIN (SELECT indexname, {definition} AS definition FROM pg_indexes WHERE schemaname = $2 AND tablename = $3) n USING (definition)"
    );
    let pairs = sqlx::query(&sql).bind(form).bind(schema).bind(table).fetch_all(connection).await?;
    let (mut aside, mut named) = (String::new(), String::new());
    for (number, pair) in pairs.iter().enumerate() {
        let (new, old): (String, String) = (pair.try_get(0)?, pair.try_get(1)?);
        // Renames by way of an unused name: the old name of one index may be the new name of another.
        aside.push_str(&format!("ALTER INDEX {schema}.{new} RENAME TO {table}_renamed_{number};"));
        named.push_str(&format!("ALTER INDEX {schema}.{table}_renamed_{number} RENAME TO {old};"));
    }
    Ok(aside + &named)
}
