//! Headers that tell browsers and caches what not to do with an answer.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::state::App;

/// Nothing is loaded, and nothing shows it in a frame.
const CSP: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// The page of the API's description: its own scripts, which ask this service.
const CSP_DOCS: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                        font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Two years.
const HSTS: &str = "max-age=63072000";
/// The page and its files.
const DOCS: &str = "/api/docs";

/// Adds the headers that the handler has not set.
pub(crate) async fn add(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_docs = request.uri().path().starts_with(DOCS);
    let mut response = next.run(request).await;
    set(response.headers_mut(), is_docs, app.config.is_served_by_https());
    response
}

/// Adds the headers that an answer doesn't have. `strict_transport` tells browsers to come by HTTPS only.
pub(crate) fn set(headers: &mut HeaderMap, is_docs: bool, strict_transport: bool) {
    or_set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    or_set(headers, header::REFERRER_POLICY, "no-referrer");
    or_set(headers, header::X_FRAME_OPTIONS, "DENY");
    or_set(headers, header::CONTENT_SECURITY_POLICY, if is_docs { CSP_DOCS } else { CSP });
    // The files of the page have entity tags: a browser asks whether they changed.
    or_set(headers, header::CACHE_CONTROL, if is_docs { "no-cache" } else { "no-store" });
    if strict_transport {
        or_set(headers, header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

fn or_set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}
