//! Whether a request that a cookie lets in comes from this origin. A browser shows the cookie also when another page sends the request.

use axum::http::request::Parts;
use axum::http::{Method, header};

use crate::http::Problem;

/// What browsers say about where a request comes from.
const FETCH_SITE: &str = "sec-fetch-site";

/// Refuses a request that changes something, unless the browser says that it comes from this origin.
pub(super) fn must_be_own(parts: &Parts, public_url: &str) -> Result<(), Problem> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method) {
        return Ok(());
    }
    must_be_named(parts, public_url)
}

/// Refuses a request of any method, unless the browser says that it comes from this origin.
pub(super) fn must_be_named(parts: &Parts, public_url: &str) -> Result<(), Problem> {
    let said = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = match (said(FETCH_SITE), said(header::ORIGIN.as_str())) {
        (Some("same-origin"), _) => true,
        (_, Some(origin)) => origin == public_url,
        _ => false,
    };
    if is_own {
        return Ok(());
    }
    let detail = "a request with a session must come from this origin: it needs Sec-Fetch-Site: same-origin, or the Origin of the service";
    Err(Problem::forbidden_as("cross_origin", detail))
}
