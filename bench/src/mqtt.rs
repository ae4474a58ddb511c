//! MQTT clients that report for many devices at once.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS};
use runtime::lifecycle::Tasks;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::fleet::TENANT;

/// Connections that publish, each for its share of the devices.
pub(crate) const CONNECTIONS: usize = 8;
/// With this many devices none of them is throttled.
pub(crate) const DEVICES: usize = 4_000;
/// Messages of one connection that the broker hasn't acknowledged yet.
const UNACKNOWLEDGED_MAX: usize = 100;
/// Pause between two portions of a steady load.
const PORTION: Duration = Duration::from_millis(10);
/// Messages and requests that a client buffers.
const CAPACITY: usize = 256;

pub(crate) fn connect(mqtt: SocketAddr, id: &str) -> (AsyncClient, EventLoop) {
    let options = MqttOptions::new(id, (mqtt.ip().to_string(), mqtt.port()));
    AsyncClient::builder(options).capacity(CAPACITY).build()
}

/// Publishes that a device is online since this boot: each new boot becomes an event.
pub(crate) fn report(client: &AsyncClient, device: &str, boot: &str, version: &str) -> Result<()> {
    let status =
        json!({"status": "online", "session": format!("s-{device}"), "boot_id": boot, "firmware_version": version});
    let topic = format!("{TENANT}/devices/{device}/status");
    Ok(client.try_publish(topic, status.to_string(), PublishOptions::new(QoS::AtLeastOnce))?)
}

/// Publishes `count` reports as fast as the broker acknowledges them; returns how many were sent.
pub(crate) async fn publish_all(mqtt: SocketAddr, count: usize) -> Result<usize> {
    let each = count / CONNECTIONS;
    let publishers = (0..CONNECTIONS).map(|connection| publish(mqtt, connection, each));
    futures::future::try_join_all(publishers).await?;
    Ok(each * CONNECTIONS)
}

async fn publish(mqtt: SocketAddr, connection: usize, count: usize) -> Result<()> {
    let (client, mut events) = connect(mqtt, &format!("bench-{connection}"));
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < count {
        while sent < count && sent - acknowledged < UNACKNOWLEDGED_MAX {
            next_report(&client, connection, sent, "b")?;
            sent += 1;
        }
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await? {
            acknowledged += 1;
        }
    }
    Ok(())
}

/// Publishes at a steady rate, per second over all connections, until it is stopped.
pub(crate) fn start_load(tasks: &Tasks, mqtt: SocketAddr, rate: f64) {
    for connection in 0..CONNECTIONS {
        let stop = tasks.token().clone();
        tasks.spawn("steady load", publish_steadily(mqtt, connection, rate / CONNECTIONS as f64, stop));
    }
}

async fn publish_steadily(mqtt: SocketAddr, connection: usize, rate: f64, stop: CancellationToken) -> Result<()> {
    let (client, mut events) = connect(mqtt, &format!("bench-load-{connection}"));
    // A poll is never cancelled: it would lose what it has read.
    let driving = async {
        loop {
            events.poll().await?;
        }
    };
    let publishing = async {
        let mut ticks = interval(PORTION);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut sent, mut due) = (0, 0.0);
        loop {
            ticks.tick().await;
            due += rate * PORTION.as_secs_f64();
            // Messages that the client can't buffer are left out. Then the broker is too slow, which shows in the latency.
            while (sent as f64) < due {
                next_report(&client, connection, sent, "l").ok();
                sent += 1;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = driving => ended,
        () = publishing => Ok(()),
    }
}

fn next_report(client: &AsyncClient, connection: usize, sent: usize, boot: &str) -> Result<()> {
    let device = (sent * CONNECTIONS + connection) % DEVICES;
    report(client, &device_name(device), &format!("{boot}-{connection}-{sent}"), "1.0.0")
}

pub(crate) fn device_name(n: usize) -> String {
    format!("m-{n}")
}
