//! Downloads over plain connections that only count, so that the client isn't what is measured.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Downloads at a time.
pub(super) const CONNECTIONS: usize = 4;
/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 * 1024;
/// Longest head of an answer.
const HEAD_MAX_BYTES: usize = 8 * 1024;
/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;

/// MiB per second of several downloads of a file at a time.
pub(super) async fn rate(address: &str, path: &str, size: usize) -> Result<f64> {
    let began = Instant::now();
    try_join_all((0..CONNECTIONS).map(|_| one(address, path, size))).await?;
    let mib = (size * CONNECTIONS) as f64 / MIB;
    Ok(mib / began.elapsed().as_secs_f64())
}

async fn one(address: &str, path: &str, size: usize) -> Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let (mut buffer, mut head, mut read) = (vec![0; BUFFER_BYTES], Vec::new(), 0);
    loop {
        let more = connection.read(&mut buffer).await?;
        if more == 0 {
            break;
        }
        if head.ends_with(b"\r\n\r\n") {
            read += more;
            continue;
        }
        for (index, byte) in buffer[..more].iter().enumerate() {
            head.push(*byte);
            ensure!(head.len() <= HEAD_MAX_BYTES, "the head is too long");
            if head.ends_with(b"\r\n\r\n") {
                read += more - index - 1;
                break;
            }
        }
    }
    ensure!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    ensure!(read == size, "{read} of {size} bytes came");
    Ok(())
}
