//! A way to send commands to the devices of one kind of transport. The module `outbound` decides when a command is sent, by one rule for all
//! ways.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::TenantId;
use domain::device::Device;
use domain::firmware::FirmwareSignature;
use domain::window::Opening;

use crate::command::{Command, CommandError, Fingerprint};
use crate::device_ref::DeviceRef;
use crate::topics::Channel;

/// A device and the circumstances in which it gets a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipient<'a> {
    pub(crate) device: &'a DeviceRef,
    pub(crate) aggregate: &'a Device,
    /// When it may begin to install.
    pub(crate) opening: Opening,
    /// Signatures of the firmware that it is to install, where the command can carry them.
    pub(crate) signatures: &'a [FirmwareSignature],
    pub(crate) now: DateTime<Utc>,
}

/// Why a command was not sent, as far as known. It is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// The way is closed for all devices, or the failure is expected to pass at once.
    Soon,
    /// The device waits for this time. Others don't wait for it.
    Later(Duration),
}

/// Sends commands. Sending the same command again is harmless.
#[async_trait]
pub(crate) trait Way: Send + Sync + 'static {
    /// Whether a device is reached this way.
    fn reaches(&self, device: &Device) -> bool;

    /// Whether commands can be sent at all.
    fn is_open(&self) -> bool;

    /// How long the devices of a tenant have to wait, if they have to.
    fn pause(&self, tenant: &TenantId) -> Option<Duration>;

    /// Whether a command is sent this way after the device has answered it, so that it is there for a device that restarts.
    fn sends_answered(&self) -> bool;

    /// Whether a command stays under way to a device that hasn't answered it in time.
    fn leaves_unanswered(&self) -> bool;

    /// Whether there is a channel for commands beside updates.
    fn runs_commands(&self) -> bool;

    /// The identity of the device's current command.
    fn fingerprint(&self, to: &Recipient<'_>) -> Fingerprint;

    /// The device's current command.
    fn command(&self, to: &Recipient<'_>) -> Result<Command, CommandError>;

    /// Sends a command in place of the one before. Returns for how long at least an answer to it is awaited.
    async fn send(&self, to: &Recipient<'_>, channel: Channel, command: &Command) -> Result<Duration, NotSent>;
}
