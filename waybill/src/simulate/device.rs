//! The shell around one firmware: one task that owns the device's power, network, connection, timers and download.
//!
//! Invariant: every action of the firmware goes through [`Device::perform`], and after every input the status cell is up to date, so that
//! the fleet's counts never lag what was published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use runtime::clock;

use super::download::{Downloader, Order, Standby};
use super::firmware::{Action, Firmware, Timer};
use super::gauges::{DeviceStatusCell, Gauges};
use super::link::Broker;
use super::local::{Control, Local, Locals};
use super::login::{LoginOfFleet, REFUSALS_MAX};
use super::outbox::Outbox;
use super::pace::Pace;

/// The first wait between two attempts to connect; doubles up to [`Pace::reconnect`].
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// Most doublings of the backoff.
const MAX_BACKOFF_DOUBLINGS: u32 = 10;

/// Shared by all devices of a fleet.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) tenant: Arc<str>,
    pub(super) broker: Arc<Broker>,
    pub(super) login: Arc<LoginOfFleet>,
    /// That the broker refuses a device was shown.
    pub(super) refusal_told: Arc<AtomicBool>,
    pub(super) downloader: Downloader,
    /// Connections that may be under way at once.
    pub(super) connecting: Arc<Semaphore>,
    pub(super) gauges: Arc<Gauges>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    Off,
    OffUntil(Instant),
}

pub(super) struct Device {
    pub(super) device_id: String,
    pub(super) firmware: Firmware,
    pub(super) shared: Shared,
    pub(super) locals: Locals,
    pub(super) outbox: Outbox,
    pub(super) status_cell: Arc<DeviceStatusCell>,
    /// The session of the connection, while it is up.
    pub(super) session: Option<String>,
    /// The connection should end, and a new one begin.
    pub(super) cut: bool,
    /// The connection should end after queued messages are sent.
    pub(super) clean: bool,
    pub(super) stopping: bool,
    /// Logins that the broker has refused in a row.
    pub(super) refusals: u32,
    pace: Pace,
    standby: Standby,
    order: Option<Order>,
    power: Power,
    plugged: bool,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Device {
    pub(super) fn new(
        device_id: String,
        firmware: Firmware,
        pace: Pace,
        shared: Shared,
        locals: Locals,
        status_cell: Arc<DeviceStatusCell>,
    ) -> Self {
        Self {
            device_id,
            firmware,
            shared,
            locals,
            outbox: Outbox::default(),
            status_cell,
            session: None,
            cut: false,
            clean: false,
            stopping: false,
            refusals: 0,
            pace,
            standby: Standby::default(),
            order: None,
            power: Power::Off,
            plugged: true,
            failures: 0,
            retry_at: None,
        }
    }

    /// Runs until the fleet stops.
    pub(super) async fn run(mut self, switched_on: bool) {
        if switched_on {
            self.boot();
        }
        while !self.stopping {
            if self.wants_connection() && self.retry_at.is_none_or(|at| at <= Instant::now()) {
                self.connection().await;
            } else {
                let until = match self.power {
                    Power::On => self.retry_at.filter(|_| self.plugged),
                    Power::Off => None,
                    Power::OffUntil(at) => Some(at),
                };
                let local = self.locals.next(until).await;
                self.on_local(local);
            }
        }
    }

    pub(super) fn wants_connection(&self) -> bool {
        self.power == Power::On && self.plugged && !self.stopping
    }

    /// Schedules the next attempt after a failed or lost connection, later each time and with jitter.
    pub(super) fn back_off(&mut self) {
        let factor = 1 << self.failures.min(MAX_BACKOFF_DOUBLINGS);
        let wait = (FIRST_BACKOFF * factor).min(self.pace.reconnect);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + wait.mul_f64(rand::rng().random_range(0.5..1.0)));
    }

    pub(super) fn connected(&mut self) {
        self.failures = 0;
        self.refusals = 0;
        self.retry_at = None;
    }

