//! Connections: bounded in number and in the time until a request's head is complete, and drained at the end.

mod connections;
mod heads;
pub(crate) mod refusals;
mod timed_stream;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use runtime::lifecycle::Tasks;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::connections::describe;
use self::connections::{Connections, Place};
use self::heads::Heads;
use self::timed_stream::{TimedStream, Times};
use crate::client_address::{ConnectedFrom, TrustedProxies};
use crate::handshake::shake_hands;
use crate::least_rate::LeastRate;

/// Longest time from the first byte of a request to the end of its head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest time without a request. Longer than proxies keep connections, so that none sends a request into a connection that is being closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// How fast a client must take answers, such as firmware. The slowest links of devices are some times faster, and what counts is what the
/// kernel takes, which is in pieces.
const SENT_LEAST: LeastRate = LeastRate { bytes_per_second: 128, window: Duration::from_secs(120) };
/// Bytes of answers that a socket holds and has not sent. What a client doesn't read waits here only so far, so that a stream of messages sees
/// who doesn't keep up.
const UNSENT_MAX_BYTES: u32 = 32 * 1024;
/// Longest time in which a peer acknowledges nothing of what was sent to it. Then it is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(120);
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Largest head of a request: its first line and its headers, in bytes.
const HEAD_MAX_BYTES: usize = 32 * 1024;
/// Most connections of a process. It needs as many open files.
const CONNECTIONS_MAX: usize = 10_000;
/// Most connections of an address that isn't a trusted proxy.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 2_000;

/// What is allowed to connections.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) head_time_max: Duration,
    pub(crate) idle_time_max: Duration,
    pub(crate) sent_least: LeastRate,
    pub(crate) connections_max: usize,
    pub(crate) per_address_max: usize,
    /// They may have any number of connections.
    pub(crate) trusted_proxies: TrustedProxies,
    /// Whether answers tell browsers to come by HTTPS only.
    pub(crate) strict_transport: bool,
}

impl Limits {
    pub(crate) fn new(trusted_proxies: TrustedProxies, strict_transport: bool) -> Self {
        Self {
            head_time_max: HEAD_TIME_MAX,
            idle_time_max: IDLE_TIME_MAX,
            sent_least: SENT_LEAST,
            connections_max: CONNECTIONS_MAX,
            per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
            trusted_proxies,
            strict_transport,
        }
    }
}

/// The place of a request's connection among the open ones, which every request has. What goes on after its connection was handed over, as a
/// WebSocket does, keeps it and so still counts.
#[derive(Clone)]
pub(crate) struct ConnectionPlace {
    _place: Arc<Place>,
}

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
    limits: Limits,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.idle_time_max);
    server.max_headers(HEADERS_MAX).max_header_size(HEAD_MAX_BYTES);
    let Limits { head_time_max: head_max, sent_least: least, strict_transport, .. } = limits;
    let times = Times { head_max, least, strict_transport };
    let connections = Connections::new(limits);
    let open = TaskTracker::new();
    let acceptor = tls.map(TlsAcceptor::from);
    loop {
        let (stream, from) = tokio::select! {
            accepted = Listener::accept(&mut tcp) => accepted,
            () = tasks.token().cancelled() => break,
        };
        let Some(place) = connections.enter(from.ip()) else { continue };
        let place = ConnectionPlace { _place: Arc::new(place) };
        set_options(&stream);
        let (server, is_open, acceptor, router) = (server.clone(), open.token(), acceptor.clone(), router.clone());
        let stop = tasks.token().clone();
        tasks.spawn("http connection", async move {
            let _is_open = is_open;
            let ended = match acceptor {
                None => {
                    let (service, stream) = connection(router, stream, from, place, times);
                    answer(&server, service, stream, &stop).await
                }
                Some(acceptor) => match stop.run_until_cancelled(shake_hands(&acceptor, stream)).await.flatten() {
                    Some(stream) => {
                        let (service, stream) = connection(router, stream, from, place, times);
                        answer(&server, service, stream, &stop).await
                    }
                    None => return,
                },
            };
            if let Err(error) = ended {
                tracing::debug!(%error, client.address = %from.ip(), "HTTP connection was interrupted");
            }
        });
    }
    drop(tcp);
    open.close();
    open.wait().await;
}

/// Answers requests until the client leaves or, when the tasks are stopped, until the open request is answered. Ends when a WebSocket begins.
async fn answer<S, V>(
    server: &http1::Builder,
    service: V,
    stream: TimedStream<S>,
    stop: &CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: Service<hyper::Request<Incoming>, Response = hyper::Response<heads::Answer>, Error = std::convert::Infallible>,
{
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service).with_upgrades());
    tokio::select! {
        ended = &mut connection => return ended,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Options that make answers quicker and notice who is gone. If they can't be set, all of it only takes longer.
fn set_options(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true).ok();
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_notsent_lowat(UNSENT_MAX_BYTES).ok();
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX)).ok();
    }
}

/// The service of a connection, which keeps its place, and its stream with a limit for heads.
fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    router: Router,
    stream: S,
    from: SocketAddr,
    place: ConnectionPlace,
    times: Times,
) -> (
    impl Service<
        hyper::Request<Incoming>,
        Response = hyper::Response<heads::Answer>,
        Error = std::convert::Infallible,
        Future = impl Future + Send,
    >,
    TimedStream<S>,
) {
    let heads = Heads::default();
    let stream = TimedStream::new(stream, heads.clone(), times);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectedFrom(from));
        request.extensions_mut().insert(place.clone());
        let answering = heads.answering();
        let answer = router.call(request);
        let heads = heads.clone();
        async move {
            let response = answer.await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                heads.no_more();
            }
            Ok(response.map(|body| heads::Answer::new(body, answering)))
        }
    });
    (service, stream)
}

#[cfg(test)]
mod tests;
