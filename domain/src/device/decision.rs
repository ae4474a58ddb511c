//! A decision in progress. Each event is applied to a copy of the device when it is written, so each rule sees the effect of the previous
//! ones.

use chrono::{DateTime, Utc};

use super::events::DeviceEvent;
use super::mark::Mark;
use super::update::Update;
use super::{Device, UpdateRef};

pub(super) struct Decision {
    pub(super) device: Device,
    pub(super) now: DateTime<Utc>,
    /// The update whose preconditions are met.
    pub(super) cleared: Option<u32>,
    /// The device's message that the events follow from.
    pub(super) mark: Option<Mark>,
    /// [`Arrival::window_closed`](super::mark::Arrival::window_closed) of that message.
    pub(super) window_closed: bool,
    events: Vec<DeviceEvent>,
}

impl Decision {
    pub(super) fn new(device: &Device, now: DateTime<Utc>) -> Self {
        Self { device: device.clone(), now, cleared: None, mark: None, window_closed: false, events: Vec::new() }
    }

    pub(super) fn of_message(device: &Device, now: DateTime<Utc>, mark: Option<Mark>) -> Self {
        Self { mark, ..Self::new(device, now) }
    }

    pub(super) fn push(&mut self, mut event: DeviceEvent) {
        event.set_mark(self.mark);
        self.device.apply(&event);
        self.events.push(event);
    }

    /// Whether the events record that the message was applied.
    pub(super) fn is_marked(&self) -> bool {
        self.events.iter().any(|event| event.mark().is_some())
    }

    pub(super) fn finish(self) -> Vec<DeviceEvent> {
        self.events
    }

    /// If there are events, the next update may begin: once, after all other events are written.
    pub(super) fn finish_and_begin_next(mut self) -> Vec<DeviceEvent> {
        if !self.events.is_empty() {
            self.begin_next_own();
        }
        self.finish()
    }

    /// A copy of the update in its current state.
    pub(super) fn update(&self, ordinal: u32) -> Option<Update> {
        self.device.updates.get(&ordinal).cloned()
    }
}

impl Update {
    pub(super) fn reference(&self) -> UpdateRef {
        UpdateRef {
            ordinal: self.ordinal,
            attempt: self.attempt,
            campaign: self.spec.campaign.map(|campaign| campaign.id),
        }
    }
}
