//! Updates that are no longer in their device's state: it keeps only the latest ended ones, the log has all of them.

use chrono::{DateTime, Utc};
use domain::device::{Device, DeviceEvent, Update};
use domain::{DeviceId, Key};
use event_store::{At, StoreError};

use super::model::UpdateBody;
use crate::http::Problem;
use crate::state::App;

/// The records of an update in the log.
#[derive(Default)]
struct Traces {
    queued_at: Option<DateTime<Utc>>,
    /// Sequence number of the latest record about it.
    last: Option<u64>,
}

/// The update with this ordinal, now or when it ended. None if it never existed.
pub(super) async fn find(
    app: &App,
    key: &Key<Device>,
    device: &Device,
    ordinal: u32,
) -> Result<Option<Update>, StoreError> {
    if let Some(update) = device.update(ordinal) {
        return Ok(Some(update.clone()));
    }
    if !(1..=device.last_ordinal).contains(&ordinal) {
        return Ok(None);
    }
    let Some(last) = traces(app, key, ordinal).await?.last else { return Ok(None) };
    let then = app.store.load_at(key, At::Position(last)).await?;
    Ok(then.aggregate.update(ordinal).cloned())
}

/// The update with this ordinal as replies to commands show it.
pub(super) async fn body(
    app: &App,
    key: &Key<Device>,
    id: &DeviceId,
    device: &Device,
    ordinal: u32,
) -> Result<UpdateBody, Problem> {
    let update = find(app, key, device, ordinal).await?.ok_or_else(|| Problem::not_found("no such update"))?;
    let mut body = UpdateBody::of(id, &update);
    if body.queued_at.is_none() {
        body.queued_at = traces(app, key, ordinal).await?.queued_at;
    }
    Ok(body)
}

async fn traces(app: &App, key: &Key<Device>, ordinal: u32) -> Result<Traces, StoreError> {
    let mut traces = Traces::default();
    app.store
        .walk(key, |recorded| {
            if recorded.event.update().is_some_and(|update| update.ordinal == ordinal) {
                traces.last = Some(recorded.position.sequence);
                if let DeviceEvent::UpdateQueued { .. } = recorded.event {
                    traces.queued_at = Some(recorded.recorded_at);
                }
            }
        })
        .await?;
    Ok(traces)
}
