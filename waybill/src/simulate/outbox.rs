//! Messages to publish: kept until the broker acknowledges them, across connections.
//!
//! Bounded: when it is full, the oldest are dropped. Lost without power, as any memory; `last_update` makes up for lost reports.

use std::collections::VecDeque;

use bytes::Bytes;
use rumqttc::{AsyncClient, PublishOptions, QoS};

/// Messages one device keeps while it can't send.
pub(super) const MAX_MESSAGES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    /// Given to the client library, which has not given it a packet id yet.
    Handed,
    Sent(u16),
}

#[derive(Debug)]
struct Message {
    topic: String,
    payload: Bytes,
    /// About this connection only; dropped at its end.
    of_connection: bool,
    progress: Progress,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Message>,
}

impl Outbox {
    /// Adds a message; true if an old one was dropped for it.
    pub(super) fn push(&mut self, topic: String, payload: Bytes, of_connection: bool) -> bool {
        let full = self.messages.len() >= MAX_MESSAGES;
        if full {
            self.messages.pop_front();
        }
        self.messages.push_back(Message { topic, payload, of_connection, progress: Progress::Waiting });
        full
    }

    /// Hands waiting messages to the client, as long as it accepts them.
    pub(super) fn pump(&mut self, client: &AsyncClient) {
        for message in self.messages.iter_mut().filter(|message| message.progress == Progress::Waiting) {
            let options = PublishOptions::new(QoS::AtLeastOnce);
            if client.try_publish(message.topic.clone(), message.payload.clone(), options).is_err() {
                break;
            }
            message.progress = Progress::Handed;
        }
    }

    /// The client has given the next message this packet id.
    pub(super) fn sent(&mut self, packet_id: u16) {
        if let Some(message) = self.messages.iter_mut().find(|message| message.progress == Progress::Handed) {
            message.progress = Progress::Sent(packet_id);
        }
    }

    /// The broker has acknowledged a message; true if it was one of these.
    pub(super) fn acknowledged(&mut self, packet_id: u16) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| message.progress != Progress::Sent(packet_id));
        before != self.messages.len()
    }

    /// Messages left for the next connection, as an outbox of its own: messages of the new connection go before them.
    pub(super) fn take_unsent(&mut self) -> Self {
        let mut messages = std::mem::take(&mut self.messages);
        messages.retain(|message| !message.of_connection);
        messages.iter_mut().for_each(|message| message.progress = Progress::Waiting);
        Self { messages }
    }

    /// Adds messages at the end; returns how many were dropped for lack of room.
    pub(super) fn append(&mut self, mut other: Self) -> u64 {
        self.messages.append(&mut other.messages);
        let surplus = self.messages.len().saturating_sub(MAX_MESSAGES);
        self.messages.truncate(MAX_MESSAGES);
        u64::try_from(surplus).unwrap_or(u64::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(topics: &[&str]) -> Outbox {
        let mut outbox = Outbox::default();
        for topic in topics {
            outbox.push((*topic).to_owned(), Bytes::new(), topic.starts_with("status"));
        }
        outbox
    }

    #[test]
    fn a_message_is_kept_until_it_is_acknowledged() {
        let mut outbox = filled(&["a", "b"]);
        outbox.messages.iter_mut().for_each(|message| message.progress = Progress::Handed);
        outbox.sent(1);
        outbox.sent(2);
        assert!(outbox.acknowledged(2));
        assert!(!outbox.acknowledged(2));
        let left = outbox.take_unsent();
        assert_eq!(left.messages.len(), 1);
        assert_eq!(left.messages[0].topic, "a");
        assert_eq!(left.messages[0].progress, Progress::Waiting);
    }

    #[test]
    fn the_next_connection_gets_the_old_reports_behind_its_own_presence() {
        let mut old = filled(&["status-of-old", "report"]);
        let mut outbox = filled(&["status-of-new"]);
        outbox.append(old.take_unsent());
        let topics: Vec<_> = outbox.messages.iter().map(|message| message.topic.as_str()).collect();
        assert_eq!(topics, ["status-of-new", "report"]);
    }

    #[test]
    fn it_is_bounded() {
        let mut outbox = Outbox::default();
        let dropped = (0..MAX_MESSAGES + 3).filter(|n| outbox.push(n.to_string(), Bytes::new(), false)).count();
        assert_eq!((dropped, outbox.messages.len()), (3, MAX_MESSAGES));
        assert_eq!(outbox.messages[0].topic, "3");
    }
}
