//! Whether PostgreSQL answers, and what happens to work under way if it doesn't.
//!
//! A frozen or unreachable PostgreSQL closes no connection, so a statement would wait until its timeout, up to an hour. A pulse over a
//! separate connection tells an unreachable server from a long statement: if a pulse isn't answered within [`ANSWER_TIMEOUT`], all work on
//! the present connections ends as unavailable, and none of these connections is used again.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use runtime::lifecycle::Tasks;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Describe, Either, Execute, Executor, PgConnection, Postgres, Transaction};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::db_error::DbError;

/// How long PostgreSQL may take to answer a pulse.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause between two pulses.
const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// The present connections, and the signal that ends all of them.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) pool: PgPool,
    lost: CancellationToken,
}

/// The connections of a process: one [`Line`] after another.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    current: Arc<Mutex<Line>>,
    pool: PgPoolOptions,
    connect: PgConnectOptions,
}

impl Lines {
    pub(crate) fn open(pool: PgPoolOptions, connect: PgConnectOptions) -> Self {
        let current = Line::open(&pool, &connect);
        Self { current: Arc::new(Mutex::new(current)), pool, connect }
    }

    pub(crate) fn current(&self) -> Line {
        self.lock().clone()
    }

    pub(crate) fn connect_options(&self) -> &PgConnectOptions {
        &self.connect
    }

    /// Sends pulses to PostgreSQL until the tasks are stopped.
    pub(crate) fn watch(&self, tasks: &Tasks) {
        let (lines, stop) = (self.clone(), tasks.token().clone());
        tasks.spawn("PostgreSQL pulse", async move {
            let mut connection = None;
            // A stop waits for a pulse under way: PostgreSQL would log its broken connection.
            while !stop.is_cancelled() {
                lines.pulse(&mut connection).await;
                stop.run_until_cancelled(sleep(PULSE_INTERVAL)).await;
            }
            if let Some(connection) = connection {
                let _ = timeout(ANSWER_TIMEOUT, connection.close()).await;
            }
        });
    }

    async fn pulse(&self, connection: &mut Option<PgConnection>) {
        match timeout(ANSWER_TIMEOUT, self.ask(connection)).await {
            Ok(answered) => {
                // If the connection is refused, statements fail at once by themselves.
                if answered.is_err() {
                    *connection = None;
                }
                self.found();
            }
            Err(_) => {
                *connection = None;
                self.lose();
            }
        }
    }

    async fn ask(&self, connection: &mut Option<PgConnection>) -> Result<(), sqlx::Error> {
        if connection.is_none() {
            *connection = Some(PgConnection::connect_with(&self.connect).await?);
        }
        if let Some(connection) = connection {
            sqlx::query("SELECT 1").execute(connection).await?;
        }
        Ok(())
    }

    fn lose(&self) {
        let line = self.current();
        if line.lost.is_cancelled() {
            return;
        }
        tracing::warn!(
            seconds = ANSWER_TIMEOUT.as_secs(),
            "PostgreSQL doesn't answer. Its connections are dropped until it does."
        );
        // Marks the pool as closed at once, without waiting for connections that don't answer.
        drop(line.pool.close());
        line.lost.cancel();
    }

    fn found(&self) {
        let mut current = self.lock();
        if current.lost.is_cancelled() {
            tracing::info!("PostgreSQL answers again.");
            *current = Line::open(&self.pool, &self.connect);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn open(pool: &PgPoolOptions, connect: &PgConnectOptions) -> Self {
        Self { pool: pool.clone().connect_lazy_with(connect.clone()), lost: CancellationToken::new() }
    }

    /// Runs the work; fails if PostgreSQL stops answering meanwhile.
    pub(crate) async fn carry<T, E: From<DbError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        match self.lost.run_until_cancelled(work).await {
            Some(done) => done,
            None => Err(DbError::from(no_answer()).into()),
        }
    }

    /// Begins a transaction, and finishes that also when the caller is cancelled: otherwise sqlx would reuse the connection with an open
    /// transaction.
    /// `statements` are `BEGIN` and what sets the transaction up, in one round trip.
    pub(crate) async fn begin(
        &self,
        statements: impl Into<Cow<'static, str>>,
    ) -> Result<Transaction<'static, Postgres>, DbError> {
        let (line, statements) = (self.clone(), statements.into());
        let begin =
            async move { line.carry(async { Ok::<_, DbError>(line.pool.begin_with(statements).await?) }).await };
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded by the pool's time-out and one round trip; nobody owns it longer"
        )]
        let begun = tokio::spawn(begin).await;
        begun.unwrap_or_else(|error| Err(DbError::Unavailable(error.to_string())))
    }
}

fn no_answer() -> sqlx::Error {
    let seconds = ANSWER_TIMEOUT.as_secs();
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer for {seconds} s")))
}

/// A transaction whose statements fail when PostgreSQL doesn't answer.
#[derive(Debug)]
pub(crate) struct Watched {
    tx: Transaction<'static, Postgres>,
    lost: CancellationToken,
}

impl Watched {
    pub(crate) async fn begin(line: &Line, statements: String) -> Result<Self, DbError> {
        Ok(Self { tx: line.begin(statements).await?, lost: line.lost.clone() })
    }
}

impl<'c> Executor<'c> for &'c mut Watched {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let mut lost = Box::pin(self.lost.clone().cancelled_owned());
        let mut rows = (&mut *self.tx).fetch_many(query);
        let next = move |context: &mut std::task::Context<'_>| match rows.poll_next_unpin(context) {
            std::task::Poll::Pending => lost.as_mut().poll(context).map(|()| Some(Err(no_answer()))),
            ready => ready,
        };
        stream::poll_fn(next).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(within(&self.lost, (&mut *self.tx).fetch_optional(query)))
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement<'q>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(within(&self.lost, (&mut *self.tx).prepare_with(sql, parameters)))
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(within(&self.lost, (&mut *self.tx).describe(sql)))
    }
}

async fn within<T>(
    lost: &CancellationToken,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    lost.run_until_cancelled(work).await.unwrap_or_else(|| Err(no_answer()))
}
