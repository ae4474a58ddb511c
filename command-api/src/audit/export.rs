//! `GET /audit/export`: the same events as one file of any size, in constant memory.
//!
//! A task reads page after page of the archive, always up to the position of the beginning, and waits until the client has taken them. No
//! transaction stays open meanwhile. The last line says that the file is complete; without it the export broke off.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use event_store::Position;
use futures::stream;
use projections::archive::{AuditFilter, Order, audit};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::csv;
use super::filters::{AuditFilters, TypeParams};
use super::item::AuditItem;
use super::slots::ExportSlot;
use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::reply::POSITION_HEADER;
use crate::http::{FilterSet, Filters, MinPosition, PositionParams, Problem};
use crate::state::App;

/// Events of one part of the file.
const PART_EVENTS: usize = 500;
/// Parts that wait for the client.
const PARTS_WAITING_MAX: usize = 1;
/// How long a client may take for one part. Then the export breaks off.
const PART_PATIENCE: Duration = Duration::from_secs(60);
/// `type` of the last line.
const COMPLETE: &str = "export.complete";

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Ndjson,
    Csv,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportFilters {
    /// `ndjson` (the default): one JSON object a line. `csv`: for spreadsheets.
    #[param(inline)]
    format: Option<Format>,
    #[serde(flatten)]
    #[param(ignore)]
    audit: AuditFilters,
}

impl FilterSet for ExportFilters {
    const REPEATABLE: &'static [&'static str] = AuditFilters::REPEATABLE;

    fn set(&mut self, name: &str, values: Vec<String>) {
        self.audit.set(name, values);
    }
}

