//! The way of a report: MQTT into the log, the log into read models, the read models into REST.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer};
use domain::device::{Device, DeviceCommand};
use domain::{Actor, CommandId, DeviceId, Key, TenantId};
use event_store::{Delivery, Request, clock};
use futures::{StreamExt, TryStreamExt};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use waybill::api_client::ApiClient;
use waybill::stack::{NatsOptions, NatsServer, Spawner, Tools, free_port};
use waybill::up::{self, Running};

use crate::report::{per_second, percentile, ratio};

const TENANT: &str = "default";
/// So many that none of them says more than a device is listened to.
const DEVICES: usize = 4_000;
/// MQTT connections that publish; each speaks for its share of the devices.
const CONNECTIONS: usize = 8;
const LATENCY_SAMPLES: usize = 300;
const TIMEOUT: Duration = Duration::from_secs(120);
const IN_FLIGHT: usize = 256;
const BATCH_RECORDS: usize = 2_000;

/// Runs the scenario on a whole Waybill of its own.
pub(crate) async fn run(tools: &Tools, count: usize) -> Result<()> {
    let data_dir = std::env::temp_dir().join(format!("waybill-bench-pipeline-{}", std::process::id()));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let http_listen = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let args = up::Args { http_listen, mqtt_listen: any, nats_listen: any, data_dir: data_dir.clone() };
    std::fs::create_dir_all(&data_dir)?;
    let running = up::start(&args, &[]).await?;
    let api = ApiClient::sign_in(&format!("http://{}", running.serving.http), TENANT, &["admin"]).await?;
    let devices: Vec<Value> =
        (0..DEVICES).map(|n| json!({"device_id": format!("d-{n}"), "device_model": "SF-2024-Pro"})).collect();
    api.post("/devices/bulk", &Value::Array(devices)).await?;
    into_read_models(&running, count).await?;
    mqtt_to_log(tools, &running, count).await?;
    report_to_rest(&running, &api).await?;
    running.stop().await;
    std::fs::remove_dir_all(data_dir).ok();
    Ok(())
}

/// Stores events, then waits until every read model stands for all of them; a bare subscription is the ceiling.
async fn into_read_models(running: &Running, count: usize) -> Result<()> {
    let (store, log) = (&running.serving.store, running.serving.store.log());
    let from = log.info().await?.last_sequence;
    let started = Instant::now();
    let tenant = TenantId::new(TENANT)?;
    let commands = (0..count).map(|n| {
        let tenant = &tenant;
        async move {
            let key = Key::<Device>::new(tenant, &DeviceId::new(format!("d-{}", n % DEVICES))?);
            let hold = (n / DEVICES).is_multiple_of(2);
            let wish = if hold { DeviceCommand::Hold { until: None } } else { DeviceCommand::Release };
            store.execute(&key, Request::new(CommandId(clock::new_id()), Actor::new("bench")?, wish)).await?;
            anyhow::Ok(())
        }
    });
    futures::stream::iter(commands).buffer_unordered(IN_FLIGHT).try_for_each(|()| async { Ok(()) }).await?;
    let head = log.info().await?.last_sequence;
    let all = [projections::FLEET, projections::ARCHIVE];
    running.serving.projections.wait_for(&all, head, TIMEOUT).await?;
    let rate = per_second((head - from) as usize, started.elapsed());
    let started = Instant::now();
    let mut source = log.subscribe(from + 1);
    let mut bodies = Vec::new();
    while let Some(delivery) = source.next().await {
        let position = match delivery? {
            Delivery::Record(record) => {
                bodies.push(record.body.to_vec());
                record.position
            }
            Delivery::CaughtUp { position } => position,
        };
        if position >= head {
            break;
        }
    }
    let what = "events into all seven read models";
    let ceiling = per_second((head - from) as usize, started.elapsed());
    ratio(what, rate, "a bare subscription", ceiling, "PostgreSQL: seven models, rows read and written in each");
    let ceiling = into_one_table(running, &bodies).await?;
    ratio(what, rate, "the same bytes into one bare table", ceiling, "the same");
    Ok(())
}

/// Records per second that PostgreSQL takes into a table without any meaning, in transactions as large as the projections' largest.
async fn into_one_table(running: &Running, bodies: &[Vec<u8>]) -> Result<f64> {
    let mut postgres = PgConnection::connect(&running.stack.postgres.url()).await?;
    postgres.execute("CREATE TABLE bench_records (position bigint PRIMARY KEY, body bytea NOT NULL)").await?;
    let started = Instant::now();
    let mut last = 0;
    for batch in bodies.chunks(BATCH_RECORDS) {
        let positions: Vec<i64> = (last..last + batch.len() as i64).collect();
        last += batch.len() as i64;
        sqlx::query("INSERT INTO bench_records SELECT * FROM UNNEST($1::bigint[], $2::bytea[])")
            .bind(positions)
            .bind(batch)
            .execute(&mut postgres)
            .await?;
    }
    Ok(per_second(bodies.len(), started.elapsed()))
}

