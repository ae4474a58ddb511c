//! The path of an uplink: webhooks into the read model at the highest rate; then, at half that rate, from the webhook to a reply of the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::{Client, StatusCode};
use runtime::lifecycle::Tasks;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::time::{MissedTickBehavior, interval};
use waybill::serve::SHUTDOWN_TIMEOUT;
use waybill::stack::Tools;

use crate::fleet::{MODEL, TENANT};
use crate::report::{Measurement, Report, per_second, percentile};
use crate::service::Service;
use crate::world::World;

/// Devices that send, in turn.
const DEVICES: usize = 500;
/// Webhooks under way at the same time.
const IN_FLIGHT: usize = 32;
/// Pause before a webhook that was refused is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Pause between two looks at the read model, or at the API.
const LOOK_PAUSE: Duration = Duration::from_millis(2);
/// Pause between two portions of a steady load.
const PORTION: Duration = Duration::from_millis(10);
/// How long the load runs before the first sample.
const WARM_UP: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(120);

/// Sends uplinks of the fleet to a Waybill.
#[derive(Clone)]
struct Sender {
    http: Client,
    url: String,
}

/// `count` uplinks at the highest rate; then `samples` timed ones, each of a device that sends nothing else.
pub(crate) async fn run(tools: &Tools, count: usize, samples: usize, report: &mut Report) -> Result<()> {
    println!("uplinks by webhook, {count} of them");
    let world = World::start(tools, "webhooks").await?;
    let service = Service::start(&world).await?;
    let devices: Vec<Value> = (0..DEVICES + samples)
        .map(|n| json!({"device_id": name(n), "device_model": MODEL, "lorawan_dev_eui": eui(n)}))
        .collect();
    service.api.post("/devices/bulk", &Value::Array(devices)).await?;
    service.caught_up(TIMEOUT).await?;
    let url = format!("{}/api/v1/lorawan/webhooks/{TENANT}?event=up", service.api.base());
    let sender = Sender { http: Client::builder().pool_max_idle_per_host(IN_FLIGHT).build()?, url };
    let rate = highest_rate(&world, &service, &sender, count, report).await?;
    half_load(&service, &sender, rate / 2.0, count / DEVICES + 1, samples, report).await?;
    service.stop().await;
    world.stop().await;
    Ok(())
}

fn name(n: usize) -> String {
    format!("lora-{n}")
}

fn eui(n: usize) -> String {
    format!("70b3d5{n:010x}")
}

/// An uplink as ChirpStack 4 sends it.
fn uplink(n: usize, f_cnt: usize) -> Value {
    json!({
        "deduplicationId": format!("00000000-0000-4000-8000-{n:04x}{f_cnt:08x}"), "time": "2026-11-21T03:39:50.977+00:00",
        "deviceInfo": {"applicationId": "fe0631ba-f18b-42ef-99f5-c9a37521a4b8", "devEui": eui(n), "deviceClassEnabled": "CLASS_A"},
        "devAddr": "00112233", "adr": true, "dr": 5, "fCnt": f_cnt, "fPort": 10, "confirmed": false, "data": "Kgc=",
        "object": {"temperature": 22.5, "battery_level": 85},
        "rxInfo": [{"gatewayId": "0016c001f153a14c", "rssi": -57, "snr": 9.5}],
    })
}

