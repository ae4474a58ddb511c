//! The device protocol: a channel for each topic, its operation, and the messages on it.
//!
//! Addresses are built by the bridge's own [`DeviceTopic`]; the match in [`describe`] makes the compiler report every new channel.

use std::iter::successors;

use anyhow::Result;
use domain::ids::{DEVICE_ID_MAX_BYTES, ORDINAL_MAX, TENANT_ID_MAX_BYTES};
use domain::{DeviceId, TenantId};
use mqtt_bridge::topics::{Channel, DeviceTopic};
use mqtt_bridge::wire::{LOG_PIECE_MAX_BYTES, MEASUREMENTS_MAX_BYTES, MESSAGE_MAX_BYTES};
use serde_json::{Map, Value, json};

use super::{Part, in_channel, messages_of, mqtt_commands, mqtt_reports};

/// Ids in the topics from which addresses are made.
const TENANT: &str = "tenant";
const DEVICE: &str = "device";
const ORDINAL: u32 = 17;
const OFFSET: u64 = 4_096;
const NUMBER: u32 = 3;

/// The sender on a channel, if it is used today.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToDevice,
    FromDevice,
    Reserved,
}

/// The description of one channel.
struct Described {
    /// Name of the channel.
    name: &'static str,
    way: Way,
    /// Name of the operation; empty for a reserved channel.
    operation: &'static str,
    text: String,
    messages: &'static [&'static str],
}

pub(super) fn part() -> Result<Part> {
    let mut part = Part::default();
    for channel in channels() {
        let Described { name, way, operation, text, messages } = describe(channel);
        let address = address(channel)?;
        let described = json!({
            "address": address,
            "description": text,
            "servers": [{ "$ref": "#/servers/mqtt" }],
            "parameters": parameters(&address),
            "messages": messages_of(messages),
        });
        part.channels.insert(name.to_owned(), described);
        if way != Way::Reserved {
            part.operations.insert(operation.to_owned(), operation_on(channel, name, way, messages));
        }
    }
    part.messages = mqtt_commands::messages();
    part.messages.extend(mqtt_reports::messages());
    part.schemas = mqtt_commands::schemas();
    part.schemas.extend(mqtt_reports::schemas());
    Ok(part)
}

/// Every channel of the protocol once.
pub(super) fn channels() -> impl Iterator<Item = Channel> {
    use Channel as C;
    successors(Some(C::Commands), |channel| match channel {
        C::Commands => Some(C::CommandsGet),
        C::CommandsGet => Some(C::Run),
        C::Run => Some(C::RunStatus { n: NUMBER }),
        C::RunStatus { .. } => Some(C::UpdateStatus { ordinal: ORDINAL }),
        C::UpdateStatus { .. } => Some(C::UpdateLog { ordinal: ORDINAL }),
        C::UpdateLog { .. } => Some(C::Status),
        C::Status => Some(C::Info),
        C::Info => Some(C::Telemetry),
        C::Telemetry => Some(C::FirmwareGet { ordinal: ORDINAL }),
        C::FirmwareGet { .. } => Some(C::FirmwareChunk { ordinal: ORDINAL, offset: OFFSET }),
        C::FirmwareChunk { .. } => None,
    })
}

/// The topic with its variable levels in braces.
pub(super) fn address(channel: Channel) -> Result<String> {
    let topic = DeviceTopic::new(&TenantId::new(TENANT)?, &DeviceId::new(DEVICE)?, channel).to_string();
    let (ordinal, offset, n) = (ORDINAL.to_string(), OFFSET.to_string(), NUMBER.to_string());
    let level = |level: &str| match level {
        TENANT | DEVICE => format!("{{{level}}}"),
        number if number == ordinal => "{ordinal}".to_owned(),
        number if number == offset => "{offset}".to_owned(),
        number if number == n => "{n}".to_owned(),
        other => other.to_owned(),
    };
    Ok(topic.split('/').map(level).collect::<Vec<_>>().join("/"))
}

