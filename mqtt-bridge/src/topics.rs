//! Every topic of the device protocol, built and parsed by one type, both directions.
//!
//! Tenant, device and channel determine the topic, and a topic names at most one of them: `parse` and `Display` are inverse. Ids contain
//! neither `/` nor `.`, so the subject that nats-server makes of a topic is the same text with `.` for `/`.

use std::fmt;

use domain::ids::ORDINAL_MAX;
use domain::{DeviceId, TenantId};

/// Prefix of the subject of a message that nats-server stores for MQTT.
pub const STORED_PREFIX: &str = "$MQTT.msgs.";
/// Prefix of the subject of a retained message.
const RETAINED_PREFIX: &str = "$MQTT.rmsgs.";
/// Characters of an unknown topic that are kept.
const SHOWN_MAX: usize = 256;
/// The second level of every topic.
const DEVICES: &str = "devices";

/// Channel of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// To the device, retained: the current command.
    Commands,
    /// From the device: asks for its command again.
    CommandsGet,
    /// To the device, retained: a command to run beside its updates.
    Run,
    /// From the device: a report on such a command.
    RunStatus { n: u32 },
    /// From the device: a report on an update.
    UpdateStatus { ordinal: u32 },
    /// From the device: a piece of the log of an update.
    UpdateLog { ordinal: u32 },
    /// From the device, and its last will: presence and proof.
    Status,
    /// From the device: its description.
    Info,
    /// From the device: measurements.
    Telemetry,
    /// From the device: asks for chunks of a firmware.
    FirmwareGet { ordinal: u32 },
    /// To the device: a chunk of a firmware, from this byte on.
    FirmwareChunk { ordinal: u32, offset: u64 },
}

/// A topic of one device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceTopic {
    pub tenant: TenantId,
    pub device: DeviceId,
    pub channel: Channel,
}

/// A topic that is not in the protocol; cut to a maximum length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a topic of the device protocol")]
pub struct UnknownTopic(pub String);

/// Topics of three levels below a device that it may publish to: those of the protocol and the likeliest mistakes. Not all of them, because
/// `firmware/{ordinal}/{offset}` has chunks of firmware to devices.
const THREE_LEVELS: [&str; 10] = [
    "*.*.status",
    "*.*.get",
    "updates.*.*",
    "update.*.*",
    "commands.*.*",
    "command.*.*",
    "run.*.*",
    "status.*.*",
    "info.*.*",
    "telemetry.*.*",
];

