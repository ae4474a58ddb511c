//! The HTTP client: one service, bounded times, bounded retries of requests that may be sent again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use hyper::http::HeaderValue;
use hyper::{Response, StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::payload::{Body, Payload};
use crate::target::Target;

/// How often a request is sent in all.
pub(crate) const ATTEMPTS_MAX: u32 = 4;
/// Pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(300);
/// Longest pause that the service can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Until an answer begins, and between its parts. The service sends a heartbeat every 15 s.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Until the answer to an upload begins: the file is sent meanwhile.
const UPLOAD_MAX: Duration = Duration::from_secs(3600);
/// Largest answer that is read as a whole, in bytes. A page has at most 200 items.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Characters of a path's parameter that are sent as they are.
const UNRESERVED: &[u8] = b"-._~:@";

/// A client of one service, with the token of one actor.
#[derive(Clone)]
pub(crate) struct Client {
    hyper: HyperClient<HttpsConnector<HttpConnector>, Body>,
    pub target: Target,
}

/// A request that may be sent more than once.
#[derive(Clone)]
pub(crate) struct Request {
    pub method: String,
    /// From the service's root, with the query.
    pub path: String,
    pub payload: Payload,
    /// `Idempotency-Key`: with it a request that changes something may be sent again.
    pub key: Option<String>,
    pub accept: &'static str,
}

/// An answer whose body has been read.
pub(crate) struct Answer {
    pub body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::here("the service's answer is no JSON: is the address right?"))
    }
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        let accept = "application/json";
        Self { method: "GET".to_owned(), path: path.into(), payload: Payload::None, key: None, accept }
    }

    /// One that changes something, with a key for its retries.
    pub(crate) fn change(method: &str, path: impl Into<String>, body: Value) -> Self {
        let payload = Payload::Json(body);
        Self { method: method.to_owned(), payload, key: Some(new_key()), ..Self::get(path) }
    }

    fn may_repeat(&self) -> bool {
        self.method == "GET" || self.key.is_some()
    }
}

/// An `Idempotency-Key` for one invocation.
pub(crate) fn new_key() -> String {
    format!("cli-{:032x}", rand::random::<u128>())
}

/// A parameter as a segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || UNRESERVED.contains(&byte) => segment.push(byte.into()),
            byte => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// `?a=b&c=d`, or nothing.
pub(crate) fn query(pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    format!("?{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
}

impl Client {
    pub(crate) fn new(target: Target) -> Result<Self> {
        let url = target.context.url.trim_end_matches('/').to_owned();
        let is_http = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        if !is_http || url.parse::<Uri>().is_err() {
            return Err(Failure::usage(format!("{url:?} is no address: it begins with https:// or http://")));
        }
        let tls = if url.starts_with("https://") { tls(target.context.ca.as_deref())? } else { nobody()? };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let hyper = HyperClient::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp));
        let context = crate::config::Context { url, ..target.context };
        Ok(Self { hyper, target: Target { context, ..target } })
    }

    /// Sends a request and reads the answer; a refusal is a failure.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer> {
        Ok(Answer { body: read(self.open(request).await?).await? })
    }

    pub(crate) async fn get(&self, path: impl Into<String>) -> Result<Value> {
        self.send(&Request::get(path)).await?.json()
    }

    /// The same without the body, which the caller reads.
    pub(crate) async fn open(&self, request: &Request) -> Result<Response<Incoming>> {
        let mut attempt = 1;
        loop {
            let answer = self.attempt(request).await;
            let pause = match &answer {
                Ok(response) if response.status().is_success() => return answer,
                Ok(response) if is_passing(response.status()) => asked_pause(response).unwrap_or(pause_after(attempt)),
                Err(failure) if failure.exit == Exit::Away => pause_after(attempt),
                _ => Duration::ZERO,
            };
            if pause.is_zero() || !request.may_repeat() || attempt == ATTEMPTS_MAX {
                let response = answer?;
                let (status, location) = (response.status().as_u16(), location(&response));
                let failure = Failure::of_answer(status, &read(response).await.unwrap_or_default());
                return Err(Failure { location, ..failure });
            }
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Response<Incoming>> {
        let url = format!("{}{}", self.target.context.url, request.path);
        let mut builder =
            hyper::Request::builder().method(request.method.as_str()).uri(url).header(ACCEPT, request.accept);
        if let Some(token) = &self.target.context.token {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            let mut value = value.map_err(|_| Failure::usage("the token has characters that no token has"))?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(key) = &request.key {
            builder = builder.header("Idempotency-Key", key);
        }
        if let Some(media) = request.payload.media() {
            builder = builder.header(CONTENT_TYPE, media);
        }
        let stream_bytes = request.payload.stream_bytes();
        if let Some(bytes) = stream_bytes {
            builder = builder.header(CONTENT_LENGTH, bytes);
        }
        let built = builder.body(request.payload.body().await?);
        let built = built.map_err(|error| Failure::usage(format!("the request isn't valid: {error}")))?;
        let patience = if stream_bytes.is_some() { UPLOAD_MAX } else { SILENCE_MAX };
        match tokio::time::timeout(patience, self.hyper.request(built)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.away(&causes(&error))),
            Err(_) => Err(self.away("no answer in time")),
        }
    }

    fn away(&self, why: &str) -> Failure {
        Failure::new(Exit::Away, format!("{} can't be reached: {why}", self.target.context.url))
    }
}

/// The next bytes of an answer; none at its end.
pub(crate) async fn next(response: &mut Response<Incoming>) -> Result<Option<Bytes>> {
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, response.body_mut().frame()).await;
        match frame.map_err(|_| Failure::new(Exit::Away, "the service fell silent"))? {
            None => return Ok(None),
            Some(Err(error)) => {
                return Err(Failure::new(Exit::Away, format!("the answer broke off: {}", causes(&error))));
            }
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<Bytes> {
    let deadline = Instant::now() + SILENCE_MAX;
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect();
    match tokio::time::timeout_at(deadline.into(), body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(Failure::new(Exit::Away, format!("the answer broke off: {error}"))),
        Err(_) => Err(Failure::new(Exit::Away, "the answer didn't end in time")),
    }
}

/// Where a redirection leads.
fn location(response: &Response<Incoming>) -> Option<String> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    location.to_str().ok().map(str::to_owned)
}

/// A state of the service that may pass.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}

fn pause_after(attempt: u32) -> Duration {
    PAUSE * 2_u32.pow(attempt - 1)
}

fn asked_pause(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).max(PAUSE))
}

