//! Connections: limited in time until a request's head is complete, and drained at the end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use runtime::lifecycle::Tasks;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::handshake::shake_hands;

/// Longest wait for the head of a request, the first or a further one, so that a slow or silent client doesn't keep a connection.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(75);

/// Where requests come from.
pub struct HttpListener {
    pub tcp: TcpListener,
    /// HTTPS only; without it HTTP.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Serves until the tasks are stopped; then no further connections are accepted, and open requests are answered.
pub(crate) async fn serve_until_stopped(
    HttpListener { mut tcp, tls }: HttpListener,
    router: Router,
    tasks: &Tasks,
    head_time_max: Duration,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_time_max);
    let open = GracefulShutdown::new();
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let stream = tokio::select! {
            (stream, _) = Listener::accept(&mut tcp) => stream,
            () = tasks.token().cancelled() => break,
        };
        // Replies are small; if this fails, they are only slower.
        stream.set_nodelay(true).ok();
        let service = TowerToHyperService::new(router.clone());
        let (server, watcher, acceptor) = (server.clone(), open.watcher(), acceptor.clone());
        let stop = tasks.token().clone();
        tasks.spawn("http connection", async move {
            let ended = match acceptor {
                None => watcher.watch(server.serve_connection(TokioIo::new(stream), service)).await,
                Some(acceptor) => match stop.run_until_cancelled(shake_hands(&acceptor, stream)).await.flatten() {
                    Some(stream) => watcher.watch(server.serve_connection(TokioIo::new(stream), service)).await,
                    None => return,
                },
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "HTTP connection was interrupted");
            }
        });
    }
    drop(tcp);
    open.shutdown().await;
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A server that replies with the body it received.
    async fn serve(head_time_max: Duration) -> (Tasks, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tasks, router) = (Tasks::new(), Router::new().route("/", post(async |body: String| body)));
        let of_server = tasks.clone();
        let listener = HttpListener { tcp: listener, tls: None };
        tasks.spawn("server", async move { serve_until_stopped(listener, router, &of_server, head_time_max).await });
        (tasks, TcpStream::connect(address).await.unwrap())
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an end").ok();
        answer
    }

    #[tokio::test]
    async fn who_never_names_a_request_is_let_go() {
        for sent in ["", "POST / HTTP/1.1\r\nHost:"] {
            let (_tasks, mut stream) = serve(Duration::from_millis(100)).await;
            stream.write_all(sent.as_bytes()).await.unwrap();
            assert!(!rest(stream).await.contains("200 OK"));
        }
    }

    #[tokio::test]
    async fn a_request_that_has_begun_is_answered_although_the_server_stops() {
        let (tasks, mut stream) = serve(HEAD_TIME_MAX).await;
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n")
            .await
            .unwrap();
        let mut asked = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut asked)).await.expect("it is asked for its body").unwrap();
        let stopping = tasks.clone();
        let stopped = stopping.shutdown(PATIENCE);
        let answered = async {
            tasks.token().cancelled().await;
            stream.write_all(b"answer").await.unwrap();
            rest(stream).await
        };
        let (stopped, answer) = tokio::join!(stopped, answered);
        assert!(stopped && answer.ends_with("answer"), "{answer}");
    }
}