/// The subjects under which nats-server keeps what devices send with QoS 1: a name and one filter per up-channel. No two of them match the
/// same message, and none matches a command. Filters of two levels and more also match wrong topics. A wrong topic of one level is read by
/// a plain subscription, because a filter for it would match commands.
pub fn stored_filters() -> [(&'static str, String); 6] {
    [
        ("status", "status"),
        ("reports", "*.*.*"),
        ("info", "info"),
        ("get", "*.*"),
        ("telemetry", "telemetry"),
        ("deeper", "*.*.*.>"),
    ]
    .map(|(name, channel)| (name, format!("{STORED_PREFIX}*.{DEVICES}.*.{channel}")))
}

/// Whether one of [`stored_filters`] matches a message published with QoS 1 under this subject.
pub fn is_stored(subject: &str) -> bool {
    let mut channel = subject.split('.').skip(3);
    match (channel.next(), channel.next()) {
        (None, _) => false,
        (Some(only), None) => matches!(only, "status" | "info" | "telemetry"),
        (Some(_), Some(_)) => true,
    }
}

/// The subjects of all messages that devices publish, with any QoS. Commands match one of them; nats.conf denies them to the bridge's user.
pub fn passing_filters() -> Vec<String> {
    up_subjects("*", "*")
}

/// The subjects that a device publishes to, `*` for any tenant or device. Wrong topics are among them, because nats-server tells a device
/// nothing of a refused publish: it gets its PUBACK all the same. Commands match one of them, too; they are denied.
pub(crate) fn up_subjects(tenant: &str, device: &str) -> Vec<String> {
    let below = ["*", "*.*"].into_iter().chain(THREE_LEVELS).chain(["*.*.*.>"]);
    let below = below.map(|channel| format!("{tenant}.{DEVICES}.{device}.{channel}"));
    std::iter::once(format!("{tenant}.{DEVICES}.{device}")).chain(below).collect()
}

/// The subjects of commands to a device. It may not publish to them, although they match what it may publish to.
pub(crate) fn command_subjects(tenant: &str, device: &str) -> [String; 2] {
    ["commands", "run"].map(|channel| format!("{tenant}.{DEVICES}.{device}.{channel}"))
}

/// The subjects of commands and of chunks of a firmware, to a device.
pub(crate) fn down_subjects(tenant: &str, device: &str) -> [String; 3] {
    ["commands", "run", "firmware.*.*"].map(|channel| format!("{tenant}.{DEVICES}.{device}.{channel}"))
}

/// The subjects under which nats-server stores retained messages of up-channels.
pub fn retained_filters() -> Vec<String> {
    ["status", "info", "telemetry", "*.*", "*.*.*"]
        .map(|channel| format!("{RETAINED_PREFIX}*.{DEVICES}.*.{channel}"))
        .to_vec()
}

impl DeviceTopic {
    pub fn new(tenant: &TenantId, device: &DeviceId, channel: Channel) -> Self {
        Self { tenant: tenant.clone(), device: device.clone(), channel }
    }

    /// The topic as MQTT writes it.
    pub fn parse(topic: &str) -> Result<Self, UnknownTopic> {
        Self::from_levels(topic.split('/')).ok_or_else(|| UnknownTopic(topic.chars().take(SHOWN_MAX).collect()))
    }

    /// The topic of a message that nats-server keeps under `$MQTT.msgs.`
    pub fn from_stored_subject(subject: &str) -> Result<Self, UnknownTopic> {
        Self::from_subject(subject.strip_prefix(STORED_PREFIX).unwrap_or(subject))
    }

    /// The topic of a message that nats-server passes on.
    pub fn from_subject(subject: &str) -> Result<Self, UnknownTopic> {
        Self::parse(&topic_of(subject))
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
            ["run"] => Channel::Run,
            ["run", n, "status"] => Channel::RunStatus { n: parse_ordinal(n)? },
            ["updates", ordinal, "log"] => Channel::UpdateLog { ordinal: parse_ordinal(ordinal)? },
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
            Channel::Run => f.write_str("run"),
            Channel::RunStatus { n } => write!(f, "run/{n}/status"),
            Channel::UpdateStatus { ordinal } => write!(f, "updates/{ordinal}/status"),
            Channel::UpdateLog { ordinal } => write!(f, "updates/{ordinal}/log"),
            Channel::Status => f.write_str("status"),
            Channel::Info => f.write_str("info"),
            Channel::Telemetry => f.write_str("telemetry"),
            Channel::FirmwareGet { ordinal } => write!(f, "firmware/{ordinal}/get"),
            Channel::FirmwareChunk { ordinal, offset } => write!(f, "firmware/{ordinal}/{offset}"),
        }
    }
}

impl UnknownTopic {
    /// The tenant in the first level and the device in the third, if they are valid ids.
    pub fn owner(&self) -> (Option<TenantId>, Option<DeviceId>) {
        let mut levels = self.0.split('/');
        let tenant = levels.next().and_then(|tenant| TenantId::new(tenant).ok());
        let devices = levels.next() == Some(DEVICES);
        let device = levels.next().filter(|_| devices).and_then(|device| DeviceId::new(device).ok());
        (tenant, device)
    }
}

/// The topic that nats-server turned into a subject: there `/` is `.`, `.` is `//`, and an empty level is `/`.
fn topic_of(subject: &str) -> String {
    let (mut topic, mut rest) = (String::with_capacity(subject.len()), subject.chars().peekable());
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('/', Some('/')) => {
                topic.push('.');
                rest.next();
            }
            ('/', Some('.')) => {
                topic.push('/');
                rest.next();
            }
            // An empty level before the end, or at it.
            ('/', _) => {}
            ('.', _) => topic.push('/'),
            (other, _) => topic.push(other),
        }
    }
    topic
}