fn describe(channel: Channel) -> Described {
    let reserved = |name, what: &str| Described {
        name,
        way: Way::Reserved,
        operation: "",
        text: format!("{what} Reserved for devices without HTTP: this version doesn't read or answer it."),
        messages: &[],
    };
    match channel {
        Channel::Commands => Described {
            name: "commands",
            way: Way::ToDevice,
            operation: "command",
            text: "What the device should do now: state, not a queue. Retained; empty if there is nothing to do. Subscribe with \
                   QoS 0 in a clean session, once after each connect, and then ask with `commands/get`. QoS 1 works too, and costs a \
                   JetStream consumer per device."
                .to_owned(),
            messages: &["install", "cancel", "activate", "none", "cleared"],
        },
        Channel::CommandsGet => Described {
            name: "commandsGet",
            way: Way::FromDevice,
            operation: "askForCommand",
            text: "Asks for the command again, with a fresh link. The answer comes on `commands`, not retained.".to_owned(),
            messages: &["commandsGet"],
        },
        Channel::Run => Described {
            name: "run",
            way: Way::ToDevice,
            operation: "run",
            text: "A command to run beside updates, such as `reboot`. One at a time; retained until it has ended, then empty. Subscribe as to \
                   `commands`; `commands/get` brings it again, too."
                .to_owned(),
            messages: &["run", "cleared"],
        },
        Channel::RunStatus { .. } => from_device(
            "runStatus",
            "runReport",
            "How the command of this number is going. Keep the number in flash: a command whose number isn't higher is answered with its last \
             status, and never run again.",
            &["runReport"],
        ),
        Channel::UpdateLog { .. } => Described {
            name: "updateLog",
            way: Way::FromDevice,
            operation: "log",
            text: format!(
                "A piece of the log of an update, as text. At most {LOG_PIECE_MAX_BYTES} bytes; the latest 64 pieces of an update are kept, for 30 \
                 days. QoS 1, never retained."
            ),
            messages: &["log"],
        },
        Channel::UpdateStatus { .. } => from_device(
            "updateStatus",
            "report",
            "Progress of an update. A report is judged by the state of its (ordinal, attempt). If that update isn't under way, the \
             answer is the current command.",
            &["report"],
        ),
        Channel::Status => from_device(
            "status",
            "presence",
            "Presence and running versions: the proof of an update. Published after every boot; also the last will, with the \
             same `session`.",
            &["presence"],
        ),
        Channel::Info => from_device("info", "info", "Description of the device. Published after a boot or a change.", &["info"]),
        Channel::Telemetry => Described {
            text: format!("Measurements. At most {MEASUREMENTS_MAX_BYTES} bytes. QoS 1, never retained."),
            ..from_device("telemetry", "telemetry", "", &["telemetry"])
        },
        Channel::FirmwareGet { .. } => reserved("firmwareGet", "Asks for chunks of a firmware."),
        Channel::FirmwareChunk { .. } => reserved("firmwareChunk", "A chunk of a firmware, from `offset` on."),
    }
}

fn from_device(
    name: &'static str,
    operation: &'static str,
    what: &str,
    messages: &'static [&'static str],
) -> Described {
    let text =
        format!("{what} At most {MESSAGE_MAX_BYTES} bytes. QoS 1, never retained; messages with QoS 0 are not read.");
    Described { name, way: Way::FromDevice, operation, text, messages }
}

fn operation_on(channel: Channel, name: &str, way: Way, messages: &[&str]) -> Value {
    let sent = way == Way::ToDevice;
    let mut operation = json!({
        "action": if sent { "send" } else { "receive" },
        "channel": { "$ref": format!("#/channels/{name}") },
        "messages": in_channel(name, messages),
        "bindings": { "mqtt": { "qos": 1, "retain": sent, "bindingVersion": "0.2.0" } },
    });
    if channel == Channel::CommandsGet {
        let answers = in_channel("commands", &["install", "cancel", "activate", "none"]);
        operation["reply"] = json!({ "channel": { "$ref": "#/channels/commands" }, "messages": answers });
    }
    operation
}

/// The parameters that occur in an address.
fn parameters(address: &str) -> Map<String, Value> {
    let known = [
        ("tenant", format!("`[a-z0-9][a-z0-9-]*`, at most {TENANT_ID_MAX_BYTES} bytes."), "acme"),
        ("device", format!("`[A-Za-z0-9][A-Za-z0-9_:-]*`, at most {DEVICE_ID_MAX_BYTES} bytes; case matters."), "d-1"),
        ("ordinal", format!("Number of the update, counted per device from 1 to {ORDINAL_MAX}."), "17"),
        ("n", format!("Number of the command, counted per device from 1 to {ORDINAL_MAX}."), "3"),
        ("offset", "First byte of the chunk.".to_owned(), "4096"),
    ];
    known
        .into_iter()
        .filter(|(name, _, _)| address.contains(&format!("{{{name}}}")))
        .map(|(name, text, example)| (name.to_owned(), json!({ "description": text, "examples": [example] })))
        .collect()
}
