//! A client of `GET /events/ws`: as much of RFC 6455 as the service sends.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::PATIENCE;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
/// An answer to a ping: masked, without content.
const PONG: [u8; 6] = [0x8a, 0x80, 1, 2, 3, 4];

pub(crate) struct Socket(TcpStream);

impl Socket {
    pub(crate) async fn open(base: &str, query: &str) -> Self {
        let address = base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET /api/v1/events/ws{query} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            read.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        let read = String::from_utf8(read).unwrap();
        assert!(read.starts_with("HTTP/1.1 101") && read.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{read}");
        Self(stream)
    }

    /// The next frame that is no ping.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            let (first, length) = (self.0.read_u8().await.unwrap(), self.0.read_u8().await.unwrap());
            let length = match length {
                126 => usize::from(self.0.read_u16().await.unwrap()),
                127 => usize::try_from(self.0.read_u64().await.unwrap()).unwrap(),
                short => usize::from(short),
            };
            let mut content = vec![0; length];
            self.0.read_exact(&mut content).await.unwrap();
            if first != PING {
                return (first, content);
            }
            self.0.write_all(&PONG).await.unwrap();
        }
    }

    pub(crate) async fn next(&mut self) -> Value {
        let (kind, content) = timeout(PATIENCE, self.frame()).await.unwrap();
        assert_eq!(kind, TEXT, "{content:?}");
        serde_json::from_slice(&content).unwrap()
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

    pub(crate) async fn close_code(&mut self) -> u16 {
        let (kind, content) = timeout(PATIENCE, self.frame()).await.unwrap();
        assert_eq!(kind, CLOSE);
        u16::from_be_bytes([content[0], content[1]])
    }
}
