//! Connections, roles and transactions.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::TenantId;
use runtime::lifecycle::Tasks;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor, Postgres, Row as _, Transaction};

pub use crate::db_error::DbError;
use crate::line::{Line, Lines, Watched};
use crate::migrations;

/// Connections of one process, including one per projection for its lock.
const CONNECTIONS_MAX: u32 = 32;
/// Connections of a pool that is bound to one tenant.
const READER_CONNECTIONS_MAX: u32 = 2;
/// How long a request may wait for a connection before PostgreSQL counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that was used so recently is used again without a question to PostgreSQL.
const TRUSTED_FOR: Duration = Duration::from_millis(250);
/// How long the connections of a stopping process may take to finish their work.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two checks whether they have finished.
const CLOSE_POLL: Duration = Duration::from_millis(5);
/// A vanished peer is noticed after about 25 seconds. Then the locks of its connections are released.
const KEEPALIVES: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];
/// Longest statement of a request.
const STATEMENT_TIMEOUT_MS: u32 = 30_000;
/// Longest statement of projectors and of planning, which may concern a million devices. It only bounds hanging statements.
const LONG_STATEMENT_TIMEOUT_MS: u32 = 3_600_000;
/// Projectors look up rows by key. These settings prevent full scans of growing tables, for which PostgreSQL has no statistics
/// yet.
const KEYED_PLANS: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";
/// Oldest supported PostgreSQL, as `server_version_num`.
const POSTGRES_VERSION_MIN: i32 = 150_000;

/// The read models' database. Connects on first use, so that a process starts while PostgreSQL is down.
#[derive(Clone)]
pub struct Db {
    lines: Lines,
    /// Whether the tables were found to be of this program's version.
    made: Arc<AtomicBool>,
}

/// A projection as its owner has stored it beside the checkpoint.
pub(crate) struct StoredStatus {
    pub(crate) name: String,
    pub(crate) version: i32,
    pub(crate) position: u64,
    pub(crate) incarnation_ms: u64,
    /// `running`, `unavailable` or `halted`.
    pub(crate) state: String,
    pub(crate) error: Option<String>,
    pub(crate) parked: usize,
}

/// Ends a savepoint: keeps its changes, or undoes all of them if the values were at fault. The inner error says which value.
pub(crate) async fn settle(
    savepoint: Transaction<'_, Postgres>,
    done: Result<(), DbError>,
) -> Result<Result<(), String>, DbError> {
    match done {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(Ok(()))
        }
        Err(DbError::Invalid(error)) => {
            savepoint.rollback().await?;
            Ok(Err(error))
        }
        Err(error) => Err(error),
    }
}

/// Settings of all pools.
fn pool_options(connections_max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections_max)
        // Before each use the library would ask PostgreSQL whether it answers. That is only needed after a pause: a restart of PostgreSQL
        // takes longer than this.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                let is_alive = meta.idle_for < TRUSTED_FOR || connection.ping().await.is_ok();
                Ok(is_alive)
            })
        })
        // Otherwise each connection would keep the memory of its largest statement for good: connections take turns, and projectors send
        // statements of megabytes.
        .after_release(|connection, _| {
            connection.shrink_buffers();
            Box::pin(async { Ok(true) })
        })
}

fn lock_name(name: &str) -> String {
    format!("waybill:{name}")
}

/// The name of this process that PostgreSQL shows. PostgreSQL keeps at most 63 bytes of it.
fn this_process(doing: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("waybill {doing}, process {} on {}", std::process::id(), host.trim())
}

/// Raises the statement timeout of this transaction.
pub(crate) async fn work_at_length<'c>(connection: impl Executor<'c, Database = Postgres>) -> Result<(), DbError> {
    connection.execute(&*format!("SET LOCAL statement_timeout = {LONG_STATEMENT_TIMEOUT_MS}")).await?;
    Ok(())
}

/// A read transaction of one tenant: one snapshot, without rows of other tenants. Its statements fail when PostgreSQL doesn't answer.
pub struct ReadTx(pub(crate) Box<Watched>);

impl ReadTx {
    /// The position of a projection in this snapshot: its rows show the log up to there.
    pub async fn position(&mut self, projection: &str) -> Result<u64, DbError> {
        let query = sqlx::query_scalar("SELECT position FROM projection_checkpoints WHERE name = $1").bind(projection);
        let position: Option<i64> = query.fetch_optional(&mut *self.0).await?;
        Ok(position.unwrap_or(0) as u64)
    }
}

impl Db {
    pub fn connect(url: &str) -> Result<Self, DbError> {
        Self::connect_within(url, ACQUIRE_TIMEOUT)
    }