/// A number in canonical form: no sign, no leading zeros.
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
            Just(Channel::Run),
            Just(Channel::Status),
            Just(Channel::Info),
            Just(Channel::Telemetry),
            ordinal.clone().prop_map(|ordinal| Channel::UpdateStatus { ordinal }),
            ordinal.clone().prop_map(|ordinal| Channel::UpdateLog { ordinal }),
            ordinal.clone().prop_map(|n| Channel::RunStatus { n }),
            ordinal.clone().prop_map(|ordinal| Channel::FirmwareGet { ordinal }),
            (ordinal, any::<u64>()).prop_map(|(ordinal, offset)| Channel::FirmwareChunk { ordinal, offset }),
        ]
    }

    fn matches(filter: &str, subject: &str) -> bool {
        let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
        loop {
            match (filter.next(), subject.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some(wanted), Some(found)) if wanted == "*" || wanted == found => {}
                _ => return false,
            }
        }
    }

    fn caught(filters: &[String], subject: &str) -> usize {
        filters.iter().filter(|filter| matches(filter, subject)).count()
    }

    proptest! {
        #[test]
        fn a_topic_parses_to_what_it_was_built_from(
            tenant in "[a-z0-9][a-z0-9-]{0,31}", device in "[A-Za-z0-9][A-Za-z0-9_:-]{0,63}", channel in channel(),
        ) {
            let (tenant, device) = (TenantId::new(tenant).unwrap(), DeviceId::new(device).unwrap());
            let topic = DeviceTopic::new(&tenant, &device, channel);
            prop_assert_eq!(&DeviceTopic::parse(&topic.to_string()), &Ok(topic.clone()));
            prop_assert_eq!(&DeviceTopic::from_stored_subject(&topic.to_stored_subject()), &Ok(topic.clone()));
            let stored = stored_filters().map(|(_, filter)| filter);
            let may_come = !matches!(channel, Channel::Commands | Channel::Run);
            prop_assert_eq!(caught(&stored, &topic.to_stored_subject()), usize::from(may_come));
            let chunk = matches!(channel, Channel::FirmwareChunk { .. });
            let subject = topic.to_string().replace('/', ".");
            prop_assert_eq!(caught(&passing_filters(), &subject) > 0, !chunk);
        }

        #[test]
        fn all_topics_below_a_device_match_a_filter(
            channel in "(/(status|info|telemetry|[a-z]{1,9}|[0-9]{1,3})){0,5}",
        ) {
            let subject = format!("acme.devices.d-1{}", channel.replace('/', "."));
            let stored = stored_filters().map(|(_, filter)| filter);
            let caught_stored = caught(&stored, &format!("{STORED_PREFIX}{subject}"));
            prop_assert_eq!(caught_stored, usize::from(is_stored(&subject)));
            let levels = channel.matches('/').count();
            prop_assert!(caught_stored == 1 || caught(&passing_filters(), &subject) == 1, "{levels} levels");
        }

        #[test]
        fn a_parsed_topic_has_one_spelling(text in "[a-z0-9/.$A-Z:]{0,40}|acme/devices/d-1/(updates|firmware)/[0-9]{0,3}/(status|get|[0-9]{0,3})") {
            if let Ok(topic) = DeviceTopic::parse(&text) {
                prop_assert_eq!(topic.to_string(), text);
            }
        }
    }

    #[test]
    fn a_subject_maps_back_to_its_topic() {
        for (subject, topic) in [
            ("acme.devices.d-1.status", "acme/devices/d-1/status"),
            ("acme.devices.d//1.status", "acme/devices/d.1/status"),
            ("acme.devices.d-1./.status", "acme/devices/d-1//status"),
            ("acme.devices.d-1.status./", "acme/devices/d-1/status/"),
        ] {
            assert_eq!(topic_of(subject), topic);
        }
    }

    #[test]
    fn a_wrong_topic_still_names_its_owner() {
        let owner = |topic: &str| {
            let (tenant, device) = UnknownTopic(topic.to_owned()).owner();
            (tenant.map(|tenant| tenant.to_string()), device.map(|device| device.to_string()))
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(owner("acme/devices/d-1/update/1/status"), (text("acme"), text("d-1")));
        assert_eq!(owner("acme/device/d-1/status"), (text("acme"), None));
        assert_eq!(owner("acme/devices/d.1/status"), (text("acme"), None));
        assert_eq!(owner("Acme/devices/d-1/status"), (None, text("d-1")));
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
