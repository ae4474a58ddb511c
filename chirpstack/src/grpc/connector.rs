//! How a channel connects: to admitted addresses only.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use runtime::outward::Outward;
use tokio::net::TcpStream;
use tonic::codegen::Service;
use tonic::transport::Uri;

/// Connects to the host of a URL if its addresses are admitted.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) Outward);

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let outward = self.0.clone();
        Box::pin(async move {
            let host = url.host().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the URL has no host"))?;
            let default_port = if url.scheme_str() == Some("https") { 443 } else { 80 };
            outward.connect(host, url.port_u16().unwrap_or(default_port)).await.map(TokioIo::new)
        })
    }
}