/// Publishes presence with new boots: each message becomes an event. The ceiling are the same clients on a nats-server of their own, with
/// a consumer that only counts.
async fn mqtt_to_log(tools: &Tools, running: &Running, count: usize) -> Result<()> {
    let from = running.serving.store.log().info().await?.last_sequence;
    let started = Instant::now();
    let publishing = publish_all(running.stack.nats.mqtt_listen(), count);
    let wanted = (count / CONNECTIONS * CONNECTIONS) as u64;
    let storing = async {
        loop {
            let stored = running.serving.store.log().info().await?.last_sequence - from;
            if stored >= wanted {
                return anyhow::Ok(started.elapsed());
            }
            ensure!(started.elapsed() < TIMEOUT, "only {stored} of {wanted} reports are stored");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (_, elapsed) = tokio::try_join!(publishing, storing)?;
    let rate = per_second(wanted as usize, elapsed);
    let ceiling = bare_consumer(tools, count).await?;
    ratio(
        "MQTT reports into the log",
        rate,
        "the same clients and a bare consumer",
        ceiling,
        "one event a report beside publishers and server on the same cores",
    );
    Ok(())
}

/// Reports per second that a consumer gets which does nothing with them, from a nats-server of its own.
async fn bare_consumer(tools: &Tools, count: usize) -> Result<f64> {
    let directory = std::env::temp_dir().join(format!("waybill-bench-bare-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let mut nats = NatsServer::start(tools, &Spawner::start(), &directory, NatsOptions::default()).await?;
    // The first client makes the streams of the MQTT listener.
    let (_client, mut events) = connect(nats.mqtt_listen(), "bench-first");
    while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
    let devices = waybill::serve::connect(&nats.devices_url(), "bench-devices").await?;
    let stream = jetstream::new(devices).get_stream("$MQTT_msgs").await?;
    let config = consumer::pull::Config {
        filter_subject: "$MQTT.msgs.*.devices.*.status".to_owned(),
        ack_policy: consumer::AckPolicy::None,
        ..consumer::pull::Config::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    let wanted = count / CONNECTIONS * CONNECTIONS;
    let started = Instant::now();
    let counting = async {
        for _ in 0..wanted {
            tokio::time::timeout(TIMEOUT, messages.next()).await?.context("the bare consumer ended")??;
        }
        anyhow::Ok(started.elapsed())
    };
    let (_, elapsed) = tokio::try_join!(publish_all(nats.mqtt_listen(), count), counting)?;
    nats.terminate().await;
    std::fs::remove_dir_all(directory).ok();
    Ok(per_second(wanted, elapsed))
}

async fn publish_all(mqtt: SocketAddr, count: usize) -> Result<()> {
    let publishers = (0..CONNECTIONS).map(|connection| publish(mqtt, connection, count / CONNECTIONS));
    futures::future::try_join_all(publishers).await.map(drop)
}

async fn publish(mqtt: SocketAddr, connection: usize, count: usize) -> Result<()> {
    let (client, mut events) = connect(mqtt, &format!("bench-{connection}"));
    let mut sent = 0;
    let mut acknowledged = 0;
    while acknowledged < count {
        while sent < count && sent - acknowledged < 100 {
            let device = (sent * CONNECTIONS + connection) % DEVICES;
            let status = json!({"status": "online", "session": format!("s-{device}"), "boot_id": format!("b-{connection}-{sent}"), "firmware_version": "1.0.0"});
            let topic = format!("{TENANT}/devices/d-{device}/status");
            client.try_publish(topic, status.to_string(), PublishOptions::new(QoS::AtLeastOnce))?;
            sent += 1;
        }
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await? {
            acknowledged += 1;
        }
    }
    Ok(())
}

fn connect(mqtt: SocketAddr, id: &str) -> (AsyncClient, rumqttc::EventLoop) {
    let options = MqttOptions::new(id, (mqtt.ip().to_string(), mqtt.port()));
    AsyncClient::builder(options).capacity(256).build()
}

/// From publishing a report to seeing it in a reply of the API.
async fn report_to_rest(running: &Running, api: &ApiClient) -> Result<()> {
    let (client, mut events) = connect(running.stack.nats.mqtt_listen(), "bench-latency");
    let driver = event_store::lifecycle::Tasks::new();
    driver.spawn("mqtt driver", async move { while events.poll().await.is_ok() {} });
    let mut samples = Vec::with_capacity(LATENCY_SAMPLES);
    let mut reads = Vec::with_capacity(LATENCY_SAMPLES);
    for n in 0..LATENCY_SAMPLES {
        let device = n % DEVICES;
        let version = format!("3.0.{n}");
        let status =
            json!({"status": "online", "session": "s", "boot_id": format!("l-{n}"), "firmware_version": version});
        let started = Instant::now();
        let topic = format!("{TENANT}/devices/d-{device}/status");
        client.publish(topic, status.to_string(), PublishOptions::new(QoS::AtLeastOnce)).await?;
        loop {
            let asked = Instant::now();
            let seen = api.get(&format!("/devices/d-{device}")).await?;
            reads.push(asked.elapsed());
            if seen["firmware_version"] == version.as_str() {
                break;
            }
            ensure!(started.elapsed() < TIMEOUT, "report {n} never became visible");
        }
        samples.push(started.elapsed());
    }
    samples.sort();
    reads.sort();
    println!(
        "MQTT report to visible in REST                p50 {:?}  p99 {:?}   floor: one read p50 {:?}",
        percentile(&samples, 50.0),
        percentile(&samples, 99.0),
        percentile(&reads, 50.0)
    );
    Ok(())
}
