//! Replies to commands: the resource after the command, its position, its version.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use event_store::PositionToken;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;

/// Header with the position of the stored events.
pub(crate) const POSITION_HEADER: HeaderName = HeaderName::from_static("waybill-position");

/// A resource with the position after the command.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WithPosition<T> {
    #[serde(flatten)]
    resource: T,
    /// For `Waybill-Min-Position`: `{created_ms of the log}-{sequence}`. Absent on a dry run.
    #[schema(example = "1790000000123-42")]
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    /// Present on a dry run: nothing was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    /// Warnings for the sender, with those of the resource; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A successful reply to a command.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    status: StatusCode,
    resource: T,
    position: PositionToken,
    version: Option<u64>,
    location: Option<String>,
    dry_run: bool,
    warnings: Vec<String>,
}

impl<T> Reply<T> {
    pub(crate) fn ok(resource: T, position: PositionToken) -> Self {
        Self {
            status: StatusCode::OK,
            resource,
            position,
            version: None,
            location: None,
            dry_run: false,
            warnings: vec![],
        }
    }

    #[must_use]
    pub(crate) fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    #[must_use]
    pub(crate) fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    #[must_use]
    pub(crate) fn warning(mut self, text: &str) -> Self {
        self.warnings.push(text.to_owned());
        self
    }

    /// The resource is new: 201 with its path.
    #[must_use]
    pub(crate) fn created(mut self, location: String) -> Self {
        self.status = StatusCode::CREATED;
        self.location = Some(location);
        self
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let position = (!self.dry_run).then(|| self.position.to_string());
        let mut resource = match serde_json::to_value(self.resource) {
            Ok(resource) => resource,
            Err(error) => return Problem::internal(error).into_response(),
        };
        let own = resource.as_object_mut().and_then(|fields| fields.remove("warnings"));
        let own: Vec<String> = own.and_then(|own| serde_json::from_value(own).ok()).unwrap_or_default();
        let warnings = own.into_iter().chain(self.warnings).collect();
        let dry_run = self.dry_run.then_some(true);
        let body = WithPosition { resource, position: position.clone(), dry_run, warnings };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(position) = &position {
            set(POSITION_HEADER, position);
        }
        if let Some(version) = self.version {
            set(header::ETAG, &etag(version));
        }
        if let Some(location) = &self.location {
            set(header::LOCATION, location);
        }
        response
    }
}

/// The version of an aggregate as an entity tag.
pub(crate) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// A resource from a read model, with the version of its aggregate as entity tag.
pub(crate) struct Found<T> {
    pub(crate) resource: T,
    pub(crate) version: u64,
}

impl<T: Serialize> IntoResponse for Found<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.resource).into_response();
        if let Ok(value) = HeaderValue::from_str(&etag(self.version)) {
            response.headers_mut().insert(header::ETAG, value);
        }
        response
    }
}
