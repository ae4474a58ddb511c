//! Headers of commands: `Idempotency-Key`, `X-Correlation-Id`, `traceparent`, `If-Match`.

use axum::http::{HeaderMap, header};
use event_store::ExpectedVersion;
use uuid::Uuid;

use super::problem::Problem;
use super::query;

/// Longest idempotency key, in bytes.
const KEY_MAX_BYTES: usize = 255;
/// Longest trace context that is kept, in bytes.
const TRACEPARENT_MAX_BYTES: usize = 128;

/// A W3C trace context; any other text is dropped.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent").and_then(|value| value.to_str().ok())?;
    is_traceparent(text).then(|| text.to_owned())
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    match single(headers, "Idempotency-Key")? {
        None => Ok(None),
        Some(key) if !key.is_empty() && key.len() <= KEY_MAX_BYTES => Ok(Some(key.to_owned())),
        Some(_) => Err(Problem::bad_request(format!("Idempotency-Key is 1 to {KEY_MAX_BYTES} ASCII characters"))),
    }
}

pub(super) fn correlation_id(headers: &HeaderMap) -> Result<Option<Uuid>, Problem> {
    match single(headers, "X-Correlation-Id")? {
        None => Ok(None),
        Some(id) => id.parse().map(Some).map_err(|_| Problem::bad_request("X-Correlation-Id is a UUID")),
    }
}

/// The value of a header that may be given once.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(query::refused(name, "is given twice"));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| query::refused(name, "has characters that aren't ASCII"))
}

/// `{version}-{trace id}-{parent id}-{flags}` in lower-case hexadecimal, neither id all zeros. Later versions may add more after it.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let id = |part: &str, digits: usize| hex(part, digits) && part.bytes().any(|b| b != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags, more @ ..] = &parts[..] else { return false };
    let known = *version == "00";
    let bounded = text.len() <= TRACEPARENT_MAX_BYTES && (more.is_empty() || !known);
    bounded && hex(version, 2) && *version != "ff" && id(trace, 32) && id(parent, 16) && hex(flags, 2)
}

/// An unknown tag matches nothing. A proxy may have turned a tag into a weak one.
pub(super) fn if_match(headers: &HeaderMap) -> Option<ExpectedVersion> {
    let mut tags = headers.get_all(header::IF_MATCH).iter().peekable();
    tags.peek()?;
    let tags: Vec<&str> = tags.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    let version = |tag: &&str| tag.trim().trim_start_matches("W/").trim_matches('"').parse().ok();
    match tags.iter().any(|tag| tag.trim() == "*") {
        true => Some(ExpectedVersion::Existing),
        false => Some(ExpectedVersion::OneOf(tags.iter().filter_map(version).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_given_twice_or_cannot_be_read_is_refused() {
        let headers = |values: &[&[u8]]| {
            let name = axum::http::HeaderName::from_static("idempotency-key");
            values.iter().map(|value| (name.clone(), axum::http::HeaderValue::from_bytes(value).unwrap())).collect()
        };
        let key = |values: &[&[u8]]| idempotency_key(&headers(values)).map_err(|problem| problem.status().as_u16());
        assert_eq!((key(&[]), key(&[b"k"])), (Ok(None), Ok(Some("k".to_owned()))));
        for bad in [&[&b"k"[..], b"k"][..], &[b"\xfc"], &[b""]] {
            assert_eq!(key(bad), Err(400));
        }
    }

    #[test]
    fn only_a_trace_context_of_the_w3c_is_kept() {
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert!(is_traceparent(&format!("00-{trace}-{parent}-01")));
        assert!(is_traceparent(&format!("01-{trace}-{parent}-01-more")));
        for bad in [
            String::new(),
            "secret".to_owned(),
            format!("00-{trace}-{parent}"),
            format!("00-{trace}-{parent}-01-more"),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-{parent}-1"),
            format!("01-{trace}-{parent}-01-{}", "x".repeat(TRACEPARENT_MAX_BYTES)),
        ] {
            assert!(!is_traceparent(&bad), "{bad}");
        }
    }
}
