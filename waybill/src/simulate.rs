//! A fleet of real MQTT 3.1.1 devices that behave as firmware does, to try a server against thousands of them.
//!
//! [`Firmware`] is the pure part: commands, timers and boots go in, [`Action`]s come out. A thin shell per device owns one MQTT connection
//! and carries out the actions. [`Fleet`] starts and watches many of them; the command line is in [`Args`] and [`run`].
//!
//! Invariant: nothing here uses a type of the server. The device protocol is implemented a second time, independently, so that a mistake in
//! one implementation shows.

mod api;
mod behaviour;
mod cli;
mod connection;
mod device;
mod download;
mod firmware;
mod flash;
mod fleet;
mod gauges;
mod known;
mod link;
mod local;
mod login;
mod outbox;
mod pace;
mod register;
mod run_message;
mod wire;

pub use behaviour::{Behaviour, Mix};
pub use cli::{Args, run};
pub use firmware::{Action, Fetched, Firmware, Timer};
pub use flash::{Flash, Install, Job, Outcome, Stage};
pub use fleet::{DeviceHandle, DeviceSpec, Fleet, FleetOptions, FleetStatus};
pub use gauges::DeviceStatus;
pub use login::{Credential, Hidden, Login};
pub use pace::Pace;
pub use run_message::{LastRun, Run, RunCommand, RunReport, RunStatus};
pub use wire::{Command, Info, Presence, Report, ReportStatus, Target, UpdateCommand};
