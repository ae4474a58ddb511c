//! The outermost layer: every failure becomes a problem that names its path, every request has a time limit, and a panic is a 500.

use std::any::Any;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Where download links lead to.
const DOWNLOADS: &str = "/d/";

/// Longest wait for a reply to any request but an upload.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Ends a request that takes too long.
pub(crate) async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("timeout", "the service did not answer in time; the outcome is not known")
            .into_response(),
    }
}

/// Turns every failure into a problem with the request's path.
pub(crate) async fn problems(request: Request, next: Next) -> Response {
    let path = shown(request.uri().path()).to_owned();
    let response = next.run(request).await;
    let problem = match response.extensions().get::<Problem>() {
        Some(problem) => problem.clone(),
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path has no such method")
        }
        None => return response,
    };
    let mut answer = problem.respond(Some(&path));
    keep(answer.headers_mut(), response.headers());
    answer
}

/// A path as a problem may repeat it: without the token of a download link.
fn shown(path: &str) -> &str {
    if path.starts_with(DOWNLOADS) { DOWNLOADS } else { path }
}

/// Keeps the headers that inner layers have added, except those of the body.
fn keep(headers: &mut HeaderMap, inner: &HeaderMap) {
    for name in inner.keys().filter(|name| **name != header::CONTENT_LENGTH) {
        if headers.contains_key(name) {
            continue;
        }
        for value in inner.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// The reply for unknown paths.
pub(crate) async fn fallback() -> Problem {
    Problem::not_found("there is nothing at this path")
}

/// The reply to a request whose handler panicked.
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Problem::internal(format!("a handler panicked: {text}")).into_response()
}
