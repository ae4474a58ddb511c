//! What the state of the installation has beside its parts: parked aggregates and streams. For platform admins only, because aggregates are
//! named with their tenants.

use event_store::stream_sizes::StreamSize;
use projections::parked::{self, ParkedAggregate};
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::App;

/// An aggregate that a projection could not apply. It and all its later records wait for `waybill projections unpark`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParkedBody {
    #[schema(example = "fleet")]
    projection: String,
    tenant: String,
    /// Its type.
    #[schema(example = "device")]
    aggregate: String,
    #[schema(example = "d-1")]
    aggregate_id: String,
    records: u64,
    first_position: u64,
    last_position: u64,
    /// Why the first of its records could not be applied.
    error: String,
}

/// A stream of JetStream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamBody {
    #[schema(example = "EVENTS")]
    name: String,
    messages: u64,
    bytes: u64,
    first_sequence: u64,
    last_sequence: u64,
    /// Null if it has no limit.
    max_bytes: Option<u64>,
}

impl From<ParkedAggregate> for ParkedBody {
    fn from(parked: ParkedAggregate) -> Self {
        Self {
            projection: parked.projection,
            tenant: parked.tenant,
            aggregate: parked.aggregate,
            aggregate_id: parked.aggregate_id,
            records: parked.records,
            first_position: parked.first_position,
            last_position: parked.last_position,
            error: parked.error,
        }
    }
}

impl From<StreamSize> for StreamBody {
    fn from(size: StreamSize) -> Self {
        let StreamSize { name, messages, bytes, first_sequence, last_sequence, max_bytes } = size;
        Self { name, messages, bytes, first_sequence, last_sequence, max_bytes }
    }
}

/// Parked aggregates, at most 100; none without PostgreSQL.
pub(super) async fn parked(app: &App) -> Option<Vec<ParkedBody>> {
    Some(parked::list(&app.db).await.ok()?.into_iter().map(ParkedBody::from).collect())
}

/// The streams; none while JetStream doesn't answer.
pub(super) async fn streams(app: &App) -> Option<Vec<StreamBody>> {
    let sizes = app.stream_sizes.as_ref()?.read().await;
    Some(sizes.ok()?.into_iter().map(StreamBody::from).collect())
}
