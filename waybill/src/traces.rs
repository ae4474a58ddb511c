//! Traces of requests and commands, sent to a collector by OTLP over HTTP; off unless an endpoint is set.
//!
//! Spans are kept in a bounded queue and sent by a thread of their own. If a collector is down or slow, spans are lost, but nothing waits.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

/// Spans that wait to be sent; more are dropped.
const QUEUED_MAX: usize = 4_096;
/// Longest time until a span is sent.
const SEND_INTERVAL: Duration = Duration::from_secs(2);
/// Longest time that a request to the collector may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last spans may take at the end of the process.
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// Crates whose spans are sent.
const CRATES: [&str; 7] =
    ["waybill", "command_api", "event_store", "process_managers", "mqtt_bridge", "projections", "domain"];
const PATH: &str = "/v1/traces";
/// The variable in which other programs have the collector's address.
const ENDPOINT_STANDARD: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Where a serving process sends traces.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TraceArgs {
    /// Collector that takes traces by OTLP over plain HTTP, such as http://127.0.0.1:4318; OTEL_EXPORTER_OTLP_ENDPOINT names it too
    /// (default: traces are not exported)
    #[arg(long, value_name = "URL", env = "WAYBILL_OTLP_ENDPOINT", hide_env_values = true)]
    pub otlp_endpoint: Option<String>,
}

impl TraceArgs {
    /// The requested export; none by default.
    pub fn traces(&self) -> Result<Option<Traces>> {
        let standard = || std::env::var(ENDPOINT_STANDARD).ok();
        let endpoint = self.otlp_endpoint.clone().or_else(standard).filter(|endpoint| !endpoint.is_empty());
        endpoint.map(|endpoint| Traces::to(&endpoint)).transpose()
    }
}

/// The export of traces of one process.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends to the collector at `endpoint`, such as `http://127.0.0.1:4318`. Connects to nothing yet.
    pub fn to(endpoint: &str) -> Result<Self> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(address(endpoint)?)
            .with_timeout(SEND_TIMEOUT)
            .build()
            .context("traces can't be exported")?;
        let config = BatchConfigBuilder::default().with_max_queue_size(QUEUED_MAX).with_scheduled_delay(SEND_INTERVAL);
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config.build()).build();
        let resource = Resource::builder()
            .with_service_name("waybill")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self(SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build()))
    }

    /// The layer that `tracing` passes spans to.
    pub fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let tracer = self.0.tracer("waybill");
        // Without the hint, libraries check whether finer levels are enabled, and that check makes the next span look disabled.
        let filter = filter_fn(is_ours).with_max_level_hint(LevelFilter::INFO);
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(filter).boxed()
    }

    /// Sends the remaining spans. Blocks for a bounded time.
    pub fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(END_TIMEOUT) {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// Spans of this project's crates, and events within them.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let of_crate = metadata.target().split("::").next().unwrap_or_default();
    CRATES.contains(&of_crate) && *metadata.level() <= Level::INFO
}

/// The URL for traces: with the endpoint's own path if it has one, otherwise the standard path.
fn address(endpoint: &str) -> Result<String> {
    let example = "such as http://127.0.0.1:4318";
    let url = reqwest::Url::parse(endpoint).with_context(|| format!("the OTLP endpoint is not a URL, {example}"))?;
    ensure!(
        url.scheme() == "http" && url.has_host(),
        "the OTLP endpoint begins with {}://, must begin with http://, {example}",
        url.scheme()
    );
    let end = endpoint.trim_end_matches('/');
    Ok(if end.ends_with(PATH) { end.to_owned() } else { format!("{end}{PATH}") })
}

/// Sends on the process's own runtime, because the exporter's thread has none.
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    is_down: AtomicBool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    fn new() -> Result<Self> {
        let http = reqwest::Client::builder().timeout(SEND_TIMEOUT).build()?;
        Ok(Self { http, runtime: Handle::current(), is_down: AtomicBool::new(false) })
    }

    /// Logs one line when the collector goes down and one when it is back.
    fn note(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let error = match outcome {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        let was_down = self.is_down.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !was_down => {
                tracing::warn!(error, "The collector of traces can't be reached; spans are dropped.")
            }
            None if was_down => tracing::info!("The collector of traces is back."),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let (head, body) = request.into_parts();
            let request = http.request(head.method, head.uri.to_string()).headers(head.headers).body(body);
            let reply = request.send().await?;
            let status = reply.status();
            Ok::<_, reqwest::Error>((status, reply.bytes().await?))
        });
        let outcome = match sent.await {
            Ok(Ok((status, body))) => {
                let mut response = Response::new(body);
                *response.status_mut() = status;
                Ok(response)
            }
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        };
        self.note(&outcome);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_with_or_without_the_path_of_traces() {
        assert_eq!(address("http://127.0.0.1:4318/").unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(address("http://o.example/otlp/v1/traces").unwrap(), "http://o.example/otlp/v1/traces");
        for wrong in ["127.0.0.1:4318", "grpc://collector:4317", "https://o.example", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
