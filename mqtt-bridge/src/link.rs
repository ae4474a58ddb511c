//! One MQTT connection at a time, for publishing. Only this module names the client library.
//!
//! Invariant: no publish outlives its connection. When the connection breaks, all publishes without PUBACK fail, so an old command can
//! never arrive after a newer one. The sender, which reads the current state, sends again.

pub(crate) mod subscription;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, MqttOptions, NetworkOptions, Packet, PublishOptions, QoS,
    TlsConfiguration, Transport,
};
use runtime::clock;
use runtime::lifecycle::Tasks;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::command::{COMMAND_MAX_BYTES, RUN_MAX_BYTES};
use crate::topics::DeviceTopic;

/// Publishes without PUBACK at once, over all devices.
pub(crate) const IN_FLIGHT_MAX: u16 = 512;
/// Publishes that wait for their turn.
const QUEUED_MAX: usize = 1_024;
/// How long a publish may take up to its PUBACK.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds between two pings to the broker. It answers each, and closes a connection that is silent for one and a half times as long.
const KEEP_ALIVE_S: u16 = 3;
/// A broker that has sent nothing for this long counts as down, even if TCP is still connected: a broker that hangs closes nothing.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long an answer to CONNECT may take: longer than the broker waits for the answer about a client.
const KNOCK_TIMEOUT: Duration = Duration::from_secs(8);
/// Seconds for a TCP connection.
const CONNECT_TIMEOUT_S: u64 = 3;
/// Room for topic and packet header in addition to the largest command, in bytes.
const PACKET_OVERHEAD_BYTES: usize = 1_024;
/// Pause after the first failure; doubles up to the longest, with jitter.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Address of the broker, and the bridge's user.
#[derive(Clone)]
pub struct BrokerAddress {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// Whom to trust; without it the connection isn't encrypted.
    pub tls: Option<Arc<ClientConfig>>,
}

impl BrokerAddress {
    fn transport(&self) -> Transport {
        transport(self.tls.as_ref())
    }
}

fn transport(tls: Option<&Arc<ClientConfig>>) -> Transport {
    match tls {
        Some(tls) => Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))),
        None => Transport::tcp(),
    }
}

impl std::fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

/// Why a message was not published, as far as known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotPublished {
    #[error("not connected to the MQTT broker")]
    Disconnected,
    #[error("the MQTT broker gave no PUBACK in time")]
    TimedOut,
    #[error("the MQTT broker did not accept the message: {0}")]
    Failed(String),
}

/// A connection that reconnects while this exists. Dropping it closes the connection.
pub(crate) struct Link {
    client: watch::Receiver<Option<AsyncClient>>,
    _closes: DropGuard,
}

impl Link {
    pub(crate) fn open(address: BrokerAddress, name: &'static str, tasks: &Tasks) -> Self {
        let (sender, client) = watch::channel(None);
        let closed = tasks.token().child_token();
        tasks.spawn("mqtt-link", keep_connected(address, name, sender, closed.clone()));
        Self { client, _closes: closed.drop_guard() }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.borrow().is_some()
    }

    /// Reports each connect and disconnect from now on; its value says whether there is a connection.
    pub(crate) fn connections(&self) -> Connections {
        Connections(self.client.clone())
    }

    /// Publishes with QoS 1 and waits for the PUBACK.
    pub(crate) async fn publish(&self, topic: &DeviceTopic, payload: Bytes, retain: bool) -> Result<(), NotPublished> {
        let client = self.client.borrow().clone().ok_or(NotPublished::Disconnected)?;
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(retain);
        let published = async {
            let failed = |error: String| NotPublished::Failed(error);
            let notice = client
                .publish_tracked(topic.to_string(), payload, options)
                .await
                .map_err(|error| failed(error.to_string()))?;
            notice.wait_completion_async().await.map_err(|error| failed(error.to_string()))
        };
        timeout(PUBLISH_TIMEOUT, published).await.unwrap_or(Err(NotPublished::TimedOut))
    }
}

pub(crate) struct Connections(watch::Receiver<Option<AsyncClient>>);

impl Connections {
    /// Waits for the next connection or loss; true when there is a connection now.
    pub(crate) async fn changed(&mut self) -> bool {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.0.borrow_and_update().is_some()
    }

