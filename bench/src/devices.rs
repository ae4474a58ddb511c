//! Instant devices in this process: they read the log and answer each dispatched update at once with all the commands that the bridge
//! would send for a real device.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use domain::DeviceId;
use domain::device::DeviceEvent;
use event_store::{Delivery, RawRecord, Record};
use futures::TryStreamExt;
use runtime::lifecycle::Tasks;
use tokio::sync::watch;

use crate::fleet::{Fleet, IN_FLIGHT, number_of};
use crate::world::Part;

/// Name of the part that the devices' commands are decided in.
pub(crate) const DEVICES: &str = "devices";
/// Type of the aggregates to read.
const DEVICE: &str = "device";
/// Only records with this text are decoded.
const DISPATCHED: &str = "\"update.dispatched\"";

/// The running devices. They stop when this is dropped.
pub(crate) struct InstantDevices {
    _part: Part,
    tasks: Tasks,
    /// Devices that have finished an update.
    done: watch::Receiver<usize>,
}

impl InstantDevices {
    /// Answers every update that is dispatched after a position.
    pub(crate) fn start(fleet: Arc<Fleet>, after: u64) -> Result<Self> {
        let (part, tasks) = (Part::new(DEVICES)?, Tasks::new());
        let (count, done) = watch::channel(0);
        let stop = tasks.token().clone();
        part.spawn(&tasks, "instant devices", async move {
            tokio::select! {
                () = stop.cancelled() => Ok(()),
                ended = answer_all(&fleet, after, &count) => ended,
            }
        })?;
        Ok(Self { _part: part, tasks, done })
    }

    /// Waits until this number of devices has finished. Fails if none finishes within `pause_max`.
    pub(crate) async fn finish(&self, wanted: usize, pause_max: Duration) -> Result<()> {
        let mut done = self.done.clone();
        while *done.borrow_and_update() < wanted {
            let moved = tokio::time::timeout(pause_max, done.changed()).await;
            let moved = moved.with_context(|| format!("only {} of {wanted} devices are done", *self.done.borrow()))?;
            moved.context("the devices have stopped")?;
        }
        Ok(())
    }
}

impl Drop for InstantDevices {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

async fn answer_all(fleet: &Fleet, after: u64, count: &watch::Sender<usize>) -> Result<()> {
    let records = fleet.store.log().subscribe(after + 1).map_err(anyhow::Error::from);
    records
        .try_filter_map(|delivery| async move {
            match delivery {
                Delivery::Record(record) => dispatched(&record),
                Delivery::CaughtUp { .. } => Ok(None),
            }
        })
        .try_for_each_concurrent(IN_FLIGHT, |(n, ordinal, attempt)| async move {
            fleet.update(n, ordinal, attempt, false).await?;
            count.send_modify(|count| *count += 1);
            Ok(())
        })
        .await
}

/// The device and the update that a record dispatches, if it does.
fn dispatched(record: &RawRecord) -> Result<Option<(usize, u32, u16)>> {
    let is_one = record.key.kind == DEVICE && std::str::from_utf8(&record.body)?.contains(DISPATCHED);
    if !is_one {
        return Ok(None);
    }
    let n = number_of(&DeviceId::new(record.key.id.clone())?).context("the device isn't of this fleet")?;
    let events = Record::decode(record.position, &record.body)?.decode_events::<DeviceEvent>(record.position)?;
    Ok(events.iter().find_map(|event| match event {
        DeviceEvent::UpdateDispatched { update, .. } => Some((n, update.ordinal, update.attempt)),
        _ => None,
    }))
}
