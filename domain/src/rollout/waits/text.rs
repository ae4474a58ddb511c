//! A wait in replies: its name, its end and its sentence.

use chrono::{DateTime, SecondsFormat, Utc};

use super::Wait;
use crate::values::Transport;

impl Wait {
    /// Stable name, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Start | Self::Change | Self::Operator { .. } => "operator",
            Self::Approval => "approval",
            Self::ScheduledStart { .. } => "scheduled_start",
            Self::Resume => "resume",
            Self::Accept => "accept",
            Self::Firmware => "firmware",
            Self::Freeze => "freeze",
            Self::Signatures => "signatures",
            Self::Sbom => "sbom",
            Self::Provenance => "provenance",
            Self::Plan => "plan",
            Self::Soak { .. } => "soak",
            Self::Slots { .. } => "slots",
            Self::Rate { .. } => "rate",
            Self::Jitter { .. } => "jitter",
            Self::Window { .. } => "window",
            Self::WorkingDevices { .. } => "working_devices",
            Self::IdleDevices { .. } => "idle_devices",
        }
    }

    pub fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::ScheduledStart { until }
            | Self::Soak { until, .. }
            | Self::Rate { until, .. }
            | Self::Jitter { until, .. }
            | Self::Window { until, .. } => Some(*until),
            Self::WorkingDevices { until, .. } | Self::IdleDevices { until, .. } => *until,
            Self::Start
            | Self::Approval
            | Self::Change
            | Self::Operator { .. }
            | Self::Resume
            | Self::Accept
            | Self::Firmware
            | Self::Freeze
            | Self::Signatures
            | Self::Sbom
            | Self::Provenance
            | Self::Plan
            | Self::Slots { .. } => None,
        }
    }

    /// A sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Start => "an operator to start the campaign".to_owned(),
            Self::Approval => "an approver to approve or reject the campaign".to_owned(),
            Self::Change => "an operator to change the rejected campaign, or to submit it again".to_owned(),
            Self::ScheduledStart { until } => format!("its scheduled start at {}", time(*until)),
            Self::Operator { wave } => format!("an operator to open wave {wave}"),
            Self::Resume => "an operator to resume the campaign".to_owned(),
            Self::Accept => "an operator to accept the failures that closed the gate, or to cancel".to_owned(),
            Self::Firmware => "another campaign: the firmware of this one is withdrawn".to_owned(),
            Self::Freeze => "the end of the freeze: nothing may be dispatched to devices of the tenant".to_owned(),
            Self::Signatures => "signatures of its firmware by keys that the tenant trusts: it has too few".to_owned(),
            Self::Sbom => "an SBOM of its firmware: the tenant requires one".to_owned(),
            Self::Provenance => "a provenance of its firmware by a key that the tenant trusts".to_owned(),
            Self::Plan => "the plan".to_owned(),
            Self::Soak { wave, until } => format!("the soak of wave {wave} until {}", time(*until)),
            Self::Slots { transport, ready, in_use, max_concurrent_updates } => {
                let ready = devices_of(*transport, *ready);
                format!("a slot for {ready}: {in_use} of {max_concurrent_updates} slots are taken")
            }
            Self::Rate { transport, ready, until } => {
                let ready = devices_of(*transport, *ready);
                format!("the rate to let the next of {ready} begin at {}", time(*until))
            }
            Self::Jitter { wave, until } => {
                format!("the devices of wave {wave}, which begin spread until {}", time(*until))
            }
            Self::Window { devices: _, wave: Some(wave), until } => {
                format!("the maintenance window to open wave {wave} at {}", time(*until))
            }
            Self::Window { devices: count, wave: None, until } => {
                format!("the maintenance window of {}, which opens at {}", devices(*count), time(*until))
            }
            Self::WorkingDevices { count, until } => format!("{} at work{}", devices(*count), at_most(*until)),
            Self::IdleDevices { count, until } => {
                format!("{} that can't begin now{}", devices(*count), at_most(*until))
            }
        }
    }
}

fn devices(count: u32) -> String {
    if count == 1 { "1 device".to_owned() } else { format!("{count} devices") }
}

fn devices_of(transport: Transport, count: u32) -> String {
    match (transport, count) {
        (Transport::Lorawan, 1) => "1 LoRaWAN device".to_owned(),
        (Transport::Lorawan, _) => format!("{count} LoRaWAN devices"),
        (Transport::Mqtt | Transport::Ddi, _) => devices(count),
    }
}

fn at_most(until: Option<DateTime<Utc>>) -> String {
    until.map_or_else(String::new, |until| format!(", at most until {}", time(until)))
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
