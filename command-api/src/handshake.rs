//! The beginning of an HTTPS connection, limited in time.

use std::io;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::http::Problem;
use crate::listen::refusals;

/// Longest time until TLS is agreed.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// First byte of every TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes that are read from such a client, so that its connection isn't reset before it reads the answer.
const PLAIN_MAX_BYTES: u64 = 64 * 1024;

/// The connection once TLS is agreed; none if the client speaks something else, shows no progress, or doesn't trust the certificate.
pub(crate) async fn shake_hands(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE_TIME_MAX, accepted(acceptor, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client did not agree on TLS");
            None
        }
        Err(_) => None,
    }
}

async fn accepted(acceptor: &TlsAcceptor, mut stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "https_only", "this port speaks HTTPS: use an https URL");
        // Browsers ignore that header over HTTP.
        stream.write_all(&refusals::answer(&problem, false)).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(PLAIN_MAX_BYTES), &mut tokio::io::sink()).await?;
        return Ok(None);
    }
    acceptor.accept(stream).await.map(Some)
}
