//! Inputs of a device besides its connection: timers, a download's end, controls.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::firmware::{Fetched, Timer};

/// A control of the device, as a person at the device could do.
#[derive(Debug)]
pub(super) enum Control {
    /// No power, no network.
    SwitchOff,
    /// Boots, unless it is on.
    SwitchOn,
    /// The network is cut; the device continues to work.
    Unplug,
    Plug,
    /// Breaks the connection once.
    CutConnection,
    PowerCycle,
    FallBack,
    /// Publishes this under the device's topic.
    Publish {
        suffix: String,
        payload: Bytes,
    },
}

#[derive(Debug)]
pub(super) enum Local {
    Stop,
    Control(Control),
    Fetched(Fetched),
    /// A timer has fired, or the time given to [`Locals::next`] has come.
    Due,
}

/// The sources of [`Local`].
pub(super) struct Locals {
    pub(super) stop: CancellationToken,
    pub(super) controls: mpsc::Receiver<Control>,
    pub(super) download: Option<Pin<Box<dyn Future<Output = Fetched> + Send>>>,
    timers: Vec<(Instant, Timer)>,
}

impl Locals {
    pub(super) fn new(stop: CancellationToken, controls: mpsc::Receiver<Control>) -> Self {
        Self { stop, controls, download: None, timers: Vec::new() }
    }

    pub(super) fn set(&mut self, timer: Timer, delay: Duration) {
        self.timers.retain(|(_, set)| *set != timer);
        self.timers.push((Instant::now() + delay, timer));
    }

    /// A timer that has fired, the earliest first.
    pub(super) fn pop_due(&mut self) -> Option<Timer> {
        let now = Instant::now();
        let index = (0..self.timers.len())
            .filter(|index| self.timers[*index].0 <= now)
            .min_by_key(|index| self.timers[*index].0)?;
        Some(self.timers.swap_remove(index).1)
    }

    /// Power is lost: drops timers and the download.
    pub(super) fn clear(&mut self) {
        self.timers.clear();
        self.download = None;
    }

    /// Waits for the next input, until `until` at most. Cancel-safe.
    pub(super) async fn next(&mut self, until: Option<Instant>) -> Local {
        let due = self.timers.iter().map(|(at, _)| *at).chain(until).min();
        let download = &mut self.download;
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Local::Stop,
            control = self.controls.recv() => control.map_or(Local::Stop, Local::Control),
            fetched = async { match download { Some(download) => download.await, None => std::future::pending().await } } => {
                self.download = None;
                Local::Fetched(fetched)
            }
            () = async { match due { Some(due) => tokio::time::sleep_until(due).await, None => std::future::pending().await } } => Local::Due,
        }
    }
}
