//! The MQTT integration: publishes events to a broker and gets commands from it. The only file that names the client library.
//!
//! The real server speaks MQTT 5 with shared subscriptions; this speaks 3.1.1, which is enough for one server.

use std::time::Duration;

use rumqttc::{AsyncClient, Event as MqttEvent, EventLoop, MqttOptions, Packet, PublishOptions, QoS};
use tokio_util::sync::CancellationToken;

use crate::events::Event;
use crate::settings::MqttSettings;

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

/// Keeps the connection and hands over topic and payload of each command until cancelled.
pub(crate) async fn listen(
    client: AsyncClient,
    mut events: EventLoop,
    take: impl Fn(&str, &[u8]) -> Result<(), &'static str>,
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
                if let Err(why) = take(&topic, &publish.payload) {
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
