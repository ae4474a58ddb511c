//! A collector of traces that accepts all posted bodies.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bodies by path.
type Posted = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

pub(super) struct Collector {
    pub(super) address: SocketAddr,
    posted: Posted,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Collector {
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the test")]
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, posted) = (listener.local_addr().unwrap(), Posted::default());
        let kept = Arc::clone(&posted);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { address, posted, accepting }
    }

    /// Whether the posted traces contain all of these bytes.
    pub(super) fn has(&self, wanted: &[&[u8]]) -> bool {
        let posted = self.posted.lock().unwrap();
        let within = |wanted: &[u8]| {
            posted
                .iter()
                .any(|(path, body)| path == "/v1/traces" && body.windows(wanted.len()).any(|bytes| bytes == wanted))
        };
        wanted.iter().all(|wanted| within(wanted))
    }
}

async fn serve(mut stream: TcpStream, posted: Posted) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            read_more(&mut stream, &mut bytes).await?;
        };
        let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
        let length: usize = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        while bytes.len() < head_end + length {
            read_more(&mut stream, &mut bytes).await?;
        }
        let path = head.split(' ').nth(1)?.to_owned();
        let body = bytes.drain(..head_end + length).skip(head_end).collect();
        posted.lock().unwrap().push((path, body));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok()?;
    }
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4_096];
    let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
    bytes.extend_from_slice(&buffer[..read]);
    Some(())
}