/// An error with its sources, where the reason is.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn tls(ca: Option<&Path>) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| Failure::here(error.to_string()))?;
    let Some(ca) = ca else {
        let builder = builder.with_native_roots();
        let builder =
            builder.map_err(|error| Failure::here(format!("the system's certificates can't be read: {error}")))?;
        return Ok(builder.with_no_client_auth());
    };
    let wrong = |why: String| Failure::usage(format!("{} is no PEM file of a CA: {why}", ca.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// For plain HTTP: trusts no certificate.
fn nobody() -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| Failure::here(error.to_string()))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_service;

    #[test]
    fn parameters_of_paths_are_escaped() {
        assert_eq!(segment("d-1~17"), "d-1~17");
        assert_eq!(segment("a/b?c#d %"), "a%2Fb%3Fc%23d%20%25");
        assert_eq!(segment("user:5f0c"), "user:5f0c");
        assert_eq!(query(&[("q".into(), "a&b".into()), ("x".into(), "1".into())]), "?q=a%26b&x=1");
    }

    fn client(url: String) -> Client {
        let context = crate::config::Context { url, token: Some("wbk_x".to_owned()), ..Default::default() };
        Client::new(Target { name: "here".to_owned(), context, tenant_of_token: None }).unwrap()
    }

    fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
        head.lines()
            .find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
            .map(|(_, value)| value)
    }

    #[tokio::test]
    async fn a_change_is_sent_again_with_its_key() {
        let (url, served) = fake_service::start(&["503 Away", "429 Slow", "200 OK"]).await;
        client(url).send(&Request::change("POST", "/api/v1/groups", serde_json::json!({}))).await.unwrap();
        let heads = served.await.unwrap();
        let keys: Vec<Option<&str>> = heads.iter().map(|head| header(head, "idempotency-key")).collect();
        assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        assert_eq!(header(&heads[0], "authorization"), Some("Bearer wbk_x"));
    }

    #[tokio::test]
    async fn a_change_without_a_key_and_a_refusal_are_sent_once() {
        for (answer, key, exit) in [("503 Away", None, Exit::Away), ("409 Conflict", Some(new_key()), Exit::Refused)] {
            let (url, served) = fake_service::start(&[answer]).await;
            let request = Request { key, ..Request::change("POST", "/api/v1/groups", serde_json::json!({})) };
            let failure = client(url).send(&request).await.err().unwrap();
            assert_eq!(failure.exit, exit);
            assert_eq!(served.await.unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_service_that_stays_away_is_tried_a_bounded_number_of_times() {
        let (url, served) = fake_service::start(&["503 Away"; ATTEMPTS_MAX as usize]).await;
        let failure = client(url).send(&Request::get("/api/v1/devices")).await.err().unwrap();
        assert_eq!((failure.exit, failure.status), (Exit::Away, Some(503)));
        assert_eq!(served.await.unwrap().len(), ATTEMPTS_MAX as usize);
    }

    #[tokio::test]
    async fn a_redirection_says_where_it_leads() {
        let (url, served) = fake_service::start(&["302 Found\r\nlocation: http://bucket/firmware?signature=x"]).await;
        let failure = client(url).open(&Request::get("/d/link")).await.err().unwrap();
        assert_eq!(failure.location.as_deref(), Some("http://bucket/firmware?signature=x"));
        assert_eq!(served.await.unwrap().len(), 1);
    }

    #[test]
    fn pauses_grow() {
        assert_eq!([1, 2, 3].map(|attempt| pause_after(attempt).as_millis()), [300, 600, 1200]);
    }

    #[test]
    fn keys_differ_between_invocations() {
        assert_ne!(new_key(), new_key());
        assert_eq!(new_key().len(), 36);
    }
}
