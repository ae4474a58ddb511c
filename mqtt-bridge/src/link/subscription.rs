//! A subscription at a foreign broker, with a persistent session: the broker keeps messages while no connection is up.
//!
//! Invariant: a message is acknowledged only after its receiver has stored it. Messages that are not acknowledged when a connection ends come
//! again with the next one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AckMode, AsyncClient, Event, MqttOptions, NetworkOptions, Packet, Publish, QoS};
use runtime::outward::Outward;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::transport;

/// Seconds between two pings.
const KEEP_ALIVE_S: u16 = 10;
/// A broker that has sent nothing for this long counts as down.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// Seconds for a TCP connection.
const CONNECT_TIMEOUT_S: u64 = 5;
/// Messages that were received and are not acknowledged. Brokers limit this themselves, to fewer.
const UNACKNOWLEDGED_MAX: usize = 1_024;
/// Largest packet that is read, in bytes. Messages that are too large to be kept are acknowledged, so that they don't come again.
const PACKET_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Largest packet that is sent, in bytes.
const SENT_MAX_BYTES: usize = 4 * 1024;

/// Where and how to subscribe.
#[derive(Clone)]
pub(crate) struct ForeignBroker {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Names the session: the same for each connection, and of one connection at a time.
    pub(crate) client_id: String,
    pub(crate) credentials: Option<(String, String)>,
    /// Which authorities to trust. Without it the connection isn't encrypted.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) filter: String,
    /// Where its address may lead.
    pub(crate) outward: Outward,
}

impl std::fmt::Debug for ForeignBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} {}", self.host, self.port, self.filter)
    }
}

/// A message that waits to be acknowledged.
pub(crate) struct Received {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    client: AsyncClient,
    publish: Publish,
}

impl Received {
    /// Tells the broker that the message is stored.
    pub(crate) async fn acknowledge(self) {
        if let Err(error) = self.client.ack(&self.publish).await {
            tracing::debug!(%error, "a message of a foreign broker can't be acknowledged");
        }
    }
}

/// Serves one connection; returns why it ended. `is_up` is called when the subscription is made.
pub(crate) async fn one_connection(
    broker: &ForeignBroker,
    received: &mpsc::Sender<Received>,
    mut is_up: impl FnMut(),
) -> String {
    let mut options = MqttOptions::new(broker.client_id.clone(), (broker.host.clone(), broker.port));
    options
        .set_transport(transport(broker.tls.as_ref()))
        .set_keep_alive(KEEP_ALIVE_S)
        .set_clean_session(false)
        .set_ack_mode(AckMode::Manual)
        .set_max_packet_size(PACKET_MAX_BYTES, SENT_MAX_BYTES);
    let (outward, host, port) = (broker.outward.clone(), broker.host.clone(), broker.port);
    options.set_socket_connector(move |_, _| {
        let (outward, host) = (outward.clone(), host.clone());
        async move { outward.connect(&host, port).await }
    });
    if let Some((user, password)) = &broker.credentials {
        options.set_credentials(user.clone(), password.clone());
    }
    // Acknowledgements wait in the client until the loop below sends them.
    let (client, mut events) = match AsyncClient::builder(options).capacity(UNACKNOWLEDGED_MAX * 2).try_build() {
        Ok(built) => built,
        Err(error) => return error.to_string(),
    };
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(CONNECT_TIMEOUT_S);
    events.set_network_options(network);
    let mut last_packet_at = Instant::now();
    loop {
        let event = match timeout_at(last_packet_at + SILENCE_MAX, events.poll()).await {
            Ok(Ok(event)) => event,
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("the broker has sent nothing for {} s", SILENCE_MAX.as_secs()),
        };
        let Event::Incoming(packet) = event else { continue };
        last_packet_at = Instant::now();
        match packet {
            Packet::ConnAck(_) => {
                // Again each time: a broker may have forgotten the session.
                if let Err(error) = client.subscribe(broker.filter.clone(), QoS::AtLeastOnce).await {
                    return error.to_string();
                }
            }
            Packet::SubAck(_) => is_up(),
            Packet::Publish(publish) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                let message = Received { topic, payload: publish.payload.clone(), client: client.clone(), publish };
                if received.try_send(message).is_err() {
                    // The broker sends them again with the next connection.
                    return "too many messages wait to be stored".to_owned();
                }
            }
            _ => {}
        }
    }
}
