//! Devices over MQTT, each with a connection of its own. They answer an update at once, and download nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use rumqttc::{AsyncClient, Event, Packet, PublishOptions, QoS};
use runtime::lifecycle::Tasks;
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use waybill::simulate::{Command, UpdateCommand};

use crate::fleet::{NEW_VERSION, OLD_VERSION, TENANT};
use crate::mqtt::{connect, report};

/// Devices that connect at the same time.
const CONNECTING: usize = 64;
/// How long one device may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// What a device reports before it restarts.
const STEPS: [&str; 5] = ["received", "downloading", "verifying", "installing", "rebooting"];

/// The connected devices. They stop when this is dropped.
pub(crate) struct MqttDevices {
    tasks: Tasks,
    failed: watch::Receiver<Option<String>>,
}

impl MqttDevices {
    /// Connects devices; returns when all of them are online.
    pub(crate) async fn connect(mqtt: SocketAddr, devices: Vec<String>) -> Result<Self> {
        let (tasks, (failing, failed)) = (Tasks::new(), watch::channel(None));
        let connecting = futures::stream::iter(devices).map(|device| {
            let (stop, failing) = (tasks.token().clone(), failing.clone());
            let (up, is_up) = oneshot::channel();
            tasks.spawn("mqtt device", async move {
                let lived =
                    tokio::select! { () = stop.cancelled() => return, lived = live(mqtt, &device, up) => lived };
                failing.send_replace(lived.err().map(|error| format!("{device}: {error:#}")));
            });
            timeout(CONNECT_TIMEOUT, is_up)
        });
        let mut connected = connecting.buffer_unordered(CONNECTING);
        while let Some(up) = connected.next().await {
            up.context("a device can't connect in time")?
                .with_context(|| failed.borrow().clone().unwrap_or_default())?;
        }
        drop(connected);
        Ok(Self { tasks, failed })
    }

    /// Fails if a device has lost its connection.
    pub(crate) fn check(&self) -> Result<()> {
        let failed = self.failed.borrow();
        ensure!(failed.is_none(), "a device has stopped: {}", failed.as_deref().unwrap_or_default());
        Ok(())
    }
}

impl Drop for MqttDevices {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

async fn live(mqtt: SocketAddr, device: &str, up: oneshot::Sender<()>) -> Result<()> {
    let (client, mut events) = connect(mqtt, &format!("{TENANT}/{device}"));
    let (mut up, mut last) = (Some(up), None);
    loop {
        match events.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => {
                client.try_subscribe(format!("{TENANT}/devices/{device}/commands"), QoS::AtMostOnce)?;
            }
            Event::Incoming(Packet::SubAck(_)) => report(&client, device, "b-0", OLD_VERSION)?,
            Event::Incoming(Packet::PubAck(_)) => {
                // The first one is for the status. Nobody waits any more for a device that came late.
                let _ = up.take().map(|up| up.send(()));
            }
            Event::Incoming(Packet::Publish(message)) => {
                // A command comes again when its link is renewed.
                if let Command::Update(update) = Command::parse(&message.payload)
                    && last.replace(update.target) != Some(update.target)
                {
                    carry_out(&client, device, &update)?;
                }
            }
            _ => {}
        }
    }
}

/// Reports each step, restarts, and reports the new version.
fn carry_out(client: &AsyncClient, device: &str, update: &UpdateCommand) -> Result<()> {
    let (ordinal, attempt) = (update.target.ordinal, update.target.attempt);
    for status in STEPS {
        let topic = format!("{TENANT}/devices/{device}/updates/{ordinal}/status");
        let payload = json!({"attempt": attempt, "status": status}).to_string();
        client.try_publish(topic, payload, PublishOptions::new(QoS::AtLeastOnce))?;
    }
    report(client, device, &format!("b-{ordinal}-{attempt}"), NEW_VERSION)
}
