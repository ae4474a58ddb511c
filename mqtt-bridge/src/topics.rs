//! Every topic of the device protocol, built and parsed by one type, both directions.
//!
//! Tenant, device and channel determine the topic, and a topic names at most one of them: `parse` and `Display` are inverse. Ids contain
//! neither `/` nor `.`, so the subject that nats-server makes of a topic is the same text with `.` for `/`.

use std::fmt;

use domain::ids::ORDINAL_MAX;
use domain::{DeviceId, TenantId};

/// What nats-server puts before the subject of a message that it keeps for MQTT.
pub const STORED_PREFIX: &str = "$MQTT.msgs.";
/// The second level of every topic.
const DEVICES: &str = "devices";

/// What is spoken of under one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Down, retained: the desired state of the device.
    Commands,
    /// Up: the device asks for its command again.
    CommandsGet,
    /// Up: a report on an update.
    UpdateStatus { ordinal: u32 },
    /// Up, and the last will: presence and proof.
    Status,
    /// Up: what the device is.
    Info,
    /// Up: measurements.
    Telemetry,
    /// Up: the device asks for pieces of a firmware.
    FirmwareGet { ordinal: u32 },
    /// Down: a piece of a firmware, from this byte on.
    FirmwareChunk { ordinal: u32, offset: u64 },
}

/// A topic of one device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceTopic {
    pub tenant: TenantId,
    pub device: DeviceId,
    pub channel: Channel,
}

/// A topic that is none of the protocol's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no topic of the device protocol")]
pub struct UnknownTopic(pub String);

/// The subjects under which nats-server keeps what devices send with QoS 1: a name and one filter per up-channel. No two of them match
/// the same message, and none matches a command.
pub fn stored_filters() -> [(&'static str, String); 5] {
    [
        ("status", "status"),
        ("reports", "updates.*.status"),
        ("info", "info"),
        ("get", "commands.get"),
        ("telemetry", "telemetry"),
    ]
    .map(|(name, channel)| (name, format!("{STORED_PREFIX}*.{DEVICES}.*.{channel}")))
}

impl DeviceTopic {
    pub fn new(tenant: &TenantId, device: &DeviceId, channel: Channel) -> Self {
        Self { tenant: tenant.clone(), device: device.clone(), channel }
    }

    /// The topic as MQTT writes it.
    pub fn parse(topic: &str) -> Result<Self, UnknownTopic> {
        Self::from_levels(topic.split('/')).ok_or_else(|| UnknownTopic(topic.to_owned()))
    }

    /// The topic of a message that nats-server keeps under `$MQTT.msgs.`
    pub fn from_stored_subject(subject: &str) -> Result<Self, UnknownTopic> {
        let levels = subject.strip_prefix(STORED_PREFIX).map(|topic| topic.split('.'));
        levels.and_then(Self::from_levels).ok_or_else(|| UnknownTopic(subject.to_owned()))
    }

    /// The subject under which nats-server keeps messages of this topic.
    pub fn to_stored_subject(&self) -> String {
        format!("{STORED_PREFIX}{}", self.to_string().replace('/', "."))
    }

    fn from_levels<'a>(mut levels: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (tenant, devices, device) = (levels.next()?, levels.next()?, levels.next()?);
        if devices != DEVICES {
            return None;
        }
        let rest: Vec<&str> = levels.take(4).collect();
        let channel = match rest.as_slice() {
            ["commands"] => Channel::Commands,
            ["commands", "get"] => Channel::CommandsGet,
            ["updates", ordinal, "status"] => Channel::UpdateStatus { ordinal: parse_ordinal(ordinal)? },
            ["status"] => Channel::Status,
            ["info"] => Channel::Info,
            ["telemetry"] => Channel::Telemetry,
            ["firmware", ordinal, "get"] => Channel::FirmwareGet { ordinal: parse_ordinal(ordinal)? },
            ["firmware", ordinal, offset] => {
                Channel::FirmwareChunk { ordinal: parse_ordinal(ordinal)?, offset: parse_number(offset)? }
            }
            _ => return None,
        };
        Some(Self { tenant: TenantId::new(tenant).ok()?, device: DeviceId::new(device).ok()?, channel })
    }
}

