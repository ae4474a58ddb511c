//! Single devices over many connections, beside a prepared SELECT by primary key through a pool of the same size.

use std::future::Future;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};

use crate::fleet::device_id;
use crate::report::{Measurement, Report, per_second};
use crate::service::Service;
use crate::world::World;

/// Connections to the API, and to PostgreSQL for the ceiling.
const CONNECTIONS: u32 = 32;
/// Most reads of each kind, and most reads of each device.
const READS_MAX: usize = 20_000;
const READS_PER_DEVICE: usize = 2;
/// A prime step visits all devices in an order that looks random.
const STRIDE: usize = 7_919;

pub(crate) async fn run(world: &World, service: &Service, devices: usize, report: &mut Report) -> Result<()> {
    let reads = READS_MAX.min(devices * READS_PER_DEVICE);
    let bare = bare_selects(world, devices, reads).await?;
    let http = reqwest::Client::builder().pool_max_idle_per_host(CONNECTIONS as usize).build()?;
    let health = rate(reads, |_| async {
        let reply = http.get(format!("{}/health", service.api.base())).send().await?;
        reply.error_for_status()?.bytes().await?;
        Ok(())
    })
    .await?;
    let watched = service.watched(world);
    let before = watched.cpu();
    let read = rate(reads, |n| {
        let (http, api) = (&http, &service.api);
        async move {
            let url = format!("{}/api/v1/devices/{}", api.base(), device_id(n * STRIDE % devices)?);
            let reply = http.get(url).bearer_auth(api.token()).send().await?.error_for_status()?;
            ensure!(!reply.bytes().await?.is_empty(), "an empty reply");
            Ok(())
        }
    })
    .await?;
    let used = watched.cpu().since(&before);
    report.add(
        Measurement::new("queries.device_32_connections", read, "requests/s")
            .devices(devices)
            .cpu(&used, reads)
            .ceiling("a bare prepared SELECT by primary key", bare)
            .ceiling("/health", health)
            .limited_by("HTTP on the processors that the client uses, too"),
    );
    Ok(())
}

/// Rows per second with one row a statement, with bodies about as large as a device's.
async fn bare_selects(world: &World, devices: usize, reads: usize) -> Result<f64> {
    let pool = PgPoolOptions::new()
        .min_connections(CONNECTIONS)
        .max_connections(CONNECTIONS)
        .connect(&world.stack.postgres.url())
        .await?;
    pool.execute(
        "DROP TABLE IF EXISTS bench_devices; CREATE TABLE bench_devices (id bigint PRIMARY KEY, body text NOT NULL)",
    )
    .await?;
    sqlx::query("INSERT INTO bench_devices SELECT id, repeat('x', 600) FROM generate_series(0, $1 - 1) id")
        .bind(devices as i64)
        .execute(&pool)
        .await?;
    pool.execute("VACUUM ANALYZE bench_devices").await?;
    let selects = rate(reads, |n| select(&pool, (n * STRIDE % devices) as i64)).await?;
    pool.execute("DROP TABLE bench_devices").await?;
    pool.close().await;
    Ok(selects)
}

async fn select(pool: &PgPool, id: i64) -> Result<()> {
    let body: Option<String> =
        sqlx::query_scalar("SELECT body FROM bench_devices WHERE id = $1").bind(id).fetch_optional(pool).await?;
    body.map(drop).context("a row is missing")
}

/// Runs something many times, once per connection at the same time; returns the rate per second.
async fn rate<Fut: Future<Output = Result<()>>>(count: usize, each: impl Fn(usize) -> Fut) -> Result<f64> {
    let began = Instant::now();
    futures::stream::iter((0..count).map(each))
        .buffer_unordered(CONNECTIONS as usize)
        .try_for_each(|()| async { Ok(()) })
        .await?;
    Ok(per_second(count, began.elapsed()))
}
