//! An MQTT client that logs in, for tests of who may.

use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS, SubscribeReasonCode};

/// Longest wait for an answer of the listener.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connected client.
pub(crate) struct Client {
    pub(crate) client: AsyncClient,
    pub(crate) events: EventLoop,
}

/// Connects, or says why the listener refused.
pub(crate) async fn log_in(listener: SocketAddr, id: &str, user: &str, password: &str) -> Result<Client, String> {
    let mut options = MqttOptions::new(id, (listener.ip().to_string(), listener.port()));
    options.set_keep_alive(5);
    if !user.is_empty() {
        options.set_credentials(user, password.to_owned());
    }
    let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
    let answer = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(format!("{error:?}")),
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    answer.map_err(|_| "no answer to CONNECT".to_owned())?.map(|()| Client { client, events })
}

impl Client {
    /// Whether a subscription is granted.
    pub(crate) async fn may_subscribe(&mut self, filter: &str, qos: QoS) -> bool {
        self.client.subscribe(filter, qos).await.unwrap();
        let answer = async {
            loop {
                if let Event::Incoming(Packet::SubAck(ack)) = self.events.poll().await.unwrap() {
                    return !ack.return_codes.contains(&SubscribeReasonCode::Failure);
                }
            }
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap()
    }

    /// Publishes with QoS 1 and waits for the PUBACK.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(retain);
        self.client.publish(topic, payload.to_owned(), options).await.unwrap();
        let answer =
            async { while !matches!(self.events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {} };
        tokio::time::timeout(PATIENCE, answer).await.unwrap();
    }

    /// Whether the connection is ended by the server within this time.
    pub(crate) async fn is_ended_within(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, async { while self.events.poll().await.is_ok() {} }).await.is_ok()
    }
}
