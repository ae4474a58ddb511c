//! The highest rates of the log and PostgreSQL with the same records, without decoding them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use event_store::{Delivery, Log};
use futures::StreamExt;
use sqlx::{Connection, Executor, PgConnection};

use crate::report::per_second;

/// Records of one transaction: as many as the projections' largest batch.
const BATCH_RECORDS: usize = 2_000;
/// From this many records on, one pass takes long enough.
const RECORDS_ENOUGH: u64 = 50_000;
const PASSES_MAX: u64 = 5;

/// How fast records can be read, and how fast they can be stored.
pub(crate) struct Ceilings {
    pub(crate) subscription: f64,
    pub(crate) bare_table: f64,
}

impl Ceilings {
    /// Over the records after `from` up to `head`: the best of several passes if there are few records.
    pub(crate) async fn measure(log: &Arc<dyn Log>, from: u64, head: u64, database_url: &str) -> Result<Self> {
        let mut best = Self { subscription: 0.0, bare_table: 0.0 };
        for pass in 1..=PASSES_MAX {
            let now = Self::pass(log, from, head, database_url).await?;
            best.subscription = best.subscription.max(now.subscription);
            best.bare_table = best.bare_table.max(now.bare_table);
            if pass * (head - from) >= RECORDS_ENOUGH {
                break;
            }
        }
        Ok(best)
    }

    async fn pass(log: &Arc<dyn Log>, from: u64, head: u64, database_url: &str) -> Result<Self> {
        let mut source = log.subscribe(from + 1);
        let mut postgres = PgConnection::connect(database_url).await?;
        postgres
            .execute("DROP TABLE IF EXISTS bench_records; CREATE TABLE bench_records (position bigint PRIMARY KEY, body bytea NOT NULL)")
            .await?;
        let (mut reading, mut writing) = (Duration::ZERO, Duration::ZERO);
        let (mut positions, mut bodies) = (Vec::new(), Vec::new());
        let (mut records, mut reached) = (0, from);
        while reached < head {
            let began = Instant::now();
            while reached < head && bodies.len() < BATCH_RECORDS {
                let Some(delivery) = source.next().await else { break };
                match delivery? {
                    Delivery::Record(record) => {
                        reached = record.position;
                        positions.push(record.position as i64);
                        bodies.push(record.body.to_vec());
                    }
                    Delivery::CaughtUp { position } => reached = reached.max(position),
                }
            }
            reading += began.elapsed();
            let began = Instant::now();
            sqlx::query("INSERT INTO bench_records SELECT * FROM UNNEST($1::bigint[], $2::bytea[])")
                .bind(&positions)
                .bind(&bodies)
                .execute(&mut postgres)
                .await?;
            writing += began.elapsed();
            records += bodies.len();
            positions.clear();
            bodies.clear();
        }
        postgres.execute("DROP TABLE bench_records").await?;
        Ok(Self { subscription: per_second(records, reading), bare_table: per_second(records, writing) })
    }
}
