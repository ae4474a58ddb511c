//! Uploads by a real client that sends slowly.

use std::time::Duration;

use runtime::lifecycle::Tasks;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Api, MODEL, PATIENCE};
use crate::listen::{HttpListener, Limits, serve_until_stopped};
use crate::{LeastRate, TrustedProxies};

/// 1,000 bytes in each half of a second of waiting.
const LEAST: LeastRate = LeastRate { bytes_per_second: 2_000, window: Duration::from_millis(500) };
/// Pause of the clients after each piece.
const PAUSE: Duration = Duration::from_millis(10);
/// More than two windows for a client that isn't ended, within the largest firmware of these tests.
const PIECES: usize = 95;

/// Uploads a file in pieces with pauses; what the server answers.
async fn answered(api: &Api, piece: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tasks, router) = (Tasks::new(), api.router.clone());
    let of_server = tasks.clone();
    let listener = HttpListener { tcp: listener, tls: None };
    let limits = Limits::new(TrustedProxies::default(), false);
    tasks.spawn("server", async move { serve_until_stopped(listener, router, &of_server, limits).await });
    let part = |name: &str| format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n");
    let metadata = json!({"name": "F", "version": "2.0.0", "device_model": MODEL});
    let (begin, end) = (format!("{}{metadata}\r\n{}", part("metadata"), part("file")), "\r\n--XX--\r\n");
    let length = begin.len() + PIECES * piece.len() + end.len();
    let head = format!(
        "POST /api/v1/firmware HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary=XX\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n",
        api.token
    );
    let (mut receiving, mut sending) = TcpStream::connect(address).await.unwrap().into_split();
    let send = async {
        sending.write_all(format!("{head}{begin}").as_bytes()).await?;
        for _ in 0..PIECES {
            tokio::time::sleep(PAUSE).await;
            sending.write_all(piece.as_bytes()).await?;
        }
        sending.write_all(end.as_bytes()).await
    };
    let mut answer = Vec::new();
    // The server may close while the client still sends.
    let (_, read) = tokio::join!(send, tokio::time::timeout(PATIENCE, receiving.read_to_end(&mut answer)));
    read.expect("an end").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_comes_too_slowly_is_ended_and_leaves_nothing() {
    let api = Api::with_config(|config| config.upload_least = LEAST);
    let answer = answered(&api, "x").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("/problems/upload_too_slow"), "{answer}");
    assert!(answer.contains("2000 bytes per second"), "{answer}");
    assert!(api.kept().await.is_empty());
    assert_eq!(api.stored().await, 0);
    // Its place is free, and a client above the rate isn't ended, however long it takes.
    let answer = answered(&api, &"x".repeat(1_000)).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}
