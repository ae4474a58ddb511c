//! The migrations of the tables. A released one is never edited: `migrations/checksums` lists them, and `scripts/check` compares.

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::db_error::DbError;

/// Longest statement of a migration: 6 hours, in milliseconds.
const TIMEOUT_MS: u64 = 6 * 60 * 60 * 1_000;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// A released text of a migration that is no longer its text. A database where it has run is right: a later migration makes them equal.
struct FormerText {
    version: i64,
    sha384: &'static str,
}

const FORMER_TEXTS: [FormerText; 1] = [
    // Made `rollback_code` as well, which is in 0054.
    FormerText {
        version: 49,
        sha384: "fe881f985d4a188674411b2efe57c52a5e27fb94a23c16030770a764b2d9204aa1ffa49d9b4940daf15c0bfabde567c3",
    },
];

/// Runs what hasn't run yet. Over a separate connection: migrations of large tables exceed the statement timeout of a process.
pub(crate) async fn run(options: PgConnectOptions) -> Result<(), DbError> {
    let options = options.options([("statement_timeout", TIMEOUT_MS.to_string())]);
    let alone = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    let outcome = run_on(&alone).await;
    alone.close().await;
    outcome
}

async fn run_on(pool: &PgPool) -> Result<(), DbError> {
    if is_begun(pool).await? {
        accept_former_texts(pool).await?;
    }
    MIGRATIONS.run(pool).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => error.into(),
        other => DbError::Refused(other.to_string()),
    })
}

/// Whether all migrations that this program knows have been run.
pub(crate) async fn are_complete(pool: &PgPool) -> Result<bool, DbError> {
    if !is_begun(pool).await? {
        return Ok(false);
    }
    // Not only the newest one: a migration may arrive later than others with a higher number.
    let done: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(pool).await?;
    Ok(MIGRATIONS.iter().all(|migration| done.contains(&migration.version)))
}

/// Whether any migration has been run.
async fn is_begun(pool: &PgPool) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(pool).await?)
}

/// Records the present text where a former one has run.
async fn accept_former_texts(pool: &PgPool) -> Result<(), DbError> {
    for former in FORMER_TEXTS {
        let present = MIGRATIONS.iter().find(|migration| migration.version == former.version);
        let present = present.expect("a former text is of a migration that still exists");
        sqlx::query("UPDATE _sqlx_migrations SET checksum = $2 WHERE version = $1 AND encode(checksum, 'hex') = $3")
            .bind(former.version)
            .bind(&*present.checksum)
            .bind(former.sha384)
            .execute(pool)
            .await?;
    }
    Ok(())
}
