//! Many devices in one process: started and stopped together, watched, controlled one by one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};

use runtime::lifecycle::Tasks;

use super::behaviour::{Behaviour, roll};
use super::device::{Device, Shared};
use super::download::Downloader;
use super::firmware::Firmware;
use super::flash::Flash;
use super::gauges::{DeviceStatus, DeviceStatusCell, Gauges};
use super::link::Broker;
use super::local::{Control, Locals};
use super::login::{Login, LoginOfFleet};
use super::pace::Pace;
use super::wire::FIRMWARE;
use crate::http_client::HttpClient;
use crate::tls::trusting;

/// Controls that a device has not handled yet.
const MAX_CONTROLS: usize = 16;
/// How long devices may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest difference of a device's pace from the fleet's.
const PACE_SPREAD: f64 = 0.25;

/// One device of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceSpec {
    pub device_id: String,
    pub device_model: String,
    /// Its first version.
    pub firmware_version: String,
    pub behaviour: Behaviour,
}

/// Settings of a fleet.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    pub mqtt_host: String,
    pub mqtt_port: u16,
    /// Whether devices speak TLS with the broker.
    pub mqtt_tls: bool,
    /// CA that the certificates of broker and file server must come from, in place of the system's.
    pub ca: Option<PathBuf>,
    pub login: Login,
    pub tenant: String,
    pub devices: Vec<DeviceSpec>,
    pub hardware_version: String,
    pub pace: Pace,
    pub seed: u64,
    /// Replaces scheme, host and port of every download link.
    pub http_base: Option<String>,
    /// Connections that may be under way at once.
    pub max_connecting: usize,
    /// Downloads that may run at once; the others wait.
    pub max_downloads: usize,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            mqtt_host: "127.0.0.1".to_owned(),
            mqtt_port: 1883,
            mqtt_tls: false,
            ca: None,
            login: Login::Anonymous,
            tenant: "default".to_owned(),
            devices: Vec::new(),
            hardware_version: "1".to_owned(),
            pace: Pace::default(),
            seed: 1,
            http_base: None,
            max_connecting: 128,
            max_downloads: 256,
        }
    }
}

/// Totals of a fleet.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FleetStatus {
    pub devices: u64,
    pub connected: u64,
    /// Devices by the stage of their last update; `off` for those without power.
    pub stages: BTreeMap<&'static str, u64>,
    /// Devices by the firmware version they run.
    pub versions: BTreeMap<String, u64>,
    /// Devices that accepted an update and have not ended it.
    pub working: u64,
    /// The highest number of those at once.
    pub working_peak: u64,
    pub installs: u64,
    /// The most installs of one device.
    pub most_installs: u32,
    /// Installs of a pair (ordinal, attempt) that its device had installed before: none, unless power failed while installing.
    pub repeated_installs: u64,
    pub downloads: u64,
    pub downloaded_bytes: u64,
    pub connects: u64,
    /// Connections that ended without the device's own action.
    pub lost_connections: u64,
    pub commands: u64,
    pub reports: u64,
    /// Messages the broker acknowledged.
    pub acknowledged: u64,
    /// Messages dropped because a device's memory was full.
    pub dropped_messages: u64,
    /// Messages to devices that they could not parse.
    pub garbage: u64,
}

/// A running fleet. Dropping it stops the devices without waiting for them.
pub struct Fleet {
    devices: BTreeMap<String, DeviceHandle>,
    gauges: Arc<Gauges>,
    tasks: Tasks,
}

impl Fleet {
    /// Starts every device; they connect on their own. Fails only if `http_base` is not a URL, or the CA can't be read.
    pub fn start(options: FleetOptions) -> anyhow::Result<Self> {
        let tasks = Tasks::new();
        let gauges = Arc::new(Gauges::default());
        let shared = shared(&options, &gauges)?;
        let mut devices = BTreeMap::new();
        for spec in options.devices {
            let (controls, receiver) = mpsc::channel(MAX_CONTROLS);
            let pace = options.pace.scaled(own_factor(options.seed, &spec.device_id));
            let status_cell = Arc::new(DeviceStatusCell::new(DeviceStatus {
                device_id: spec.device_id.clone(),
                device_model: spec.device_model,
                behaviour: spec.behaviour,
                stage: "idle",
                ..DeviceStatus::default()
            }));
            let flash = Flash::factory(BTreeMap::from([(FIRMWARE.to_owned(), spec.firmware_version)]));
            let firmware = Firmware::new(flash, spec.behaviour, pace.clone(), options.hardware_version.clone());
            let locals = Locals::new(tasks.token().clone(), receiver);
            let device =
                Device::new(spec.device_id.clone(), firmware, pace, shared.clone(), locals, Arc::clone(&status_cell));
            device.note();
            tasks.spawn("simulated device", device.run(!spec.behaviour.offline));
            devices.insert(spec.device_id, DeviceHandle { controls, status_cell });
        }
        Ok(Self { devices, gauges, tasks })
    }

