//! Clients of `GET /events/stream`.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use waybill::api_client::ApiClient;

use crate::world::PATIENCE;

/// Receive buffer of a client that reads nothing, in bytes.
const SMALL_BUFFER: u32 = 4 * 1024;

/// One that reads.
pub(crate) struct Listener {
    response: Response,
    text: String,
    last_id: Option<String>,
    last_retry_ms: Option<u64>,
}

impl Listener {
    pub(crate) async fn open(api: &ApiClient, query: &str) -> Self {
        Self::open_with(api.base(), api.token(), query, None).await
    }

    pub(crate) async fn open_after(api: &ApiClient, query: &str, last: &str) -> Self {
        Self::open_with(api.base(), api.token(), query, Some(last)).await
    }

    pub(crate) async fn open_with(base: &str, token: &str, query: &str, last: Option<&str>) -> Self {
        let http = reqwest::Client::new();
        let mut request = http.get(format!("{base}/api/v1/events/stream{query}")).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap().error_for_status().unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new(), last_id: None, last_retry_ms: None }
    }

    /// The next message; none at the end of the stream.
    pub(crate) async fn read(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(self.parse(&event));
            }
            let chunk = self.response.chunk().await.ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    fn parse(&mut self, event: &str) -> Value {
        let (mut name, mut data) = ("", Value::Null);
        for line in event.lines() {
            let (field, value) = line.split_once(": ").unwrap();
            match field {
                "id" => self.last_id = Some(value.to_owned()),
                "retry" => self.last_retry_ms = value.parse().ok(),
                "event" => name = value,
                "data" => data = serde_json::from_str(value).unwrap(),
                other => panic!("{other}: {event}"),
            }
        }
        assert_eq!(data["type"], name, "{event}");
        data
    }

    pub(crate) async fn next(&mut self) -> Value {
        timeout(PATIENCE, self.read()).await.unwrap().expect("the stream has ended")
    }

    /// The next message of a type.
    pub(crate) async fn until(&mut self, wanted: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == wanted {
                return message;
            }
        }
    }

    pub(crate) async fn is_silent(&mut self, time: Duration) -> bool {
        timeout(time, self.read()).await.is_err()
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        timeout(PATIENCE, self.read()).await.unwrap().is_none()
    }

    /// What a browser would show as `Last-Event-ID`.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    pub(crate) fn last_retry_ms(&self) -> Option<u64> {
        self.last_retry_ms
    }
}

/// One that reads nothing until it reads everything.
pub(crate) struct SlowListener(TcpStream);

impl SlowListener {
    pub(crate) async fn open(api: &ApiClient, query: &str) -> Self {
        let address = api.base().strip_prefix("http://").unwrap().to_owned();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
        let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
        let head = format!(
            "GET /api/v1/events/stream{query} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\r\n",
            api.token()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        Self(stream)
    }

    /// Everything that is sent until the end of the answer, with the sizes of its chunks.
    pub(crate) async fn read_to_the_end(mut self) -> String {
        let mut read = Vec::new();
        let mut piece = [0; 64 * 1024];
        while !read.ends_with(b"\r\n0\r\n\r\n") {
            match timeout(PATIENCE, self.0.read(&mut piece)).await.unwrap().unwrap() {
                0 => break,
                bytes => read.extend(&piece[..bytes]),
            }
        }
        String::from_utf8(read).unwrap()
    }
}
