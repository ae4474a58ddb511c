//! `POST /devices/import`: register up to 10,000 devices from a CSV file, each with an outcome of its own.
//!
//! A row becomes the JSON of `POST /devices` and is then registered like an item of `POST /devices/bulk`, so the rules are the same.

pub(super) mod chirpstack;
mod table;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};

use super::bulk::register_all;
use crate::auth::Caller;
use crate::http::body;
use crate::http::outcomes::{self, BulkHeaders, BulkReply, Outcome};
use crate::http::problem::ProblemBody;
use crate::http::{Problem, UnreadCommand};
use crate::state::App;

/// Import devices from CSV
///
/// Up to 10,000 rows of UTF-8, separated by commas, or by semicolons if the header has no comma. The header names the fields of `POST
/// /devices`. A tag has a column `tag:{key}`, the version of a component a column `version:{component}`; `firmware_version` is the version
/// of the firmware. Blanks around a cell are removed. An empty cell is an absent field; rows of empty cells are ignored. A column that is
/// unknown or occurs twice is refused (422) before anything is stored, and so is a file with a line break in a cell. Every row has an outcome
/// of its own, with its line in the file. If rows have no `device_id`, the request needs an `Idempotency-Key`, so that it can be repeated.
#[utoipa::path(
    post, path = "/devices/import", tag = "devices", params(BulkHeaders),
    request_body(
        content = String, content_type = "text/csv",
        example = "device_id,device_model,firmware_version,tag:site\nd-1,SF-2024-Pro,1.0.0,north\nd-2,SF-2024-Pro,1.0.0,\"hall 2, south\"\n"
    ),
    responses(
        (status = 200, description = "An outcome for each row", body = BulkReply),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A column is unknown, or the body is not CSV", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn import_devices(
    State(app): State<App>,
    caller: Caller,
    UnreadCommand(envelope): UnreadCommand,
    request: Request,
) -> Result<(HeaderMap, Json<BulkReply>), Problem> {
    outcomes::without_if_match(request.headers())?;
    check_media_type(request.headers())?;
    let bytes = body::read(request, &app).await?;
    let items = table::read(&bytes)?;
    let outcomes = register_all(&app, &caller, &envelope, "/devices/import", items).await?;
    outcomes::reply(&app, &envelope, outcomes.into_iter().map(naming_columns).collect()).await
}

/// 415 for everything but `text/csv` in UTF-8.
fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = media_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_csv = parts.next().is_some_and(|essence| essence == "text/csv");
    let is_utf8 = parts.all(|part| {
        let charset = part.strip_prefix("charset=").map(|charset| charset.trim_matches('"').to_owned());
        charset.is_none_or(|charset| ["utf-8", "utf8", "us-ascii"].contains(&charset.as_str()))
    });
    if is_csv && is_utf8 {
        return Ok(());
    }
    let detail = "the body must be text/csv in UTF-8";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
}

/// The outcome with the names of columns instead of fields.
fn naming_columns(outcome: Outcome) -> Outcome {
    Outcome { result: outcome.result.map_err(|problem| problem.renaming(column_of)), ..outcome }
}

/// The column of a field's path.
fn column_of(field: &str) -> String {
    for (path, column) in [("tags.", table::TAG), ("versions.", table::VERSION)] {
        if let Some(key) = field.strip_prefix(path) {
            return format!("{column}{key}");
        }
    }
    field.to_owned()
}
