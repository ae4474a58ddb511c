//! Headers of the console's answers, and what a browser says that it takes.

use axum::http::{HeaderMap, HeaderValue, header};

/// Only files and data of this origin; nothing inline, nothing in frames.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                   font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// Names of files contain a hash of their content.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
pub(crate) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// Headers of a file that never changes.
pub(crate) fn for_ever() -> HeaderMap {
    with(IMMUTABLE)
}

/// Headers of the page, which names the files of the version that serves it.
pub(crate) fn of_page() -> HeaderMap {
    with("no-store")
}

fn with(cache: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP)),
        (header::VARY, HeaderValue::from_static("Accept, Accept-Encoding")),
    ])
}

pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    lists(headers, header::ACCEPT_ENCODING, "gzip")
}

pub(crate) fn takes_html(headers: &HeaderMap) -> bool {
    lists(headers, header::ACCEPT, "text/html")
}

/// Whether a header names a value without refusing it.
fn lists(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|one| {
        let (value, weight) = one.split_once(';').unwrap_or((one, ""));
        value.trim().eq_ignore_ascii_case(wanted) && !matches!(weight.replace(' ', "").as_str(), "q=0" | "q=0.0")
    })
}
