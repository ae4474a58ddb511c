//! Problems that many operations may answer with, added in one place. What an endpoint says itself stays.

use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

use crate::http::observe::MONITORING;

/// Status, name among the components, description.
const PROBLEMS: [(&str, &str, &str); 11] = [
    ("400", "BadRequest", "Not readable, or an unknown parameter"),
    ("401", "Unauthorized", "No valid credential"),
    ("403", "Forbidden", "The credential doesn't allow this"),
    ("404", "NotFound", "Unknown, or of another tenant"),
    ("409", "Conflict", "Not possible in this state"),
    ("412", "PreconditionFailed", "It has another version than `If-Match` says"),
    ("413", "TooLarge", "The body is larger than this request may have"),
    ("415", "UnsupportedMediaType", "The body has another media type"),
    ("422", "Invalid", "A field or a position is wrong"),
    (
        "429",
        "TooManyRequests",
        "A rate limit; `Retry-After` says when to go on, `RateLimit` and `RateLimit-Policy` say how much there is",
    ),
    ("503", "Unavailable", "A part that is needed is down or behind; `Retry-After` says when to try again"),
];
const ALL: [&str; 1] = ["400"];
const LIMITED: [&str; 1] = ["429"];
const AUTHENTICATED: [&str; 5] = ["401", "403", "404", "422", "503"];
const WITH_BODY: [&str; 3] = ["413", "415", "422"];
const COMMANDS: [&str; 3] = ["409", "412", "422"];

/// The components that operations refer to.
pub(super) fn components() -> impl Iterator<Item = (String, RefOr<Response>)> {
    PROBLEMS.into_iter().map(|(_, name, description)| (name.to_owned(), RefOr::T(problem_response(description))))
}

/// A reply with a problem.
pub(crate) fn problem_response(description: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name("ProblemBody")));
    ResponseBuilder::new().description(description).content("application/problem+json", body).build()
}

/// Adds what an operation may answer besides what it says.
pub(super) fn add(operation: &mut Operation, path: &str, is_command: bool) {
    let is_authenticated = operation.security.is_none();
    let mut statuses = ALL.to_vec();
    if !MONITORING.contains(&path) {
        statuses.extend(LIMITED);
    }
    if is_authenticated {
        statuses.extend(AUTHENTICATED);
    }
    if operation.request_body.is_some() {
        statuses.extend(WITH_BODY);
    }
    if is_command {
        statuses.extend(COMMANDS);
    }
    for (status, name, _) in PROBLEMS {
        if statuses.contains(&status) {
            let response = RefOr::Ref(Ref::from_response_name(name));
            operation.responses.responses.entry(status.to_owned()).or_insert(response);
        }
    }
}
