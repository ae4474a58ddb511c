//! What a person sees in the browser when a sign-in is refused. Nothing of the request, and nothing that the provider said, is in it.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::metrics;
use crate::http::Problem;

const HTML: &str = "text/html";
const START: &str = "/api/v1/auth/sign-in";

/// Whether a person looks at the answer: browsers name HTML, programs don't.
fn wants_page(parts: &Parts) -> bool {
    let accepted = parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case(HTML))
}

/// What a person can do about it.
fn advice(code: &str) -> &'static str {
    match code {
        "sign_in_failed" => "The sign-in took too long, was used already, or was begun in another window. Begin again.",
        "sign_in_refused" => "The identity provider did not let you in.",
        "issuer_differs" | "id_token_invalid" => {
            "The answer of the identity provider is not valid. Tell those who run this service."
        }
        "no_role" => "You have no role here. Ask who administers your tenant.",
        "several_tenants" => "You have roles in several tenants. Begin at the address of one of them.",
        "too_many_sessions" => "Your tenant has as many sessions as it may have. Try again later.",
        "tenant_unknown" => "Your tenant is not known here.",
        "tenant_suspended" => "Your tenant is suspended.",
        "tenant_closed" => "Your tenant is closed.",
        "provider_unavailable" => "The identity provider can't be reached now. Try again in a minute.",
        "sessions_unavailable" => "You can't be signed in now. Try again in a minute.",
        "not_found" => "This service has no identity provider.",
        _ => "The sign-in has failed. Tell those who run this service.",
    }
}

/// The refusal as a page or as a problem, by what the browser wants. It counts.
pub(super) fn refused(parts: &Parts, problem: Problem) -> Result<Response, Problem> {
    metrics::refused(&problem);
    if !wants_page(parts) {
        return Err(problem);
    }
    let text = advice(problem.code());
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Not signed in</title>\n\
         <h1>You are not signed in</h1>\n<p>{text}</p>\n<p><a href=\"{START}\">Sign in again</a></p>\n</html>\n"
    );
    let mut answer = problem.respond(None);
    *answer.body_mut() = Body::from(page);
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}
