//! Answers to clients whose request never reaches a handler: the same problems and headers as all others.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use runtime::clock;

use super::{HEAD_MAX_BYTES, HEADERS_MAX};
use crate::http::{Problem, security_headers};

/// How the answers of hyper begin.
const STATUS_LINES: [&[u8]; 2] = [b"HTTP/1.1 4", b"HTTP/1.0 4"];
/// Where the status is in a status line.
const STATUS: std::ops::Range<usize> = 9..12;

/// The status of an answer that refuses a request.
pub(super) fn status_of(answer: &[u8]) -> Option<StatusCode> {
    let is_refusal = STATUS_LINES.iter().any(|line| answer.starts_with(line));
    is_refusal.then(|| StatusCode::from_bytes(answer.get(STATUS)?).ok()).flatten()
}

/// The problem of a head that isn't served.
pub(super) fn of_head(status: StatusCode) -> Problem {
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            let detail = format!("a request may have {HEADERS_MAX} headers, and a head of {HEAD_MAX_BYTES} bytes");
            Problem::new(status, "head_too_large", detail)
        }
        StatusCode::URI_TOO_LONG => Problem::new(status, "uri_too_long", "the address of the request is too long"),
        StatusCode::REQUEST_TIMEOUT => {
            Problem::new(status, "head_too_slow", "the head of the request did not come in time")
        }
        other => Problem::new(other, "malformed_request", "this is no HTTP/1.1 request"),
    }
}

/// A whole answer, after which the connection is closed.
pub(crate) fn answer(problem: &Problem, strict_transport: bool) -> Vec<u8> {
    let body = problem.json();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, Problem::MEDIA_TYPE);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if let Ok(now) = HeaderValue::from_str(&clock::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
        headers.insert(header::DATE, now);
    }
    security_headers::set(&mut headers, false, strict_transport);
    let mut head = format!("HTTP/1.1 {}\r\n", problem.status());
    for (name, value) in &headers {
        // Writing into a text doesn't fail.
        _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    [head.as_bytes(), b"\r\n", &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_has_a_status_here() {
        let status = |text: &str| status_of(text.as_bytes()).map(|status| status.as_u16());
        assert_eq!(status("HTTP/1.1 431 Request Header Fields Too Large\r\n"), Some(431));
        assert_eq!(status("HTTP/1.0 400 Bad Request\r\n"), Some(400));
        for other in ["HTTP/1.1 100 Continue\r\n", "HTTP/1.1 200 OK", "HTTP/1.1 4", "HTTP/1.1 4x0 ", "", "GET / "] {
            assert_eq!(status(other), None, "{other}");
        }
    }

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        let text = String::from_utf8(answer(&of_head(StatusCode::BAD_REQUEST), true)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(head.contains("strict-transport-security: "), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["type"], &body["status"]), (&"/problems/malformed_request".into(), &400.into()));
    }
}
