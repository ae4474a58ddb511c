//! An MQTT client that logs in, for tests of who may.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, PublishOptions, QoS, SubscribeReasonCode,
    TlsConfiguration, Transport,
};
use runtime::lifecycle::Tasks;
use rustls::ClientConfig;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// Longest wait for an answer of the listener.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connected client. It doesn't connect again; its connection ends when it is dropped.
pub(crate) struct Client {
    client: AsyncClient,
    /// What the listener sends; closed when the connection ends.
    packets: UnboundedReceiver<Packet>,
    tasks: Tasks,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

/// Connects, or says why the listener refused.
pub(crate) async fn log_in(listener: SocketAddr, id: &str, user: &str, password: &str) -> Result<Client, String> {
    log_in_with(listener, id, user, password, None).await
}

/// The same with TLS.
pub(crate) async fn log_in_with(
    listener: SocketAddr,
    id: &str,
    user: &str,
    password: &str,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Client, String> {
    let mut options = MqttOptions::new(id, (listener.ip().to_string(), listener.port()));
    options.set_keep_alive(5);
    if let Some(tls) = tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    if !user.is_empty() {
        options.set_credentials(user, password.to_owned());
    }
    let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(PATIENCE.as_secs());
    events.set_network_options(network);
    let answer = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(format!("{error:?}")),
            }
        }
    };
    timeout(PATIENCE, answer).await.map_err(|_| "no answer to CONNECT".to_owned())??;
    let (sender, packets) = unbounded_channel();
    let tasks = Tasks::new();
    let stop = tasks.token().clone();
    tasks.spawn("device", async move {
        tokio::select! { () = stop.cancelled() => {}, () = drive(events, sender) => {} }
    });
    Ok(Client { client, packets, tasks })
}

/// Until the connection ends.
async fn drive(mut events: EventLoop, sender: UnboundedSender<Packet>) {
    while let Ok(event) = events.poll().await {
        if let Event::Incoming(packet) = event {
            sender.send(packet).ok();
        }
    }
}

impl Client {
    /// The next packet that is expected.
    async fn hears<T>(&mut self, wanted: impl Fn(&Packet) -> Option<T>) -> T {
        let answer = async {
            loop {
                let packet = self.packets.recv().await.expect("the connection goes on");
                if let Some(found) = wanted(&packet) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, answer).await.expect("an answer of the listener")
    }

    /// Whether a subscription is granted.
    pub(crate) async fn may_subscribe(&mut self, filter: &str, qos: QoS) -> bool {
        self.client.subscribe(filter, qos).await.unwrap();
        self.hears(|packet| match packet {
            Packet::SubAck(ack) => Some(!ack.return_codes.contains(&SubscribeReasonCode::Failure)),
            _ => None,
        })
        .await
    }

    /// Publishes with QoS 1 and waits for the PUBACK.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(retain);
        self.client.publish(topic, payload.to_owned(), options).await.unwrap();
        self.hears(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    }

    /// Whether the connection ends within this time.
    pub(crate) async fn is_ended_within(&mut self, limit: Duration) -> bool {
        timeout(limit, async { while self.packets.recv().await.is_some() {} }).await.is_ok()
    }
}
