//! The MQTT integration: publishes events to a broker and takes `command/down` from it. The only file that names the client library.
//!
//! The real server speaks MQTT 5 with shared subscriptions; this speaks 3.1.1, which is enough for one server.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chirpstack::grpc::device_queue::DeviceQueueItem;
use prost::Message;
use prost_types::{Struct, Timestamp};
use rumqttc::{AsyncClient, Event as MqttEvent, EventLoop, MqttOptions, Packet, PublishOptions, QoS};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::call::Shared;
use crate::events::Event;
use crate::radio;
use crate::settings::MqttSettings;
use crate::store::QUEUE_MAX;
use crate::times;

/// Where commands are listened to.
const COMMANDS: &str = "application/+/device/+/command/+";
/// Messages that wait for the connection.
const WAITING_MAX: usize = 10_000;
/// Bytes of a packet.
const PACKET_BYTES_MAX: usize = 256 * 1024;
const KEEP_ALIVE_S: u16 = 30;
/// Pause between connections, as on the real server.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The broker, to publish to.
pub(crate) struct Broker {
    client: AsyncClient,
    protobuf: bool,
    qos: QoS,
}

impl Broker {
    /// A connection that begins when `listen` runs.
    pub(crate) fn new(settings: &MqttSettings) -> (Self, EventLoop) {
        let client_id = format!("fake-chirpstack-{:08x}", rand::random::<u32>());
        let mut options = MqttOptions::new(client_id, (settings.host.clone(), settings.port));
        options
            .set_keep_alive(KEEP_ALIVE_S)
            .set_clean_session(true)
            .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some((user, password)) = &settings.login {
            options.set_credentials(user.clone(), password.clone());
        }
        let (client, events) = AsyncClient::builder(options).capacity(WAITING_MAX).build();
        let qos = match settings.qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        (Self { client, protobuf: settings.protobuf, qos }, events)
    }

    pub(crate) fn publish(&self, event: &Event) {
        let payload = if self.protobuf { event.protobuf.clone() } else { event.json.clone() };
        if let Err(error) = self.client.try_publish(event.topic(), payload, PublishOptions::new(self.qos)) {
            tracing::warn!(%error, "an event is lost: the broker does not take it");
        }
    }

    pub(crate) fn client(&self) -> AsyncClient {
        self.client.clone()
    }
}

/// Keeps the connection and takes commands until cancelled.
pub(crate) async fn listen(
    client: AsyncClient,
    mut events: EventLoop,
    protobuf: bool,
    shared: Arc<Shared>,
    stopping: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            () = stopping.cancelled() => return,
            event = events.poll() => event,
        };
        match event {
            Ok(MqttEvent::Incoming(Packet::ConnAck(_))) => {
                if let Err(error) = client.try_subscribe(COMMANDS, QoS::AtLeastOnce) {
                    tracing::warn!(%error, "commands are not subscribed to");
                }
            }
            Ok(MqttEvent::Incoming(Packet::Publish(publish))) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                if let Err(why) = take_command(&shared, &topic, &publish.payload, protobuf) {
                    tracing::warn!(topic, why, "a command is ignored");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection to the broker");
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(RECONNECT_PAUSE) => {}
                }
            }
        }
    }
}

/// `integration.DownlinkCommand`.
#[derive(Clone, PartialEq, ::prost::Message)]
struct DownlinkCommand {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    dev_eui: String,
    #[prost(bool, tag = "3")]
    confirmed: bool,
    #[prost(uint32, tag = "4")]
    f_port: u32,
    #[prost(bytes = "vec", tag = "5")]
    data: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    object: Option<Struct>,
    #[prost(message, optional, tag = "7")]
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct JsonCommand {
    id: String,
    dev_eui: String,
    confirmed: bool,
    f_port: u32,
    data: String,
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// Puts the command into the device's queue, with its own id. What is wrong is only logged, as on the real server.
fn take_command(shared: &Shared, topic: &str, payload: &[u8], protobuf: bool) -> Result<(), &'static str> {
    let parts: Vec<&str> = topic.split('/').collect();
    let ["application", application_id, "device", dev_eui, "command", "down"] = parts[..] else {
        return Err("the topic is none of a command");
    };
    let command = if protobuf {
        DownlinkCommand::decode(payload).map_err(|_| "the payload is no protobuf")?
    } else {
        of_json(payload)?
    };
    if command.dev_eui != dev_eui {
        return Err("devEui is another one than in the topic");
    }
    if command.f_port == 0 {
        return Err("the port is 0");
    }
    let id = match command.id.as_str() {
        "" => runtime::clock::new_id(),
        id => id.parse::<Uuid>().map_err(|_| "the id is no UUID")?,
    };
    shared.with_store(|store, outgoing| {
        let entry = store.devices.get_mut(dev_eui).ok_or("the device is unknown")?;
        if entry.stored.object.application_id != application_id {
            return Err("the device has another application");
        }
        let id = id.to_string();
        if entry.queue.iter().any(|item| item.id == id) {
            return Err("UNIQUE constraint failed: device_queue_item.id");
        }
        if entry.queue.len() >= QUEUE_MAX {
            return Err("the queue is full");
        }
        entry.queue.push_back(DeviceQueueItem {
            id,
            dev_eui: dev_eui.to_owned(),
            confirmed: command.confirmed,
            // The real server keeps the lowest byte.
            f_port: command.f_port & 0xff,
            data: command.data,
            object: command.object,
            expires_at: command.expires_at,
            ..DeviceQueueItem::default()
        });
        radio::send_if_class_c(store, outgoing, dev_eui);
        Ok(())
    })
}

fn of_json(payload: &[u8]) -> Result<DownlinkCommand, &'static str> {
    let command: JsonCommand = serde_json::from_slice(payload).map_err(|_| "the payload is no JSON of a command")?;
    Ok(DownlinkCommand {
        id: command.id,
        dev_eui: command.dev_eui,
        confirmed: command.confirmed,
        f_port: command.f_port,
        data: STANDARD.decode(&command.data).map_err(|_| "the data is no base64")?,
        object: None,
        expires_at: command.expires_at.map(times::timestamp),
    })
}
