//! Observes every request: metrics, one line of the log, a span of its trace.
//!
//! Invariant: of the caller's input only the correlation id and the client's address are shown, and a request is named by its route. Paths contain ids and tokens of
//! downloads.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::client_address::ClientAddress;

/// Routes that monitoring requests all the time.
pub(crate) const MONITORING: [&str; 4] = ["/health", "/health/ready", "/health/detailed", "/metrics"];
/// The route of unknown paths.
const OTHER: &str = "other";

/// The id of the command that a request became; none for queries.
#[derive(Debug, Clone, Default)]
pub(crate) struct SentCommand(Arc<OnceLock<Uuid>>);

/// Ids by which a request's log line and its events are connected.
#[derive(Clone, Copy)]
struct Ids {
    /// The caller's own. Without it, events carry the id of the campaign or update that they belong to.
    correlation: Option<Uuid>,
    command: Option<Uuid>,
}

impl SentCommand {
    /// Only the first id is kept: auxiliary commands come later.
    pub(crate) fn is(&self, id: Uuid) {
        self.0.get_or_init(|| id);
    }
}

/// Counts, logs and traces a request.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or(OTHER, MatchedPath::as_str).to_owned();
    let method = method_label(&request);
    let sent = SentCommand::default();
    let correlation = header(request.headers(), "x-correlation-id").and_then(|id| id.parse().ok());
    request.extensions_mut().insert(sent.clone());
    let client = request.extensions().get::<ClientAddress>().copied();
    let span = span(method, &route, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), began.elapsed());
    let ids = Ids { correlation, command: sent.0.get().copied() };
    count(method, &route, status, took);
    finish(&span, status, ids);
    log(method, &route, status, took, ids, client);
    response
}

fn count(method: &'static str, route: &str, status: StatusCode, took: Duration) {
    let (route, code) = (route.to_owned(), status.as_u16().to_string());
    metrics::counter!("waybill_http_requests_total", "method" => method, "route" => route.clone(), "status" => code)
        .increment(1);
    metrics::histogram!("waybill_http_request_seconds", "method" => method, "route" => route).record(took);
}

fn log(method: &'static str, route: &str, status: StatusCode, took: Duration, ids: Ids, client: Option<ClientAddress>) {
    let elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (correlation, command) =
        (ids.correlation.map(tracing::field::display), ids.command.map(tracing::field::display));
    let (status, client) = (status.as_u16(), client.map(tracing::field::display));
    if MONITORING.contains(&route) || route == OTHER {
        tracing::debug!(http.method = method, http.route = route, http.status = status, elapsed_ms, "HTTP request");
    } else {
        tracing::info!(
            http.method = method,
            http.route = route,
            http.status = status,
            elapsed_ms,
            client.address = client,
            correlation.id = correlation,
            command.id = command,
            "HTTP request"
        );
    }
}

/// The span of a request, which continues the caller's trace.
fn span(method: &'static str, route: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        correlation.id = Empty,
    );
    if let Some(caller) = header(headers, "traceparent").and_then(parse_traceparent) {
        // Fails if traces are off.
        span.set_parent(opentelemetry::Context::new().with_remote_span_context(caller)).ok();
    }
    span
}

fn finish(span: &Span, status: StatusCode, ids: Ids) {
    span.record("http.response.status_code", status.as_u16());
    if let Some(id) = ids.correlation {
        span.record("correlation.id", tracing::field::display(id));
    }
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// W3C trace context: `version-trace-span-flags`.
fn parse_traceparent(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed =
        version.len() == 2 && version != "ff" && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    if !well_formed || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

/// A closed set, because a caller can send any text as method.
fn method_label(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_the_caller_goes_on_if_it_is_one() {
        let known = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse_traceparent(known).unwrap();
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.is_sampled() && context.is_remote());
        let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for wrong in
            ["", "00-1-2-3", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &zeros, &format!("{known}-x")]
        {
            assert!(parse_traceparent(wrong).is_none(), "{wrong}");
        }
    }
}
