//! The HTTP client of buckets. It follows no redirects and uses no proxy.
//!
//! Each wait is bounded: for a connection, for the beginning of an answer, and for the next piece of a body. The time for a whole body isn't
//! bounded, because a slow device may take hours for an image. The wait for a piece is measured only while the piece is asked for, so a device
//! that pauses doesn't lose its download.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use rustls::ClientConfig;
use tokio::time::Sleep;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for an answer to begin.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// Longest wait for the answer to a request with a body, such as a part of 8 MiB, or the list of parts that become one object.
const ANSWER_TO_BODY_MAX: Duration = Duration::from_secs(60);
/// Longest wait for the answer to a request to copy an object within the store.
const ANSWER_TO_COPY_MAX: Duration = Duration::from_secs(600);
/// Longest wait for the next piece of a body.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How long a connection is kept for the next request.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Headers by which S3, Google and Azure are asked to copy.
const COPY_HEADERS: [&str; 3] = ["x-amz-copy-source", "x-goog-copy-source", "x-ms-copy-source"];

/// A client; clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct StoreClient {
    client: Client<HttpsConnector<TcpConnector>, HttpRequestBody>,
    patience: Patience,
}

/// The longest waits.
#[derive(Debug, Clone, Copy)]
struct Patience {
    connect: Duration,
    answer: Duration,
    answer_to_body: Duration,
    answer_to_copy: Duration,
    silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: CONNECT_MAX,
            answer: ANSWER_MAX,
            answer_to_body: ANSWER_TO_BODY_MAX,
            answer_to_copy: ANSWER_TO_COPY_MAX,
            silence: SILENCE_MAX,
        }
    }
}

impl Patience {
    fn with(&self, request: &HttpRequest) -> Duration {
        if COPY_HEADERS.iter().any(|name| request.headers().contains_key(*name)) {
            self.answer_to_copy
        } else if request.body().is_empty() {
            self.answer
        } else {
            self.answer_to_body
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
struct NoAnswer(Duration);

#[derive(Debug, thiserror::Error)]
#[error("the answer stopped half-way for {0:?}")]
struct Silent(Duration);

impl StoreClient {
    pub(crate) fn new(tls: &ClientConfig) -> Self {
        Self::with(tls, Patience::default())
    }

    fn with(tls: &ClientConfig, patience: Patience) -> Self {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(patience.connect));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(connector.wrap_connector(tcp));
        Self { client, patience }
    }
}

impl HttpConnector for StoreClient {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for StoreClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let patience = self.patience.with(&request);
        let answer = tokio::time::timeout(patience, self.client.request(request)).await;
        let answer = answer.map_err(|_| HttpError::new(HttpErrorKind::Timeout, NoAnswer(patience)))?;
        let (parts, body) = answer.map_err(unanswered)?.into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(Bounded::new(body, self.patience.silence))))
    }
}

fn unanswered(error: hyper_util::client::legacy::Error) -> HttpError {
    let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
    HttpError::new(kind, error)
}

/// A body that fails if its next piece doesn't come in time.
struct Bounded {
    body: Incoming,
    silence_max: Duration,
    /// The end of the wait for the next piece; none while no piece is asked for.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Bounded {
    fn new(body: Incoming, silence_max: Duration) -> Self {
        Self { body, silence_max, silence: None }
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        // Bytes that have arrived are taken, also when they are asked for late.
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.silence = None;
            let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let silence_max = self.silence_max;
        let begun = || Box::pin(tokio::time::sleep(silence_max));
        ready!(self.silence.get_or_insert_with(begun).as_mut().poll(context));
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, Silent(silence_max)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3Builder;
    use object_store::path::Path;
    use object_store::{Error, ObjectStore, ObjectStoreExt, RetryConfig};
    use rustls::RootCertStore;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::{Instant, timeout};

    use super::*;

    /// The wait in these tests.
    const SHORT: Duration = Duration::from_millis(200);
    /// A bounded call takes less.
    const LONG: Duration = Duration::from_secs(10);

    fn store(port: u16) -> impl ObjectStore {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let patience =
            Patience { connect: SHORT, answer: SHORT, answer_to_body: SHORT, answer_to_copy: SHORT, silence: SHORT };
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        AmazonS3Builder::new()
            .with_bucket_name("firmware")
            .with_access_key_id("id")
            .with_secret_access_key("key")
            .with_endpoint(format!("http://127.0.0.1:{port}"))
            .with_retry(retry)
            .with_http_connector(StoreClient::with(&tls, patience))
            .build()
            .unwrap()
    }

    /// A server that reads requests and answers each connection with this, and no more.
    async fn server(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime::lifecycle::Tasks::new().spawn("server", async move {
            let mut open = Vec::new();
            while let Ok((mut connection, _)) = listener.accept().await {
                let _ = connection.read(&mut [0; 4096]).await;
                connection.write_all(answer.as_bytes()).await.unwrap();
                open.push(connection);
            }
        });
        port
    }

    #[tokio::test]
    async fn a_store_that_hangs_ends_each_call() {
        let store = store(server("").await);
        let path = Path::from("a");
        let begun = Instant::now();
        let got = timeout(LONG, store.get(&path)).await.unwrap().unwrap_err();
        assert!(matches!(&got, Error::Generic { .. }) && format!("{got:?}").contains("NoAnswer"), "{got:?}");
        assert!(timeout(LONG, store.put(&path, "bytes".into())).await.unwrap().is_err());
        assert!(timeout(LONG, store.delete(&path)).await.unwrap().is_err());
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn an_answer_that_stops_half_way_ends_but_not_while_nobody_reads() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"1\"\r\nLast-Modified: Sun, 01 Nov 2026 00:00:00 GMT\r\n\r\nhalf";
        let store = store(server(head).await);
        let mut body = store.get(&Path::from("a")).await.unwrap().into_stream();
        tokio::time::sleep(SHORT * 2).await;
        let first = timeout(LONG, futures::StreamExt::next(&mut body)).await.unwrap().unwrap().unwrap();
        assert_eq!(first, "half");
        let second = timeout(LONG, futures::StreamExt::next(&mut body)).await.unwrap().unwrap();
        assert!(format!("{second:?}").contains("Silent"), "{second:?}");
    }

    #[tokio::test]
    async fn a_store_that_nobody_runs_is_away_at_once() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let got = timeout(LONG, store(port).get(&Path::from("a"))).await.unwrap().unwrap_err();
        assert!(matches!(got, Error::Generic { .. }), "{got:?}");
    }
}