    /// The same, with another time that a request may wait for a connection.
    pub fn connect_within(url: &str, wait_max: Duration) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(url)
            // The error leaves out the address, because it contains a password.
            .map_err(|error| DbError::Invalid(format!("no address of PostgreSQL: {error}")))?
            .options([("statement_timeout", STATEMENT_TIMEOUT_MS.to_string())])
            .options(KEEPALIVES);
        let pool = pool_options(CONNECTIONS_MAX).acquire_timeout(wait_max);
        Ok(Self { lines: Lines::open(pool, options), made: Arc::default() })
    }

    /// Checks that PostgreSQL answers, until the tasks are stopped. Without this, a statement waits for a frozen PostgreSQL until its
    /// timeout. That is acceptable for a rebuild, which an operator can stop.
    pub(crate) fn watch(&self, tasks: &Tasks) {
        self.lines.watch(tasks);
    }

    /// The present connections.
    pub(crate) fn line(&self) -> Line {
        self.lines.current()
    }

    /// The present connections, if the tables are of this program's version. Otherwise statements would name tables, columns and roles
    /// that don't exist yet, and PostgreSQL would log errors.
    async fn made(&self) -> Result<Line, DbError> {
        let line = self.line();
        if !self.made.load(Ordering::Relaxed) {
            if !line.carry(migrations::are_complete(&line.pool)).await? {
                return Err(DbError::NotMade("the projections of this version haven't run yet".to_owned()));
            }
            self.made.store(true, Ordering::Relaxed);
        }
        Ok(line)
    }

    /// Brings the tables to this program's version.
    pub async fn migrate(&self) -> Result<(), DbError> {
        let version: i32 =
            sqlx::query_scalar("SELECT current_setting('server_version_num')::integer").fetch_one(&self.pool()).await?;
        if version < POSTGRES_VERSION_MIN {
            return Err(DbError::Invalid(format!(
                "PostgreSQL {} is too old: {} or newer is needed",
                version / 10_000,
                POSTGRES_VERSION_MIN / 10_000
            )));
        }
        migrations::run((*self.pool().connect_options()).clone()).await
    }

    /// Closes connections cleanly: PostgreSQL logs each connection that ends within a statement.
    pub async fn close(&self) {
        let pool = self.lines.current().pool.clone();
        // The connection of a dropped transaction rolls back when it returns. A pool that is closed meanwhile doesn't wait for the answer.
        let returned = async {
            while pool.num_idle() < pool.size() as usize {
                tokio::time::sleep(CLOSE_POLL).await;
            }
            pool.close().await;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, returned).await.is_err() {
            tracing::debug!("Connections to PostgreSQL are closed before their work has ended.");
        }
    }

    /// Whether PostgreSQL answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        let line = self.line();
        line.carry(async { Ok(sqlx::query("SELECT 1").execute(&line.pool).await.map(drop)?) }).await
    }

    /// A read transaction that sees only the tenant's rows. All reads for callers use it.
    pub async fn read(&self, tenant: &TenantId) -> Result<ReadTx, DbError> {
        // A tenant id has no character that could end the text.
        self.snapshot(format!("SET LOCAL ROLE waybill_reader; SET LOCAL waybill.tenant = '{tenant}'")).await
    }

    /// A snapshot over all tenants, for process managers.
    pub(crate) async fn read_all(&self) -> Result<ReadTx, DbError> {
        self.snapshot("SET LOCAL ROLE waybill_projector".to_owned()).await
    }

    async fn snapshot(&self, setup: String) -> Result<ReadTx, DbError> {
        let line = self.made().await?;
        let statements = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {setup}");
        Ok(ReadTx(Box::new(Watched::begin(&line, statements).await?)))
    }

    /// The same for long statements.
    pub(crate) async fn read_at_length(&self) -> Result<ReadTx, DbError> {
        let mut tx = self.read_all().await?;
        work_at_length(&mut *tx.0).await?;
        Ok(tx)
    }

    /// A transaction that writes read models, with unqualified tables looked up in `schema` first. It must write rows and checkpoint
    /// together, because a crash of PostgreSQL loses the latest commits.
    pub(crate) async fn write(&self, schema: &str) -> Result<Transaction<'static, Postgres>, DbError> {
        self.begin_write(schema, "off").await
    }

    /// The same for data that can't be read from the log again: its commits survive a crash.
    pub(crate) async fn write_durably(&self) -> Result<Transaction<'static, Postgres>, DbError> {
        self.begin_write("public", "on").await
    }

    async fn begin_write(
        &self,
        schema: &str,
        synchronous_commit: &str,
    ) -> Result<Transaction<'static, Postgres>, DbError> {
        let statements = format!(
            "BEGIN; SET LOCAL ROLE waybill_projector; SET LOCAL search_path = {schema}, public; \
             SET LOCAL statement_timeout = {LONG_STATEMENT_TIMEOUT_MS}; \
             SET LOCAL synchronous_commit = {synchronous_commit}; {KEYED_PLANS}"
        );
        self.made().await?.begin(statements).await
    }

    /// Connections of the owner of the tables, who sees no rows: row-level security is forced.
    pub(crate) fn pool(&self) -> PgPool {
        self.line().pool
    }

    /// A few connections that see only one tenant's rows, for a library that takes a pool.
    pub(crate) fn reader_pool(&self, tenant: &TenantId) -> PgPool {
        let options = PgConnectOptions::clone(self.lines.connect_options())
            .options([("role", "waybill_reader"), ("waybill.tenant", tenant.as_str())]);
        pool_options(READER_CONNECTIONS_MAX).acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options)
    }

    /// Locks a name until the transaction ends. If another process has the lock, the error says which.
    pub(crate) async fn hold(&self, name: &str) -> Result<Transaction<'static, Postgres>, DbError> {
        let Some(mut held) = self.try_hold(name).await? else { return Err(DbError::Refused(self.holder(name).await?)) };
        // Operators see it in pg_stat_activity, and the error of the next process names it.
        let set = sqlx::query("SELECT set_config('application_name', $1, true)").bind(this_process(name));
        set.execute(&mut *held).await?;
        Ok(held)
    }

    /// A sentence that says who has the lock.
    async fn holder(&self, name: &str) -> Result<String, DbError> {
        let found = sqlx::query(
            "SELECT coalesce(nullif(a.application_name, ''), 'a session of PostgreSQL') AS who, a.pid,
               to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since
             FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended($1, 0)",
        );
        let Some(row) = found.bind(lock_name(name)).fetch_optional(&self.pool()).await? else {
            return Ok(format!("somebody else was {name} until now: try again"));
        };
        let (who, pid, since): (String, i32, Option<String>) =
            (row.try_get("who")?, row.try_get("pid")?, row.try_get("since")?);
        let since = since.map(|since| format!(" since {since} UTC")).unwrap_or_default();
        Ok(format!(
            "somebody else is {name} already{since}: {who} (session {pid} of PostgreSQL). \
             Wait for its end; a second one at the same time would be of no use"
        ))
    }

    /// The same; none if another process has the lock.
    pub(crate) async fn try_hold(&self, name: &str) -> Result<Option<Transaction<'static, Postgres>>, DbError> {
        let mut tx = self.made().await?.begin("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        let held: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(lock_name(name))
            .fetch_one(&mut *tx)
            .await?;
        Ok(held.then_some(tx))
    }

    /// State of every projection, as its owner stored it.
    pub(crate) async fn projections(&self) -> Result<Vec<StoredStatus>, DbError> {
        let line = self.made().await?;
        let query = sqlx::query(
            "SELECT c.name, c.version, c.position, c.incarnation_ms, c.state, c.error,
               (SELECT count(DISTINCT aggregate) FROM parked_records p WHERE p.projection = c.name) AS parked
             FROM projection_checkpoints c WHERE NOT c.retired",
        );
        let rows = line.carry(async { Ok::<_, DbError>(query.fetch_all(&line.pool).await?) }).await?;
        rows.iter()
            .map(|row| {
                Ok(StoredStatus {
                    name: row.try_get("name")?,
                    version: row.try_get("version")?,
                    position: row.try_get::<i64, _>("position")? as u64,
                    incarnation_ms: row.try_get::<i64, _>("incarnation_ms")? as u64,
                    state: row.try_get("state")?,
                    error: row.try_get("error")?,
                    parked: row.try_get::<i64, _>("parked")? as usize,
                })
            })
            .collect()
    }

    /// Creation time, in milliseconds since 1970, of the log that a read model was filled from; none before it was filled.
    pub async fn incarnation(&self, name: &str) -> Result<Option<u64>, DbError> {
        let line = self.made().await?;
        let query = sqlx::query_scalar("SELECT incarnation_ms FROM projection_checkpoints WHERE name = $1").bind(name);
        let found: Option<i64> =
            line.carry(async { Ok::<_, DbError>(query.fetch_optional(&line.pool).await?) }).await?;
        Ok(found.map(|found| found as u64))
    }

    /// Whether rows of records are still to be written although a projection has passed them.
    pub(crate) async fn has_deferred_records(&self) -> Result<bool, DbError> {
        let line = self.made().await?;
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM deferred_records)");
        line.carry(async { Ok::<_, DbError>(query.fetch_one(&line.pool).await?) }).await
    }

    /// The position of every projection over EVENTS.
    pub async fn positions(&self) -> Result<Vec<(String, u64)>, DbError> {
        let line = self.made().await?;
        let query = sqlx::query(
            "SELECT name, position FROM projection_checkpoints WHERE name <> $1 AND NOT retired ORDER BY name",
        )
        .bind(crate::PRESENCE);
        let rows = line.carry(async { Ok::<_, DbError>(query.fetch_all(&line.pool).await?) }).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? as u64))).collect()
    }
}
