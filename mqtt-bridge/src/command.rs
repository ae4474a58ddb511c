//! The current command of a device, as bytes: a pure function of the device, the time and the link to its firmware.
//!
//! Invariant: no command is larger than [`COMMAND_MAX_BYTES`], with ids as long as they may be and a link within [`URL_MAX_BYTES`].

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use domain::device::{COMMAND_PARAMS_MAX_BYTES, Desired, Device, Update, UpdateKind};
use domain::firmware::FirmwareSignature;
use domain::{DeviceId, TenantId, UpdateId};
use serde::Serialize;

use crate::install_window::InstallWindow;
use crate::wire::{CommandMessage, CommandName, Kind, PROTOCOL, RunMessage, Signature};

/// Largest command, in bytes: what the smallest devices can take.
pub const COMMAND_MAX_BYTES: usize = 1_024;
/// Largest command to run beside updates, in bytes: parameters of 4 KiB, and what names them.
pub const RUN_MAX_BYTES: usize = COMMAND_PARAMS_MAX_BYTES + 512;
/// Longest link to a firmware, in bytes. Leaves room for two signatures.
pub const URL_MAX_BYTES: usize = 200;
/// How long a command and its link are valid, in seconds.
pub const COMMAND_TTL_S: i64 = 7 * 24 * 3_600;

/// A request for a link: device, firmware, expiry.
#[derive(Debug, Clone, Copy)]
pub struct LinkRequest<'a> {
    pub tenant: &'a TenantId,
    pub device: &'a DeviceId,
    pub update: &'a Update,
    /// The link must be valid until then.
    pub expires_at: DateTime<Utc>,
}

/// Makes the links under which devices fetch their firmware: absolute, on one stable origin, without characters that JSON escapes.
pub trait Links: Send + Sync + 'static {
    fn link(&self, request: LinkRequest<'_>) -> String;
}

impl<F: Fn(LinkRequest<'_>) -> String + Send + Sync + 'static> Links for F {
    fn link(&self, request: LinkRequest<'_>) -> String {
        self(request)
    }
}

/// Identity of a command. Renewed links and times do not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprint {
    Nothing,
    /// `asks`: whether the device has to ask before it begins.
    Install {
        seq: u64,
        attempt: u16,
        asks: bool,
    },
    Activate {
        seq: u64,
        attempt: u16,
        asks: bool,
    },
    Cancel {
        seq: u64,
        attempt: u16,
    },
    Run {
        n: u32,
    },
}

impl Fingerprint {
    /// For metrics.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Install { .. } => "install",
            Self::Activate { .. } => "activate",
            Self::Cancel { .. } => "cancel",
            Self::Run { .. } => "run",
        }
    }
}

/// A complete command.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub fingerprint: Fingerprint,
    /// Payload; empty if there is nothing to do.
    pub payload: Bytes,
    /// End of the link in it.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Command {
    /// There is nothing to do.
    pub fn nothing() -> Self {
        Self { fingerprint: Fingerprint::Nothing, payload: Bytes::new(), expires_at: None }
    }
}

/// A command that can't be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("the link has {bytes} bytes, at most {URL_MAX_BYTES} fit into a command")]
    LinkTooLong { bytes: usize },
    #[error("the command has {bytes} bytes, at most {max_bytes} are allowed")]
    TooLarge { bytes: usize, max_bytes: usize },
    #[error("the command's parameters are sealed and can't be read")]
    SealedParams,
    #[error("the compact codec has no room for update {ordinal}, attempt {attempt}")]
    TooManyUpdates { ordinal: u32, attempt: u16 },
    #[error("the command can't be written: {0}")]
    Unwritable(String),
}

/// The current command of a device. `signatures`: of the firmware that it installs; `window`: when it may begin to install or to activate.
pub fn desired(
    (tenant, id): (&TenantId, &DeviceId),
    device: &Device,
    links: &dyn Links,
    signatures: &[FirmwareSignature],
    window: InstallWindow,
    now: DateTime<Utc>,
) -> Result<Command, CommandError> {
    let fingerprint = fingerprint(device, window);
    match device.desired() {
        Desired::Nothing => Ok(Command::nothing()),
        Desired::Cancel(update) => {
            let order = order(id, update, CommandName::Cancel, InstallWindow::Always);
            Ok(Command { fingerprint, payload: encode(&order, COMMAND_MAX_BYTES)?, expires_at: None })
        }
        Desired::Activate(update) => {
            let order = order(id, update, CommandName::Activate, window);
            Ok(Command { fingerprint, payload: encode(&order, COMMAND_MAX_BYTES)?, expires_at: None })
        }
        Desired::Install(update) => {
            let expires_at = now.trunc_subsecs(0) + TimeDelta::seconds(COMMAND_TTL_S);
            let url = links.link(LinkRequest { tenant, device: id, update, expires_at });
            if url.len() > URL_MAX_BYTES {
                return Err(CommandError::LinkTooLong { bytes: url.len() });
            }
            let payload =
                encode(&install((id, update), (url, expires_at), signatures, window, now), COMMAND_MAX_BYTES)?;
            Ok(Command { fingerprint, payload, expires_at: Some(expires_at) })
        }
    }
}

