//! Server-sent events: from bytes to messages, and a stream that comes back by itself.

use std::time::{Duration, Instant};

use hyper::Response;
use hyper::body::Incoming;
use serde_json::Value;

use crate::description::Base;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::http::{self, Client, Request};
use crate::plain::root;

/// Longest message, in bytes. One names at most 50 resources of a kind.
const MESSAGE_MAX_BYTES: usize = 1024 * 1024;
/// Pause before a stream is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the service may be away before a follower gives up.
pub(crate) const AWAY_MAX: Duration = Duration::from_secs(120);

/// Takes bytes, gives the data of messages.
#[derive(Default)]
struct Parser {
    buffer: Vec<u8>,
    data: String,
}

impl Parser {
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<String>> {
        self.buffer.extend_from_slice(bytes);
        let mut messages = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if !self.data.is_empty() {
                    messages.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
        }
        if self.buffer.len() + self.data.len() > MESSAGE_MAX_BYTES {
            return Err(Failure::here("a message of the stream is too long"));
        }
        Ok(messages)
    }
}

/// Live messages of the service.
pub(crate) struct Stream<'a> {
    client: &'a Client,
    filter: Vec<(String, String)>,
    last: Option<String>,
    open: Option<Response<Incoming>>,
    parser: Parser,
    waiting: std::collections::VecDeque<Value>,
    away_since: Option<Instant>,
}

impl<'a> Stream<'a> {
    /// `filter`: parameters of the stream, such as `campaign_id`.
    pub(crate) fn new(client: &'a Client, filter: Vec<(String, String)>, last: Option<String>) -> Self {
        let waiting = std::collections::VecDeque::new();
        Self { client, filter, last, open: None, parser: Parser::default(), waiting, away_since: None }
    }

    /// The next message. Opens the stream again where it ended.
    pub(crate) async fn next(&mut self) -> Result<Value> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                if let Some(position) = message["position"].as_str() {
                    self.last = Some(position.to_owned());
                }
                return Ok(message);
            }
            match self.read().await {
                Ok(()) => self.away_since = None,
                Err(failure) if failure.exit == Exit::Away => self.wait(failure).await?,
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn read(&mut self) -> Result<()> {
        // The response stays in its place while it is awaited: who waits for a message may stop waiting.
        if self.open.is_none() {
            self.parser = Parser::default();
            self.open = Some(self.client.open(&self.request()).await?);
        }
        let Some(response) = &mut self.open else { return Ok(()) };
        match http::next(response).await {
            Ok(Some(bytes)) => {
                let messages = self.parser.take(&bytes)?;
                self.waiting.extend(messages.iter().filter_map(|text| serde_json::from_str(text).ok()));
                Ok(())
            }
            ended => {
                self.open = None;
                ended?;
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
        }
    }

    async fn wait(&mut self, failure: Failure) -> Result<()> {
        if self.away_since.get_or_insert_with(Instant::now).elapsed() > AWAY_MAX {
            return Err(failure);
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    fn request(&self) -> Request {
        let mut pairs = self.filter.clone();
        pairs.extend(self.last.iter().map(|last| ("last_event_id".to_owned(), last.clone())));
        let root = root(Base::Tenant, self.client.target.context.tenant.as_deref());
        Request { accept: "text/event-stream", ..Request::get(format!("{root}/events/stream{}", http::query(&pairs))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_the_bytes_are_cut() {
        let text = b"id: 1\nevent: hello\ndata: {\"a\":1}\n\n: comment\r\n\r\ndata: {\"b\":\r\ndata: 2}\r\n\r\n";
        for cut in 0..text.len() {
            let mut parser = Parser::default();
            let mut messages = parser.take(&text[..cut]).unwrap();
            messages.extend(parser.take(&text[cut..]).unwrap());
            assert_eq!(messages, [r#"{"a":1}"#, r#"{"b":2}"#], "cut at {cut}");
        }
    }

    #[test]
    fn a_message_without_an_end_is_refused() {
        let mut parser = Parser::default();
        assert!(parser.take(&vec![b'x'; MESSAGE_MAX_BYTES + 1]).is_err());
    }
}
