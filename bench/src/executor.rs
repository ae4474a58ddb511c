//! Commands through the executor (load, decide, append) against raw publishes to the same stream with the same expectation and payload.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use domain::device::{Device, DeviceCommand, Profile};
use domain::{Actor, CommandId, DeviceId, Key, TenantId};
use event_store::{EventStore, JetStreamLog, Log, Request, streams};
use futures::{StreamExt, TryStreamExt};
use runtime::clock;
use runtime::lifecycle::Tasks;
use waybill::stack::{NatsOptions, NatsServer, Spawner, Tools};

use crate::report::{Measurement, Report, per_second};

/// Aggregates that the commands go to in turn: all fit the cache.
const DEVICES: usize = 2_000;
const IN_FLIGHT: [usize; 2] = [1, 256];
/// At one in flight a smaller share of the count is enough.
const SEQUENTIAL_SHARE: usize = 5;

/// Runs the scenario on a nats-server of its own.
pub(crate) async fn run(tools: &Tools, count: usize, report: &mut Report) -> Result<()> {
    let directory = std::env::temp_dir().join(format!("waybill-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let server = NatsServer::start(tools, &Spawner::start(), &directory, NatsOptions::default()).await?;
    let client = waybill::nats::connect(&server.waybill_url(), "bench").await?;
    streams::ensure(&client, 1, streams::Missing::Create).await?;
    let log: Arc<dyn Log> = Arc::new(JetStreamLog::connect(client.clone(), &Tasks::new()).await?);
    let store = EventStore::new(log.clone());
    let keys = Arc::new(register(&store).await?);
    let payload = log.read(keys[0].raw(), 1, 1).await?.pop().context("the sample record is missing")?.body;
    for in_flight in IN_FLIGHT {
        let count = if in_flight == 1 { count / SEQUENTIAL_SHARE } else { count };
        let raw = raw_publishes(&client, &payload, count, in_flight).await?;
        let executed = commands(&store, &keys, count, in_flight).await?;
        let limit = if in_flight == 1 { "the round trip to nats-server" } else { "one core of nats-server" };
        let measurement = Measurement::new(format!("executor.{in_flight}_in_flight"), executed, "commands/s");
        report.add(measurement.ceiling("raw publishes with expectation", raw).limited_by(limit));
    }
    drop(server);
    std::fs::remove_dir_all(directory).ok();
    Ok(())
}

async fn register(store: &EventStore) -> Result<Vec<Key<Device>>> {
    let tenant = TenantId::new("bench")?;
    let keys: Vec<Key<Device>> =
        (0..DEVICES).map(|n| Ok(Key::new(&tenant, &DeviceId::new(format!("d-{n}"))?))).collect::<Result<_>>()?;
    let profile = Profile { device_model: Some("SF-2024-Pro".to_owned()), ..Profile::default() };
    for key in &keys {
        let command = DeviceCommand::Register { profile: profile.clone(), versions: [].into() };
        store.execute(key, request(command)?).await?;
    }
    Ok(keys)
}

fn request(command: DeviceCommand) -> Result<Request<DeviceCommand>> {
    Ok(Request::new(CommandId(clock::new_id()), Actor::new("bench")?, command))
}

async fn raw_publishes(client: &async_nats::Client, payload: &Bytes, count: usize, in_flight: usize) -> Result<f64> {
    let context = jetstream::new(client.clone());
    let run = clock::new_id();
    measure(count, in_flight, |n| {
        let (context, payload) = (context.clone(), payload.clone());
        async move {
            let publish = PublishMessage::build()
                .payload(payload)
                .expected_last_subject_sequence(0)
                .expected_stream(streams::EVENTS);
            context.send_publish(format!("ev.0.raw.device.{run}-{n}"), publish).await?.await?;
            Ok(())
        }
    })
    .await
}

/// Holds and releases devices in turn: each command stores one event.
async fn commands(store: &EventStore, keys: &Arc<Vec<Key<Device>>>, count: usize, in_flight: usize) -> Result<f64> {
    measure(count, in_flight, |n| {
        let (store, keys) = (store.clone(), keys.clone());
        async move {
            let hold = (n / DEVICES).is_multiple_of(2);
            let command = if hold { DeviceCommand::Hold { until: None } } else { DeviceCommand::Release };
            store.execute(&keys[n % DEVICES], request(command)?).await?;
            Ok(())
        }
    })
    .await
}

/// Runs a task `count` times; returns the rate per second.
async fn measure<F, Fut>(count: usize, in_flight: usize, task: F) -> Result<f64>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let started = Instant::now();
    futures::stream::iter((0..count).map(task)).buffer_unordered(in_flight).try_for_each(|()| async { Ok(()) }).await?;
    Ok(per_second(count, started.elapsed()))
}
