//! Error replies: RFC 9457 `application/problem+json`.
//!
//! `type` names the reason and is stable; `detail` is for people. A rejection by the rules keeps the code of its [`Rejection`]; its data is
//! under `facts`. Statuses: 404 only for the path's own id, 422 for requests that can never succeed, 409 for those that could in another
//! state, 503 names the dependency that is down.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{Rejection, RejectionKind};
use event_store::{ExecuteError, StoreError};
use projections::DbError;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// When a caller may try again after a 503, in seconds.
pub(crate) const RETRY_AFTER_S: u32 = 2;

/// An error in one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Path of the field, such as `waves[1].percentage`.
    pub(crate) field: String,
    pub(crate) reason: String,
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// A problem that becomes a reply.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    errors: Vec<FieldError>,
    facts: Option<Value>,
    retry_after_s: Option<u32>,
    /// Size in bytes, for a request of ranges that the file doesn't have.
    size: Option<u64>,
}

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// `/problems/{code}`: stable, for programs.
    #[serde(rename = "type")]
    #[schema(example = "/problems/illegal_in_state")]
    kind: String,
    title: String,
    status: u16,
    detail: String,
    /// Path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Data of the rejection; depends on `type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<Value>,
}

impl Problem {
    pub(crate) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

    pub(crate) fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        let (code, detail) = (code.into(), detail.into());
        Self(Box::new(Inner { status, code, detail, errors: vec![], facts: None, retry_after_s: None, size: None }))
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// A refusal with a reason of its own.
    pub(crate) fn forbidden_as(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// A field with an invalid value.
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError::new(field, reason)])
    }

    /// Fields with invalid values.
    pub(crate) fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let texts: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.field, error.reason)).collect();
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", texts.join("; "));
        problem.0.errors = errors;
        problem
    }

    /// Adds the fields with errors.
    #[must_use]
    pub(crate) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// A dependency is down; the caller may try again.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.0.retry_after_s = Some(RETRY_AFTER_S);
        problem
    }

    /// The caller has sent or taken too much; when to try again, in seconds.
    pub(crate) fn too_many_requests(code: &'static str, detail: impl Into<String>, retry_after_s: u32) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail);
        problem.0.retry_after_s = Some(retry_after_s);
        problem
    }

    /// An internal error. The reason is for the log, not for the caller.
    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the service failed; its log says why")
    }

    #[must_use]
    pub(crate) fn with_facts(mut self, facts: Value) -> Self {
        self.0.facts = Some(facts);
        self
    }

    /// For ranges that the file doesn't have: its size.
    #[must_use]
    pub(crate) fn with_size(mut self, size: u64) -> Self {
        self.0.size = Some(size);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// Names the wrong fields as the request does. Other problems stay as they are.
    #[must_use]
    pub(crate) fn renaming(self, name: impl Fn(&str) -> String) -> Self {
        match self.errors() {
            errors if self.code() == "invalid" && !errors.is_empty() => {
                let renamed = |error: &FieldError| FieldError::new(name(&error.field), error.reason.as_str());
                Self::invalid_fields(errors.iter().map(renamed).collect())
            }
            _ => self,
        }
    }

    pub(crate) fn facts(&self) -> Option<&Value> {
        self.0.facts.as_ref()
    }

    /// The body without the path of a request.
    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.body(None)).unwrap_or_default()
    }

    fn body(&self, instance: Option<&str>) -> ProblemBody {
        let Inner { status, code, detail, errors, facts, .. } = &*self.0;
        ProblemBody {
            kind: format!("/problems/{code}"),
            title: title(code),
            status: status.as_u16(),
            detail: detail.clone(),
            instance: instance.map(str::to_owned),
            errors: errors.clone(),
            facts: facts.clone(),
        }
    }

    /// The response, naming the request's path.
    pub(crate) fn respond(&self, instance: Option<&str>) -> Response {
        let mut response = (self.0.status, Json(self.body(instance))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, Self::MEDIA_TYPE);
        if let Some(seconds) = self.0.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(size) = self.0.size
            && let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}"))
        {
            headers.insert(header::CONTENT_RANGE, range);
            headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// `update_in_progress` → `Update in progress`.
fn title(code: &str) -> String {
    let mut words = code.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.respond(None);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let status = match rejection.kind() {
            RejectionKind::Unknown => StatusCode::NOT_FOUND,
            RejectionKind::Conflict => StatusCode::CONFLICT,
            RejectionKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let mut problem = Self::new(status, rejection.code(), rejection.to_string());
        if let Rejection::Invalid { field, reason } = &rejection {
            problem.0.errors = vec![FieldError::new(field, reason)];
        } else if let Ok(Value::Object(mut facts)) = serde_json::to_value(&rejection) {
            facts.remove("rejection");
            problem.0.facts = (!facts.is_empty()).then_some(Value::Object(facts));
        }
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) | StoreError::NoSpace(_) => {
                Self::unavailable("event_log_unavailable", error.to_string())
            }
            StoreError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "record_too_large", error.to_string())
            }
            StoreError::OtherIncarnation { .. } => {
                Self::new(StatusCode::CONFLICT, "other_incarnation", error.to_string())
            }
            StoreError::Refused(_) | StoreError::UnknownEvent { .. } | StoreError::Corrupt { .. } => {
                Self::internal(&error)
            }
        }
    }
}

impl From<ExecuteError> for Problem {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Rejected(rejection) => rejection.into(),
            ExecuteError::VersionDiffers { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "version_differs", error.to_string())
            }
            ExecuteError::Conflict => {
                Self::new(StatusCode::CONFLICT, "conflict", "others kept changing it; nothing was stored, try again")
            }
            ExecuteError::CommandIdReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "the Idempotency-Key was used before with another body",
            ),
            ExecuteError::Store(error) => error.into(),
        }
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match &error {
            DbError::Unavailable(_) | DbError::NotMade(_) => {
                Self::unavailable("postgresql_unavailable", error.to_string())
            }
            DbError::Refused(_) | DbError::Invalid(_) => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_code_and_facts() {
        let rejection = Rejection::IllegalInState { command: "paused".into(), status: "draft".into() };
        let problem = Problem::from(rejection);
        let body = serde_json::to_value(problem.body(Some("/x"))).unwrap();
        assert_eq!(body["type"], "/problems/illegal_in_state");
        assert_eq!(body["title"], "Illegal in state");
        assert_eq!(body["status"], 409);
        assert_eq!(body["facts"]["status"], "draft");
        assert_eq!(body["instance"], "/x");
    }

    #[test]
    fn an_absent_dependency_is_named() {
        let log = Problem::from(StoreError::Unavailable("x".into()));
        assert_eq!(log.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(log.detail().contains("event log"), "{}", log.detail());
        let unmade = Problem::from(DbError::NotMade("x".into()));
        assert_eq!(unmade.status(), StatusCode::SERVICE_UNAVAILABLE);
        let database = Problem::from(DbError::Unavailable("x".into()));
        assert!(database.detail().contains("PostgreSQL"), "{}", database.detail());
        assert!(database.respond(None).headers().contains_key(header::RETRY_AFTER));
    }
}
