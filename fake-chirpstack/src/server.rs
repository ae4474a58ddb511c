//! Connections: HTTP/2, in clear text or with TLS. The server can be taken down and brought back at the same address.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use runtime::lifecycle::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::services;
use crate::shared::Shared;

/// Pause after an accept or a bind that failed.
const PAUSE: Duration = Duration::from_millis(20);

/// Serves until the tasks stop. `is_up` takes it down: connections break and new ones are refused.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    mut is_up: watch::Receiver<bool>,
    tasks: Tasks,
) {
    let stopping = tasks.token().clone();
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    while !stopping.is_cancelled() {
        let open = match listener.take() {
            Some(open) => open,
            None => {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    up = is_up.wait_for(|up| *up) => if up.is_err() { return },
                }
                bind_again(address).await
            }
        };
        let connections = stopping.child_token();
        tokio::select! {
            () = stopping.cancelled() => {}
            _ = is_up.wait_for(|up| !*up) => {}
            () = accept(&open, tls.as_ref(), &shared, &connections, &tasks) => {}
        }
        connections.cancel();
    }
}

/// The address is ours; it may take a moment until the system gives it back.
async fn bind_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => tracing::warn!(%error, "the fake ChirpStack can't listen again yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn accept(
    listener: &TcpListener,
    tls: Option<&TlsAcceptor>,
    shared: &Arc<Shared>,
    connections: &CancellationToken,
    tasks: &Tasks,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let accepted = accepted(stream, tls.cloned(), Arc::clone(shared), connections.clone());
                tasks.spawn("fake-chirpstack-connection", accepted);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn accepted(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>, closed: CancellationToken) {
    let Some(tls) = tls else { return connection(stream, shared, closed).await };
    match tls.accept(stream).await {
        Ok(stream) => connection(stream, shared, closed).await,
        Err(error) => tracing::debug!(%error, "a client was not let in"),
    }
}

async fn connection<S>(stream: S, shared: Arc<Shared>, closed: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let call = Call::new(request, Arc::clone(&shared));
        async move { Ok::<_, Infallible>(services::serve(call).await) }
    });
    let served = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = closed.cancelled() => {}
        result = served => if let Err(error) = result {
            tracing::debug!(%error, "a connection ended");
        }
    }
}