    /// Waits until there is a connection.
    pub(crate) async fn connected(&mut self) {
        if self.0.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn keep_connected(
    address: BrokerAddress,
    name: &'static str,
    sender: watch::Sender<Option<AsyncClient>>,
    closed: CancellationToken,
) {
    let mut failures = 0_u32;
    let mut reported = false;
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            error = one_connection(&address, name, &sender) => {
                let was_connected = sender.send_replace(None).is_some();
                failures = if was_connected { 0 } else { failures.saturating_add(1) };
                if was_connected || !reported {
                    reported = true;
                    tracing::warn!(mqtt.broker = ?address, mqtt.link = name, error, "MQTT connection is down");
                }
            }
        }
        let pause = RECONNECT_PAUSE.saturating_mul(1 << failures.min(10)).min(RECONNECT_PAUSE_MAX);
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::select! {
            () = closed.cancelled() => return,
            () = sleep(pause.mul_f64(jitter)) => {}
        }
    }
}

/// Serves one connection with a client of its own; returns why it ended.
async fn one_connection(
    address: &BrokerAddress,
    name: &'static str,
    sender: &watch::Sender<Option<AsyncClient>>,
) -> String {
    let max_packet_bytes = COMMAND_MAX_BYTES.max(RUN_MAX_BYTES) + PACKET_OVERHEAD_BYTES;
    let mut options =
        MqttOptions::new(format!("waybill-{name}-{}", clock::new_id()), (address.host.clone(), address.port));
    options
        .set_transport(address.transport())
        .set_credentials(address.user.clone(), address.password.clone())
        .set_keep_alive(KEEP_ALIVE_S)
        .set_clean_session(true)
        .set_max_packet_size(max_packet_bytes, max_packet_bytes)
        .set_inflight(IN_FLIGHT_MAX);
    let (client, mut events) = match AsyncClient::builder(options).capacity(QUEUED_MAX).try_build() {
        Ok(built) => built,
        Err(error) => return error.to_string(),
    };
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(CONNECT_TIMEOUT_S);
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    let mut heard = Instant::now();
    loop {
        let event = match timeout_at(heard + SILENCE_MAX, events.poll()).await {
            Ok(Ok(event)) => event,
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("the broker has sent nothing for {} s", SILENCE_MAX.as_secs()),
        };
        if let Event::Incoming(packet) = event {
            heard = Instant::now();
            if matches!(packet, Packet::ConnAck(_)) {
                tracing::info!(mqtt.broker = ?address, mqtt.link = name, "MQTT connection is up");
                sender.send_replace(Some(client.clone()));
            }
        }
    }
}

/// What the listener does with a client that wants to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Knock {
    LetIn,
    Refused,
    /// It gave no answer.
    Unreachable(String),
}

/// Connects once, with these user and password or without any, and disconnects.
pub(crate) async fn knock(
    address: &BrokerAddress,
    client_id: &str,
    credentials: Option<(&'static str, String)>,
) -> Knock {
    let mut options = MqttOptions::new(client_id, (address.host.clone(), address.port));
    options.set_clean_session(true).set_transport(address.transport());
    if let Some((user, password)) = credentials {
        options.set_credentials(user, password);
    }
    let (_client, mut events) = match AsyncClient::builder(options).try_build() {
        Ok(built) => built,
        Err(error) => return Knock::Unreachable(error.to_string()),
    };
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(KNOCK_TIMEOUT.as_secs());
    events.set_network_options(network);
    let answer = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Knock::LetIn,
                Ok(_) => {}
                Err(ConnectionError::ConnectionRefused(
                    ConnectReturnCode::NotAuthorized | ConnectReturnCode::BadUserNamePassword,
                )) => return Knock::Refused,
                Err(error) => return Knock::Unreachable(error.to_string()),
            }
        }
    };
    let none = |_| Knock::Unreachable("no answer to CONNECT".to_owned());
    timeout(KNOCK_TIMEOUT, answer).await.unwrap_or_else(none)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
    /// Longest accepted silence, with a margin for a loaded machine.
    const NOTICED_WITHIN: Duration = Duration::from_secs(7);
    const PAUSE: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_silent_broker_is_disconnected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address =
            BrokerAddress { host: "127.0.0.1".into(), port, user: "u".into(), password: "p".into(), tls: None };
        let tasks = Tasks::new();
        let link = Link::open(address, "test", &tasks);
        let mut connections = link.connections();
        let (mut broker, _) = listener.accept().await.unwrap();
        assert!(broker.read(&mut [0; 256]).await.unwrap() > 0);
        broker.write_all(&CONNACK).await.unwrap();
        connections.connected().await;

        // Frozen: it reads nothing and closes nothing, while messages are published again and again.
        let publishing = async {
            let topic = DeviceTopic::parse("default/devices/d-1/commands").unwrap();
            while link.is_connected() {
                timeout(PAUSE, link.publish(&topic, Bytes::from_static(b"{}"), false)).await.ok();
            }
        };
        tokio::select! {
            () = publishing => {}
            lost = timeout(NOTICED_WITHIN, async { while connections.changed().await {} }) => lost.unwrap(),
        }
        assert!(tasks.shutdown(NOTICED_WITHIN).await);
    }
}
