//! One event of the audit: an item of a history with its aggregate.

use projections::archive::AuditEntry;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Problem;
use crate::http::history::HistoryItem;

/// One event, or a record that can't be read, with its aggregate.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditItem {
    /// Type of the aggregate.
    #[schema(example = "device")]
    pub(super) aggregate: String,
    #[schema(example = "d-1")]
    pub(super) aggregate_id: String,
    #[serde(flatten)]
    pub(super) item: HistoryItem,
}

impl AuditItem {
    pub(super) fn of(entry: AuditEntry, incarnation_ms: u64) -> Result<Self, Problem> {
        let AuditEntry { key, entry } = entry;
        let item = HistoryItem::of(entry, incarnation_ms)?;
        Ok(Self { aggregate: key.kind.to_string(), aggregate_id: key.id.to_string(), item })
    }
}