impl Sender {
    /// Sends an uplink until it is stored.
    async fn deliver(&self, n: usize, f_cnt: usize) -> Result<()> {
        let (body, began) = (uplink(n, f_cnt), Instant::now());
        loop {
            let status = self.http.post(&self.url).json(&body).send().await?.status();
            if status == StatusCode::OK {
                return Ok(());
            }
            ensure!(began.elapsed() < TIMEOUT, "an uplink is still refused: {status}");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// The ceiling: as many requests that do nothing, by the same client.
async fn highest_rate(
    world: &World,
    service: &Service,
    sender: &Sender,
    count: usize,
    report: &mut Report,
) -> Result<f64> {
    let rounds = (count / DEVICES).max(1);
    let sent = rounds * DEVICES;
    let watched = service.watched(world);
    let (began, before) = (Instant::now(), watched.cpu());
    stream::iter(0..sent)
        .map(|number| sender.deliver(number % DEVICES, number / DEVICES))
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    let stored = began.elapsed();
    until_shown(world, rounds - 1).await?;
    let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
    let health = format!("{}/health", service.api.base());
    let began = Instant::now();
    stream::iter(0..sent)
        .map(|_| async { anyhow::Ok(sender.http.get(&health).send().await?.error_for_status()?.bytes().await?) })
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let ceiling = per_second(sent, began.elapsed());
    report.add(Measurement::rate("webhooks.stored", sent, stored, "uplinks/s"));
    report.add(
        Measurement::rate("webhooks.to_read_model", sent, elapsed, "uplinks/s")
            .cpu(&used, sent)
            .memory(watched.memory_mib())
            .ceiling("/health", ceiling)
            .limited_by(
                "the handling of each uplink by the bridge, beside API, projections and servers on the same cores",
            ),
    );
    Ok(per_second(sent, elapsed))
}

/// Waits until the latest uplink of each device is in the read model.
async fn until_shown(world: &World, f_cnt: usize) -> Result<()> {
    let mut postgres = PgConnection::connect(&world.stack.postgres.url()).await?;
    let began = Instant::now();
    loop {
        let shown: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM telemetry_latest WHERE (readings->'lorawan'->'value'->>'f_cnt')::bigint >= $1",
        )
        .bind(i64::try_from(f_cnt)?)
        .fetch_one(&mut postgres)
        .await?;
        if shown >= DEVICES as i64 {
            return Ok(());
        }
        ensure!(began.elapsed() < TIMEOUT, "the read model has the last uplink of {shown} of {DEVICES} devices");
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Times of single uplinks, while the other devices send at a steady rate.
async fn half_load(
    service: &Service,
    sender: &Sender,
    rate: f64,
    first: usize,
    samples: usize,
    report: &mut Report,
) -> Result<()> {
    let tasks = Tasks::new();
    let sent = Arc::new(AtomicUsize::new(0));
    let (steady, counted, stop) = (sender.clone(), Arc::clone(&sent), tasks.token().clone());
    tasks.spawn("steady load", async move {
        stop.run_until_cancelled(send_steadily(&steady, rate, first, &counted)).await;
    });
    tokio::time::sleep(WARM_UP).await;
    let began = (Instant::now(), sent.load(Ordering::Relaxed));
    let mut times = Vec::with_capacity(samples);
    for sample in 0..samples {
        let path = format!("/devices/{}/telemetry?limit=1", name(DEVICES + sample));
        let begun = Instant::now();
        sender.deliver(DEVICES + sample, 0).await?;
        while service.api.get(&path).await?["latest"]["lorawan"].is_null() {
            ensure!(begun.elapsed() < TIMEOUT, "uplink {sample} never became visible");
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        times.push(begun.elapsed());
    }
    let load = per_second(sent.load(Ordering::Relaxed) - began.1, began.0.elapsed());
    tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    times.sort_unstable();
    report.add(Measurement::new("webhooks.half_rate", load, "uplinks/s"));
    for percent in [50.0, 99.0] {
        report.add(Measurement::time(format!("webhooks.uplink_to_rest.p{percent}"), percentile(&times, percent)));
    }
    Ok(())
}

/// Sends uplinks at a rate per second, until it is dropped. What the service doesn't take in time is left out.
async fn send_steadily(sender: &Sender, rate: f64, first: usize, sent: &AtomicUsize) {
    let mut ticks = interval(PORTION);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let due = stream::unfold((ticks, 0, 0.0_f64), |(mut ticks, mut number, mut due)| async move {
        while number as f64 >= due {
            ticks.tick().await;
            due += rate * PORTION.as_secs_f64();
        }
        number += 1;
        Some((number - 1, (ticks, number, due)))
    });
    due.for_each_concurrent(IN_FLIGHT, |number: usize| async move {
        if sender.deliver(number % DEVICES, first + number / DEVICES).await.context("an uplink").is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
}