    /// The current state of the fleet.
    pub fn status(&self) -> FleetStatus {
        let (working, working_peak) = self.gauges.working();
        let mut sum = FleetStatus {
            working,
            working_peak,
            downloads: self.gauges.downloads.get(),
            downloaded_bytes: self.gauges.downloaded_bytes.get(),
            connects: self.gauges.connects.get(),
            lost_connections: self.gauges.lost_connections.get(),
            commands: self.gauges.commands.get(),
            reports: self.gauges.reports.get(),
            acknowledged: self.gauges.acknowledged.get(),
            dropped_messages: self.gauges.dropped_messages.get(),
            ..FleetStatus::default()
        };
        for device in self.devices.values() {
            sum.add(&device.status_cell.read());
        }
        sum
    }

    /// The device with this id.
    pub fn device(&self, device_id: &str) -> Option<&DeviceHandle> {
        self.devices.get(device_id)
    }

    /// All devices, by id.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceHandle> {
        self.devices.values()
    }

    /// Cuts the power of every device, so that their last wills are published. True when all stopped in time.
    pub async fn stop(self) -> bool {
        self.tasks.shutdown(STOP_TIMEOUT).await
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

impl FleetStatus {
    fn add(&mut self, device: &DeviceStatus) {
        self.devices += 1;
        self.connected += u64::from(device.connected);
        let stage = if device.powered || device.working { device.stage } else { "off" };
        *self.stages.entry(stage).or_default() += 1;
        let version = device.versions.get(FIRMWARE).map_or("none", String::as_str);
        match self.versions.get_mut(version) {
            Some(count) => *count += 1,
            None => drop(self.versions.insert(version.to_owned(), 1)),
        }
        self.installs += u64::from(device.install_count);
        self.most_installs = self.most_installs.max(device.install_count);
        self.repeated_installs += u64::from(device.repeated_installs);
        self.garbage += device.garbage;
    }
}

/// Controls of one device, handled in order; on a stopped fleet they do nothing.
#[derive(Debug, Clone)]
pub struct DeviceHandle {
    controls: mpsc::Sender<Control>,
    status_cell: Arc<DeviceStatusCell>,
}

impl DeviceHandle {
    pub fn status(&self) -> DeviceStatus {
        self.status_cell.read().clone()
    }

    /// Cuts the power; the broker publishes the will.
    pub async fn switch_off(&self) {
        self.control(Control::SwitchOff).await;
    }

    /// Restores power, also to a device whose behaviour is to be offline.
    pub async fn switch_on(&self) {
        self.control(Control::SwitchOn).await;
    }

    /// Cuts the network: the device continues to work, but can't send.
    pub async fn go_offline(&self) {
        self.control(Control::Unplug).await;
    }

    /// Restores the network. A device without power stays off.
    pub async fn go_online(&self) {
        self.control(Control::Plug).await;
    }

    /// Breaks the connection once: a new session of the same boot follows.
    pub async fn cut_connection(&self) {
        self.control(Control::CutConnection).await;
    }

    /// Cuts the power for the duration of a reboot.
    pub async fn power_cycle(&self) {
        self.control(Control::PowerCycle).await;
    }

    /// Boots the version before the last update, without a command.
    pub async fn fall_back(&self) {
        self.control(Control::FallBack).await;
    }

    /// Publishes any bytes under `{tenant}/devices/{device}/{suffix}`, with QoS 1.
    pub async fn publish(&self, suffix: &str, payload: impl Into<Bytes>) {
        self.control(Control::Publish { suffix: suffix.to_owned(), payload: payload.into() }).await;
    }

    /// Publishes a report of any content on an update.
    pub async fn report(&self, ordinal: u64, report: &serde_json::Value) {
        self.publish(&format!("updates/{ordinal}/status"), report.to_string()).await;
    }

    async fn control(&self, control: Control) {
        if self.controls.send(control).await.is_err() {
            tracing::debug!("the fleet has stopped; a control is ignored");
        }
    }
}

fn shared(options: &FleetOptions, gauges: &Arc<Gauges>) -> anyhow::Result<Shared> {
    let base = options
        .http_base
        .as_deref()
        .map(|base| base.parse().with_context(|| format!("{base} is not a URL")))
        .transpose()?;
    let http = HttpClient::trusting(options.ca.as_deref())?;
    let tls = options.mqtt_tls.then(|| trusting(options.ca.as_deref())).transpose()?;
    Ok(Shared {
        tenant: options.tenant.as_str().into(),
        broker: Arc::new(Broker { host: options.mqtt_host.clone(), port: options.mqtt_port, tls }),
        login: Arc::new(LoginOfFleet::new(&options.login, &http)),
        refusal_told: Arc::default(),
        downloader: Downloader {
            http,
            gate: Arc::new(Semaphore::new(options.max_downloads)),
            gauges: Arc::clone(gauges),
            base,
        },
        connecting: Arc::new(Semaphore::new(options.max_connecting)),
        gauges: Arc::clone(gauges),
    })
}

/// Paces of devices differ a little within a fleet.
fn own_factor(seed: u64, device_id: &str) -> f64 {
    1.0 + PACE_SPREAD * (roll(seed, device_id, "pace") / 50.0 - 1.0)
}