/// The identity of the current command of a device.
pub fn fingerprint(device: &Device, window: InstallWindow) -> Fingerprint {
    let asks = window != InstallWindow::Always;
    match device.desired() {
        Desired::Nothing => Fingerprint::Nothing,
        Desired::Install(update) => Fingerprint::Install { seq: update.command_seq, attempt: update.attempt, asks },
        Desired::Activate(update) => Fingerprint::Activate { seq: update.command_seq, attempt: update.attempt, asks },
        Desired::Cancel(update) => Fingerprint::Cancel { seq: update.command_seq, attempt: update.attempt },
    }
}

/// The command that a device should run beside its updates.
pub fn run(device: &Device, now: DateTime<Utc>) -> Result<Command, CommandError> {
    let Some(command) = device.desired_command() else { return Ok(Command::nothing()) };
    let message = RunMessage::of(command, now).ok_or(CommandError::SealedParams)?;
    let payload = encode(&message, RUN_MAX_BYTES)?;
    Ok(Command { fingerprint: run_fingerprint(device), payload, expires_at: None })
}

/// Its identity.
pub fn run_fingerprint(device: &Device) -> Fingerprint {
    device.desired_command().map_or(Fingerprint::Nothing, |command| Fingerprint::Run { n: command.n })
}

/// The answer to a device that asks while there is nothing to do.
pub fn none(now: DateTime<Utc>) -> Result<Bytes, CommandError> {
    encode(&CommandMessage::none(now.trunc_subsecs(0)), COMMAND_MAX_BYTES)
}

fn install(
    (id, update): (&DeviceId, &Update),
    (url, expires_at): (String, DateTime<Utc>),
    signatures: &[FirmwareSignature],
    window: InstallWindow,
    now: DateTime<Utc>,
) -> CommandMessage {
    let firmware = &update.spec.firmware;
    let (install_within_s, opens_in_s) = window.fields();
    CommandMessage::Install {
        v: PROTOCOL,
        command: CommandName::OtaUpdate,
        seq: update.command_seq,
        update_id: update_id(id, update),
        ordinal: update.ordinal,
        attempt: update.attempt,
        kind: if update.spec.kind == UpdateKind::Rollback { Kind::Rollback } else { Kind::Update },
        component: firmware.component.clone(),
        firmware_id: firmware.firmware_id.to_string(),
        version: firmware.version.clone(),
        size: firmware.size,
        sha256: firmware.sha256.to_string(),
        url,
        signatures: signatures.iter().map(Signature::from).collect(),
        encryption: firmware.encryption.as_ref().map(|encryption| Box::new(encryption.into())),
        activate: update.spec.activate,
        report_digest: update.spec.require_digest_report,
        time: now.trunc_subsecs(0),
        expires_at,
        expires_in_s: COMMAND_TTL_S,
        install_within_s,
        opens_in_s,
    }
}

fn order(id: &DeviceId, update: &Update, command: CommandName, window: InstallWindow) -> CommandMessage {
    let (install_within_s, opens_in_s) = window.fields();
    CommandMessage::Order {
        v: PROTOCOL,
        command,
        seq: update.command_seq,
        update_id: update_id(id, update),
        ordinal: update.ordinal,
        attempt: update.attempt,
        install_within_s,
        opens_in_s,
    }
}

fn update_id(id: &DeviceId, update: &Update) -> String {
    UpdateId { device: id.clone(), ordinal: update.ordinal }.to_string()
}

fn encode(message: &impl Serialize, max_bytes: usize) -> Result<Bytes, CommandError> {
    let bytes = serde_json::to_vec(message).map_err(|error| CommandError::Unwritable(error.to_string()))?;
    if bytes.len() > max_bytes {
        return Err(CommandError::TooLarge { bytes: bytes.len(), max_bytes });
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