    /// The broker has refused the login. A credential that is refused again and again is given up.
    pub(super) fn refused(&mut self) {
        self.refusals += 1;
        if !self.shared.refusal_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(device.id = %self.device_id, "The broker refuses a device: {}", self.shared.login.advice());
        }
        if self.refusals >= REFUSALS_MAX {
            self.refusals = 0;
            self.firmware.forget_credential();
        }
    }

    pub(super) fn on_local(&mut self, local: Local) {
        match local {
            Local::Stop => self.stopping = true,
            Local::Control(control) => self.on_control(control),
            Local::Fetched(fetched) => {
                let actions = self.firmware.on_fetched(fetched, clock::now());
                self.perform(actions);
            }
            Local::Due => self.on_due(),
        }
    }

    fn on_due(&mut self) {
        if let Power::OffUntil(at) = self.power
            && at <= Instant::now()
        {
            self.boot();
        }
        while let Some(timer) = self.locals.pop_due() {
            let now = clock::now();
            let actions = match timer {
                Timer::Progress => self.firmware.on_progress(self.standby.bytes(), now),
                other => self.firmware.on_timer(other, now),
            };
            self.perform(actions);
        }
    }

    fn on_control(&mut self, control: Control) {
        match control {
            Control::SwitchOff => self.power_down(Power::Off, false),
            Control::SwitchOn if self.power == Power::On => {}
            Control::SwitchOn => self.boot(),
            Control::Unplug => {
                self.plugged = false;
                self.cut = true;
                self.locals.download = None;
            }
            Control::Plug => {
                self.plugged = true;
                self.retry_at = None;
                self.start_download();
            }
            Control::CutConnection => self.cut = true,
            Control::PowerCycle => self.power_down(Power::OffUntil(Instant::now() + self.pace.reboot), false),
            Control::FallBack => {
                let actions = self.firmware.fall_back_now();
                self.perform(actions);
            }
            Control::Publish { suffix, payload } => self.publish(&suffix, payload, false),
        }
        self.note();
    }

    fn boot(&mut self) {
        self.power = Power::On;
        let actions = self.firmware.on_boot(random_id(), clock::now());
        self.perform(actions);
    }

    fn power_down(&mut self, power: Power, clean: bool) {
        self.power = power;
        self.clean = clean;
        self.order = None;
        self.locals.clear();
        if !clean || self.session.is_none() {
            self.outbox.clear();
        }
    }

    /// Carries out the firmware's actions.
    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        self.note();
        for action in actions {
            match action {
                Action::Report { ordinal, report } => {
                    self.shared.gauges.reports.add(1);
                    self.publish_json(&format!("updates/{ordinal}/status"), &report, false);
                }
                Action::RunReport { n, report } => self.publish_json(&format!("run/{n}/status"), &report, false),
                Action::Log { ordinal, text } => self.publish(&format!("updates/{ordinal}/log"), text.into(), false),
                Action::PublishStatus => {
                    if let Some(session) = &self.session {
                        let presence = self.firmware.presence(session);
                        self.publish_json("status", &presence, true);
                    }
                }
                Action::PublishInfo => self.publish_json("info", &self.firmware.info(), false),
                Action::AskCommand => {
                    if self.session.is_some() {
                        self.publish("commands/get", Bytes::from_static(b"{}"), true);
                    }
                }
                Action::After { timer, delay } => self.locals.set(timer, delay),
                Action::Download { url, size, sha256, stop_at } => {
                    self.order = Some(Order { url, size, sha256, stop_at, spread: self.pace.download });
                    self.start_download();
                }
                Action::AbortDownload => self.locals.download = None,
                Action::ErasePartial => self.standby.erase(),
                Action::Reboot { down, clean } => self.power_down(Power::OffUntil(Instant::now() + down), clean),
                Action::Reconnect => self.cut = true,
            }
        }
    }

    /// Starts the latest ordered download, if it is still needed and there is a network.
    fn start_download(&mut self) {
        let wanted = self.firmware.stage_name() == "downloading";
        if let Some(order) = self.order.clone().filter(|_| wanted && self.plugged) {
            let downloader = self.shared.downloader.clone();
            self.locals.download = Some(Box::pin(downloader.fetch(self.standby.clone(), order)));
        }
    }

    fn publish_json(&mut self, suffix: &str, message: &impl Serialize, of_connection: bool) {
        match serde_json::to_vec(message) {
            Ok(payload) => self.publish(suffix, payload.into(), of_connection),
            Err(error) => tracing::error!(device.id = %self.device_id, %error, "message cannot be written as JSON"),
        }
    }

    fn publish(&mut self, suffix: &str, payload: Bytes, of_connection: bool) {
        if self.outbox.push(self.topic(suffix), payload, of_connection) {
            self.shared.gauges.dropped_messages.add(1);
        }
    }

    pub(super) fn topic(&self, suffix: &str) -> String {
        format!("{}/devices/{}/{suffix}", self.shared.tenant, self.device_id)
    }

    /// Updates the status cell and the fleet's gauges.
    pub(super) fn note(&self) {
        let (firmware, flash) = (&self.firmware, self.firmware.flash());
        let target = flash.target();
        let mut status = self.status_cell.read();
        let works = firmware.is_working();
        if status.working != works {
            self.shared.gauges.works(works);
        }
        status.working = works;
        status.stage = firmware.stage_name();
        status.powered = self.power == Power::On;
        status.connected = self.session.is_some();
        status.session = self.session.clone().unwrap_or_default();
        status.boot_id = firmware.boot_id().to_owned();
        status.trial = flash.trial;
        status.boots = flash.boots;
        status.garbage = firmware.garbage();
        status.ordinal = target.map_or(0, |target| target.ordinal);
        status.attempt = target.map_or(0, |target| target.attempt);
        if status.versions != flash.versions {
            status.versions = flash.versions.clone();
        }
        if status.install_count != flash.install_count {
            status.installs = flash.installs.iter().cloned().collect();
            status.install_count = flash.install_count;
            status.repeated_installs = flash.repeated_installs;
        }
    }
}

/// A new random id, as devices create one for a boot or a session.
pub(super) fn random_id() -> String {
    format!("{:016x}", rand::rng().random::<u64>())
}
