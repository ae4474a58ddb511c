//! The path of a report: MQTT into the log at the highest rate; then, at half that rate, from the report to a reply of the API.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer};
use event_store::Log;
use futures::StreamExt;
use rumqttc::{Event, Packet};
use runtime::lifecycle::Tasks;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::serve::SHUTDOWN_TIMEOUT;
use waybill::stack::{NatsOptions, NatsServer, Spawner, Tools};

use crate::fleet::MODEL;
use crate::mqtt::{CONNECTIONS, DEVICES, connect, device_name, publish_all, report as publish_report, start_load};
use crate::report::{Measurement, Report, per_second, percentile};
use crate::service::Service;
use crate::world::World;

/// Pause between two polls of the API for a report.
const LOOK_PAUSE: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(120);
const STORED_POLL: Duration = Duration::from_millis(5);
/// How long the load runs before the first sample.
const WARM_UP: Duration = Duration::from_secs(1);

/// `count` reports at the highest rate; then `samples` timed reports, each of a device that sends nothing else.
pub(crate) async fn run(tools: &Tools, count: usize, samples: usize, report: &mut Report) -> Result<()> {
    println!("MQTT reports, {count} of them");
    let world = World::start(tools, "load").await?;
    let service = Service::start(&world).await?;
    let named = (0..DEVICES).map(device_name).chain((0..samples).map(sampled));
    let devices: Vec<Value> = named.map(|id| json!({"device_id": id, "device_model": MODEL})).collect();
    service.api.post("/devices/bulk", &Value::Array(devices)).await?;
    let rate = highest_rate(tools, &world, &service, count, report).await?;
    half_load(&world, &service, rate / 2.0, samples, report).await?;
    service.stop().await;
    world.stop().await;
    Ok(())
}

fn sampled(n: usize) -> String {
    format!("sample-{n}")
}

/// Each message becomes an event. The ceiling: the same clients on a separate nats-server, with a consumer that only counts.
async fn highest_rate(
    tools: &Tools,
    world: &World,
    service: &Service,
    count: usize,
    report: &mut Report,
) -> Result<f64> {
    let tasks = Tasks::new();
    let log = world.log(&tasks).await?;
    let from = log.info().await?.last_sequence;
    let watched = service.watched(world);
    let (began, before) = (Instant::now(), watched.cpu());
    let published = publish_all(world.stack.nats.mqtt_listen(), count).await?;
    stored(&*log, from + published as u64).await?;
    let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
    let ceiling = bare_consumer(tools, count).await?;
    report.add(
        Measurement::rate("load.mqtt_to_log", published, elapsed, "reports/s")
            .cpu(&used, published)
            .memory(watched.memory_mib())
            .ceiling("the same clients and a bare consumer", ceiling)
            .limited_by("one event a report beside publishers and server on the same cores"),
    );
    tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    Ok(per_second(published, elapsed))
}

async fn stored(log: &dyn Log, wanted: u64) -> Result<()> {
    let began = Instant::now();
    loop {
        let head = log.info().await?.last_sequence;
        if head >= wanted {
            return Ok(());
        }
        ensure!(began.elapsed() < TIMEOUT, "the log has {head} of {wanted} records");
        tokio::time::sleep(STORED_POLL).await;
    }
}

/// Reports per second that a consumer receives if it does nothing with them, from a separate nats-server.
async fn bare_consumer(tools: &Tools, count: usize) -> Result<f64> {
    let directory = std::env::temp_dir().join(format!("waybill-bench-bare-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let mut nats = NatsServer::start(tools, &Spawner::start(), &directory, NatsOptions::default()).await?;
    let tasks = Tasks::new();
    nats.admit_anonymous_devices(&tasks).await?;
    // The first client creates the streams of the MQTT listener.
    let (_client, mut events) = connect(nats.mqtt_listen(), "bench-first");
    while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
    let devices = waybill::nats::connect(&nats.devices_url(), "bench-devices").await?;
    let stream = jetstream::new(devices).get_stream("$MQTT_msgs").await?;
    let config = consumer::pull::Config {
        // The bridge's user may make named consumers only.
        name: Some("bare".to_owned()),
        filter_subject: "$MQTT.msgs.*.devices.*.status".to_owned(),
        ack_policy: consumer::AckPolicy::None,
        ..consumer::pull::Config::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    let began = Instant::now();
    let published = publish_all(nats.mqtt_listen(), count);
    let counting = async {
        for _ in 0..count / CONNECTIONS * CONNECTIONS {
            tokio::time::timeout(TIMEOUT, messages.next()).await?.context("the bare consumer ended")??;
        }
        anyhow::Ok(began.elapsed())
    };
    let (published, elapsed) = tokio::try_join!(published, counting)?;
    tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    nats.terminate().await;
    std::fs::remove_dir_all(directory).ok();
    Ok(per_second(published, elapsed))
}

/// Times of single reports and of reads, while other devices report at a steady rate.
async fn half_load(world: &World, service: &Service, rate: f64, samples: usize, report: &mut Report) -> Result<()> {
    let (mqtt, tasks) = (world.stack.nats.mqtt_listen(), Tasks::new());
    start_load(&tasks, mqtt, rate);
    tokio::time::sleep(WARM_UP).await;
    let watched = service.watched(world);
    let (began, before) = (Instant::now(), watched.cpu());
    let times = sample(world, &service.api, samples).await?;
    let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
    tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    let reports = (rate * elapsed.as_secs_f64()) as usize;
    report.add(Measurement::new("load.half_rate", rate, "reports/s").cpu(&used, reports));
    let (median, floor) = (percentile(&times.reports, 50.0), percentile(&times.reads, 50.0));
    report.add(Measurement::time("load.report_to_rest.p50", median).floor("one read, p50", floor));
    report.add(Measurement::time("load.report_to_rest.p99", percentile(&times.reports, 99.0)));
    for percent in [50.0, 95.0, 99.0] {
        report.add(Measurement::time(format!("load.read_of_device.p{percent}"), percentile(&times.reads, percent)));
    }
    Ok(())
}

/// Sorted.
struct Times {
    reports: Vec<Duration>,
    reads: Vec<Duration>,
}

/// From the publication of a report to its appearance in a reply of the API.
async fn sample(world: &World, api: &ApiClient, samples: usize) -> Result<Times> {
    let (client, mut events) = connect(world.stack.nats.mqtt_listen(), "bench-latency");
    let driver = Tasks::new();
    driver.spawn("mqtt driver", async move { while events.poll().await.is_ok() {} });
    let mut times = Times { reports: Vec::with_capacity(samples), reads: Vec::with_capacity(samples) };
    for n in 0..samples {
        let (device, version) = (sampled(n), format!("3.0.{n}"));
        let began = Instant::now();
        publish_report(&client, &device, "b-1", &version)?;
        loop {
            let asked = Instant::now();
            let seen = api.get(&format!("/devices/{device}")).await?;
            times.reads.push(asked.elapsed());
            if seen["firmware_version"] == version.as_str() {
                break;
            }
            ensure!(began.elapsed() < TIMEOUT, "report {n} never became visible");
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        times.reports.push(began.elapsed());
    }
    times.reports.sort();
    times.reads.sort();
    Ok(times)
}
