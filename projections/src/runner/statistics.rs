//! Statistics of tables that grow fast. PostgreSQL gathers them at most once a minute. Until then it plans for an empty table and scans
//! 50,000 rows for each query.

use runtime::lifecycle::Tasks;
use sqlx::{Executor as _, Row as _};
use tokio::task::JoinHandle;

use crate::db::{Db, DbError};
use crate::read_model::ReadModel;

/// Records after which the tables are first checked.
const FIRST_LOOK_RECORDS: usize = 1_000;

/// Counts the records that were applied to the tables of one read model. To find tables that have grown fourfold, a check each time that
/// the records have grown by a quarter is enough.
pub(crate) struct Statistics {
    records: usize,
    next_look: usize,
    /// Statistics that are being gathered beside the projector.
    gathering: Option<JoinHandle<()>>,
}

impl Default for Statistics {
    fn default() -> Self {
        Self { records: 0, next_look: FIRST_LOOK_RECORDS, gathering: None }
    }
}

impl Statistics {
    /// Gathers statistics of a model's tables in `schema` that have grown fourfold since they were last gathered. That also drops cached
    /// plans.
    pub(crate) async fn follow(&mut self, db: &Db, schema: &str, model: &'static dyn ReadModel, records: usize) {
        if self.is_due(records) {
            gather(db.clone(), schema.to_owned(), model).await;
        }
    }

    /// The same for the live tables, in a task: events don't wait for it.
    pub(crate) fn follow_beside(&mut self, tasks: &Tasks, db: &Db, model: &'static dyn ReadModel, records: usize) {
        if self.gathering.as_ref().is_some_and(|task| !task.is_finished()) {
            self.records += records;
        } else if self.is_due(records) {
            let gather = gather(db.clone(), "public".to_owned(), model);
            self.gathering = Some(tasks.spawn("statistics of read models", gather));
        }
    }

    fn is_due(&mut self, records: usize) -> bool {
        self.records += records;
        let is_due = self.records >= self.next_look;
        if is_due {
            self.next_look = self.records + (self.records / 4).max(FIRST_LOOK_RECORDS);
        }
        is_due
    }
}

async fn gather(db: Db, schema: String, model: &'static dyn ReadModel) {
    let tables: Vec<String> = model.tables().iter().map(|table| format!("{schema}.{table}")).collect();
    if let Err(error) = analyze_grown(&db, &tables).await {
        tracing::debug!(projection = model.name(), %error, "Statistics of tables can't be gathered.");
    }
}

async fn analyze_grown(db: &Db, tables: &[String]) -> Result<(), DbError> {
    let grown = sqlx::query(
        "SELECT t.name FROM UNNEST($1::text[]) AS t (name) JOIN pg_class c ON c.oid = to_regclass(t.name)
         WHERE pg_relation_size(c.oid) > 4 * greatest(c.relpages, 2) * current_setting('block_size')::bigint",
    );
    let line = db.line();
    let grown = line.carry(async { Ok::<_, DbError>(grown.bind(tables).fetch_all(&line.pool).await?) }).await?;
    for row in grown {
        let table: &str = row.try_get(0)?;
        analyze(db, table).await?;
    }
    Ok(())
}

/// Gathers a table's statistics.
pub(crate) async fn analyze(db: &Db, table: &str) -> Result<(), DbError> {
    let line = db.line();
    line.carry(async { Ok::<_, DbError>(line.pool.execute(&*format!("ANALYZE {table}")).await.map(drop)?) }).await
}