/// Export a tenant's events
///
/// The events of `GET /audit` as one file, without a limit of size. `Waybill-Position` is the position up to which the log is shown. The last line
/// of a complete file has the type `export.complete`, that position and the number of events; in CSV it is a row, with the number in the column
/// `version`. A file without it is not complete: ask again. An export ends early if its reader takes nothing for 60 s. 503 `exports_busy` while two
/// exports of the tenant run.
#[utoipa::path(
    get, path = "/audit/export", tag = "audit", params(ExportFilters, AuditFilters, TypeParams, PositionParams),
    responses(
        (status = 200, description = "The file", content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 503, description = "Too many exports at the same time, or PostgreSQL is down", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn export_audit(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<ExportFilters>,
    min_position: MinPosition,
) -> Result<Response, Problem> {
    let ExportFilters { format, audit } = filters;
    let format = format.unwrap_or(Format::Ndjson);
    let (filter, order) = (audit.filter()?, audit.order());
    let slot = app.exports.take(&caller.tenant)?;
    let until = audit.until(&app, &caller, min_position).await?;
    let position = app.token(until).await?.to_string();
    let (parts, taken) = channel(PARTS_WAITING_MAX);
    let export = Export { app: app.clone(), caller, filter, order, until, format, events: 0, parts, _slot: slot };
    app.tasks.spawn("audit export", export.run());
    let body = Body::from_stream(stream::unfold(taken, async |mut taken| taken.recv().await.map(|part| (part, taken))));
    let (kind, name) = match format {
        Format::Ndjson => ("application/x-ndjson", "attachment; filename=\"audit.ndjson\""),
        Format::Csv => ("text/csv; charset=utf-8; header=present", "attachment; filename=\"audit.csv\""),
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)];
    let mut response = (headers, body).into_response();
    if let Ok(position) = HeaderValue::from_str(&position) {
        response.headers_mut().insert(POSITION_HEADER, position);
    }
    Ok(response)
}

/// An export under way.
struct Export {
    app: App,
    caller: Caller,
    filter: AuditFilter,
    order: Order,
    until: u64,
    format: Format,
    events: u64,
    parts: Sender<Result<Bytes, std::io::Error>>,
    _slot: ExportSlot,
}

impl Export {
    /// Sends all parts. An error breaks the connection, so that a client which doesn't look at the last line sees it, too.
    async fn run(mut self) {
        let stop = self.app.tasks.token().clone();
        let done = stop.run_until_cancelled(self.send_all()).await;
        let detail = match done {
            Some(Ok(())) => return,
            Some(Err(problem)) => problem.detail().to_owned(),
            None => "the process stops".to_owned(),
        };
        tracing::warn!(events = self.events, detail, "An export of the audit broke off.");
        let broken = Err(std::io::Error::other("the export broke off"));
        drop(timeout(PART_PATIENCE, self.parts.send(broken)).await);
    }

    async fn send_all(&mut self) -> Result<(), Problem> {
        let incarnation_ms = self.app.incarnation_ms().await?;
        if self.format == Format::Csv {
            self.send(csv::row(csv::COLUMNS.map(str::to_owned))?).await?;
        }
        let mut after: Option<Position> = None;
        loop {
            let (db, tenant) = (&self.app.db, &self.caller.tenant);
            let page = audit(db, tenant, &self.filter, self.order, self.until, after, PART_EVENTS).await?;
            let mut part = Vec::new();
            self.events += page.entries.len() as u64;
            for entry in page.entries {
                part.extend(self.line(&AuditItem::of(entry, incarnation_ms)?)?);
            }
            if !part.is_empty() {
                self.send(part).await?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let position = self.app.token(self.until).await?.to_string();
        let end = match self.format {
            Format::Ndjson => {
                format!("{}\n", json!({"type": COMPLETE, "at_position": position, "events": self.events})).into_bytes()
            }
            Format::Csv => csv::end(&position, COMPLETE, self.events)?,
        };
        self.send(end).await
    }

    fn line(&self, item: &AuditItem) -> Result<Vec<u8>, Problem> {
        match self.format {
            Format::Csv => csv::of_item(item),
            Format::Ndjson => {
                let mut line = serde_json::to_vec(item).map_err(Problem::internal)?;
                line.push(b'\n');
                Ok(line)
            }
        }
    }

    async fn send(&self, part: Vec<u8>) -> Result<(), Problem> {
        let slow = || Problem::unavailable("reader_too_slow", "the reader took nothing for too long, or has left");
        let sent = timeout(PART_PATIENCE, self.parts.send(Ok(part.into()))).await;
        sent.map_err(|_| slow())?.map_err(|_| slow())
    }
}

#[cfg(test)]
mod tests {
    use domain::{Actor, TenantId};
    use futures::StreamExt as _;
    use futures::future::join;

    use super::*;
    use crate::tests::Api;

    #[tokio::test]
    async fn an_export_that_breaks_off_has_no_last_line_and_ends_with_an_error() {
        let api = Api::new();
        let tenant = TenantId::new("acme").unwrap();
        for format in [Format::Ndjson, Format::Csv] {
            let caller = Caller {
                tenant: tenant.clone(),
                actor: Actor::new("user:1").unwrap(),
                roles: vec![],
                limited: vec![],
                limits: None,
                is_kind_stated: true,
            };
            let (parts, taken) = channel(PARTS_WAITING_MAX);
            let (app, slot) = (api.app.clone(), api.app.exports.take(&tenant).unwrap());
            let (filter, order) = (AuditFilter::default(), Order::OldestFirst);
            // There is no PostgreSQL to read from.
            let export = Export { app, caller, filter, order, until: 7, format, events: 0, parts, _slot: slot };
            let file = stream::unfold(taken, async |mut taken| taken.recv().await.map(|part| (part, taken)));
            let ((), parts) = join(export.run(), file.collect::<Vec<_>>()).await;
            let (last, before) = parts.split_last().unwrap();
            assert!(last.is_err(), "{parts:?}");
            let text: Vec<u8> = before.iter().flat_map(|part| part.as_ref().unwrap().to_vec()).collect();
            assert!(!String::from_utf8(text).unwrap().contains(COMPLETE));
        }
    }
}
