//! Messages that the broker doesn't store: those with QoS 0, wrong topics of one level, and the copies of retained ones.
//!
//! nats-server publishes every message of a device under the subject made of its topic, in addition to storing those with QoS 1, and a
//! header names the QoS. A queue group delivers each message to one of the bridges. These messages are not stored before they are handled:
//! a message that arrives while no bridge is subscribed is lost. So they prove nothing. Commands match one of the filters; nats.conf denies
//! them to this user, and they are ignored here.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Ack, Arrived, Inbound, Queues};
use crate::topics::{Channel, DeviceTopic, is_stored, passing_filters, retained_filters};

/// All bridges of an installation share these messages.
const QUEUE_GROUP: &str = "waybill-bridge";
/// Header: the QoS with which an MQTT client published.
const QOS_HEADER: &str = "Nmqtt-Pub";
/// Header of a retained message: its topic.
const RETAINED_TOPIC_HEADER: &str = "Nmqtt-RTopic";
/// Pause before subscribing again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Handles messages until stopped.
pub(crate) async fn run(client: Client, queues: Arc<Queues>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match subscribe(&client).await {
            Ok(mut messages) => {
                // The subscriptions outlive the connection; they end with the client only.
                while let Some(Some(message)) = stop.run_until_cancelled(messages.next()).await {
                    if let Some(inbound) = unstored(message) {
                        queues.push(inbound).await;
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "messages with QoS 0 can't be subscribed to"),
        }
        stop.run_until_cancelled(sleep(RETRY_PAUSE)).await;
    }
}

async fn subscribe(client: &Client) -> Result<SelectAll<Subscriber>, SubscribeError> {
    let mut subscriptions = Vec::new();
    for filter in passing_filters().into_iter().chain(retained_filters()) {
        subscriptions.push(client.queue_subscribe(filter, QUEUE_GROUP.to_owned()).await?);
    }
    Ok(select_all(subscriptions))
}

/// The message, if no consumer of stored messages handles it.
fn unstored(message: Message) -> Option<Inbound> {
    let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.as_str());
    let (topic, arrived) = match header(RETAINED_TOPIC_HEADER) {
        Some(topic) => (DeviceTopic::parse(topic), Arrived::Retained),
        None => {
            // Without this header the message was not published by an MQTT client.
            let qos = header(QOS_HEADER)?;
            if qos != "0" && is_stored(&message.subject) {
                return None;
            }
            (DeviceTopic::from_subject(&message.subject), Arrived::Unstored)
        }
    };
    let goes_down = matches!(&topic, Ok(topic) if matches!(topic.channel, Channel::Commands | Channel::Run | Channel::FirmwareChunk { .. }));
    let payload = message.payload;
    (!goes_down).then_some(Inbound { topic, arrived, payload, delivery: None, ack: Ack::none(), origin: None })
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;

    fn message(subject: &str, header: (&str, &str)) -> Message {
        let mut headers = HeaderMap::new();
        headers.insert(header.0, header.1);
        Message {
            subject: subject.into(),
            reply: None,
            payload: "{}".into(),
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn stored_messages_are_left_to_their_consumers() {
        let arrived =
            |subject: &str, qos: &str| unstored(message(subject, (QOS_HEADER, qos))).map(|inbound| inbound.arrived);
        for subject in
            ["acme.devices.d-1.status", "acme.devices.d-1.updates.1.status", "acme.devices.d-1.update.1.status"]
        {
            assert_eq!(arrived(subject, "0"), Some(Arrived::Unstored), "{subject}");
            assert_eq!(arrived(subject, "1"), None, "{subject}");
        }
        for qos in ["0", "1", "2"] {
            assert_eq!(
                arrived("acme.devices.d-1.state", qos),
                Some(Arrived::Unstored),
                "no consumer stores this message"
            );
            assert_eq!(arrived("acme.devices.d-1.commands", qos), None, "a command");
            assert_eq!(arrived("acme.devices.d-1.run", qos), None, "another command");
        }
    }

    #[test]
    fn a_retained_message_is_recognised_by_its_copy() {
        let subject = "$MQTT.rmsgs.acme.devices.d-1.status";
        let inbound = unstored(message(subject, (RETAINED_TOPIC_HEADER, "acme/devices/d-1/status"))).unwrap();
        assert_eq!((inbound.arrived, inbound.topic.unwrap().channel), (Arrived::Retained, Channel::Status));
    }
}
