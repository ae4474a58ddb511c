//! One MQTT connection of one device. The only file of the simulator that sets up the client library.
//!
//! Each connection gets a client of its own, because its last will names its session. So no state of an earlier connection remains.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, EventLoop, LastWill, MqttOptions, NetworkOptions, QoS, TlsConfiguration, Transport};
use rustls::ClientConfig;

use super::login::Credential;
use super::outbox::MAX_MESSAGES;

/// Seconds of silence after which the client pings the broker.
const KEEP_ALIVE_S: u16 = 30;
/// Seconds the client waits for TCP and for a flush.
const NETWORK_TIMEOUT_S: u64 = 10;
/// Bytes of the largest MQTT packet either way.
const MAX_PACKET_BYTES: usize = 8 * 1_024;
/// Unacknowledged publishes at once.
const MAX_INFLIGHT: u16 = 32;
/// How long a clean disconnect waits for messages under way.
pub(super) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Address of the broker.
#[derive(Debug, Clone)]
pub(super) struct Broker {
    pub(super) host: String,
    pub(super) port: u16,
    /// Whom to trust; without it the connection isn't encrypted.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

pub(super) struct Link {
    pub(super) client: AsyncClient,
    pub(super) events: EventLoop,
}

impl Link {
    /// A connection that begins when `events` is polled.
    pub(super) fn new(
        broker: &Broker,
        client_id: String,
        credential: Option<&Credential>,
        will_topic: String,
        will: Vec<u8>,
    ) -> Self {
        let mut options = MqttOptions::new(client_id, (broker.host.clone(), broker.port));
        options
            .set_keep_alive(KEEP_ALIVE_S)
            .set_clean_session(true)
            .set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES)
            .set_inflight(MAX_INFLIGHT)
            .set_last_will(LastWill::new(will_topic, will, QoS::AtLeastOnce, false));
        if let Some(tls) = &broker.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        if let Some(Credential { user, password }) = credential {
            options.set_credentials(user.clone(), password.0.clone());
        }
        let (client, mut events) = AsyncClient::builder(options).capacity(MAX_MESSAGES).build();
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(NETWORK_TIMEOUT_S);
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        Self { client, events }
    }

    /// Ends the connection so that the broker does not publish the will.
    pub(super) async fn disconnect(mut self) {
        if self.client.try_disconnect_with_timeout(DISCONNECT_TIMEOUT).is_err() {
            return;
        }
        let drained = async { while self.events.poll().await.is_ok() {} };
        if tokio::time::timeout(DISCONNECT_TIMEOUT * 2, drained).await.is_err() {
            tracing::debug!("the disconnect was not sent in time");
        }
    }
}