impl fmt::Display for DeviceTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{DEVICES}/{}/", self.tenant, self.device)?;
        match self.channel {
            Channel::Commands => f.write_str("commands"),
            Channel::CommandsGet => f.write_str("commands/get"),
            Channel::UpdateStatus { ordinal } => write!(f, "updates/{ordinal}/status"),
            Channel::Status => f.write_str("status"),
            Channel::Info => f.write_str("info"),
            Channel::Telemetry => f.write_str("telemetry"),
            Channel::FirmwareGet { ordinal } => write!(f, "firmware/{ordinal}/get"),
            Channel::FirmwareChunk { ordinal, offset } => write!(f, "firmware/{ordinal}/{offset}"),
        }
    }
}

/// The tenant in the first level of a topic or stored subject that is otherwise unknown.
pub(crate) fn tenant_of(text: &str) -> Option<TenantId> {
    let text = text.strip_prefix(STORED_PREFIX).unwrap_or(text);
    TenantId::new(text.split(['/', '.']).next()?).ok()
}

/// A number in its only spelling: no sign, no zeros in front.
fn parse_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn parse_ordinal(text: &str) -> Option<u32> {
    let ordinal = u32::try_from(parse_number(text)?).ok()?;
    (1..=ORDINAL_MAX).contains(&ordinal).then_some(ordinal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn channel() -> impl Strategy<Value = Channel> {
        let ordinal = 1..=ORDINAL_MAX;
        prop_oneof![
            Just(Channel::Commands),
            Just(Channel::CommandsGet),
            Just(Channel::Status),
            Just(Channel::Info),
            Just(Channel::Telemetry),
            ordinal.clone().prop_map(|ordinal| Channel::UpdateStatus { ordinal }),
            ordinal.clone().prop_map(|ordinal| Channel::FirmwareGet { ordinal }),
            (ordinal, any::<u64>()).prop_map(|(ordinal, offset)| Channel::FirmwareChunk { ordinal, offset }),
        ]
    }

    fn matches(filter: &str, subject: &str) -> bool {
        let (filter, subject): (Vec<_>, Vec<_>) = (filter.split('.').collect(), subject.split('.').collect());
        filter.len() == subject.len() && filter.iter().zip(&subject).all(|(f, s)| *f == "*" || f == s)
    }

    proptest! {
        #[test]
        fn a_topic_leads_back_to_what_it_was_built_from(
            tenant in "[a-z0-9][a-z0-9-]{0,31}", device in "[A-Za-z0-9][A-Za-z0-9_:-]{0,63}", channel in channel(),
        ) {
            let (tenant, device) = (TenantId::new(tenant).unwrap(), DeviceId::new(device).unwrap());
            let topic = DeviceTopic::new(&tenant, &device, channel);
            prop_assert_eq!(&DeviceTopic::parse(&topic.to_string()), &Ok(topic.clone()));
            prop_assert_eq!(&DeviceTopic::from_stored_subject(&topic.to_stored_subject()), &Ok(topic.clone()));
            let caught = stored_filters().iter().filter(|(_, filter)| matches(filter, &topic.to_stored_subject())).count();
            let up = !matches!(
                channel, Channel::Commands | Channel::FirmwareGet { .. } | Channel::FirmwareChunk { .. }
            );
            prop_assert_eq!(caught, usize::from(up));
        }

        #[test]
        fn whatever_parses_has_one_spelling(text in "[a-z0-9/.$A-Z:]{0,40}|acme/devices/d-1/(updates|firmware)/[0-9]{0,3}/(status|get|[0-9]{0,3})") {
            if let Ok(topic) = DeviceTopic::parse(&text) {
                prop_assert_eq!(topic.to_string(), text);
            }
        }
    }

    #[test]
    fn other_topics_are_refused() {
        for wrong in [
            "",
            "acme/devices/d-1",
            "acme/devices/d-1/",
            "acme/devices/d.1/status",
            "Acme/devices/d-1/status",
            "acme/device/d-1/status",
            "acme/devices/d-1/updates/0/status",
            "acme/devices/d-1/updates/017/status",
            "acme/devices/d-1/updates/2147483648/status",
            "acme/devices/d-1/updates/1/status/x/y/z",
            "acme/devices/d-1/firmware/1/+4",
            "/acme/devices/d-1/status",
        ] {
            assert!(DeviceTopic::parse(wrong).is_err(), "{wrong}");
        }
    }
}
