//! Given/when/then tables and properties of the Device aggregate. Events are compared in short form: [`said`].

mod clocks;
mod commands;
mod credentials;
mod digests;
mod lorawan;
mod network;
mod order;
mod origin;
mod proof;
mod properties;
mod queue;
mod races;
mod readiness;
mod registration;
mod reports;
mod restarts;
mod rollbacks;
mod slots;
mod staging;
mod threads;
mod versions;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use cqrs_es::test::TestFramework;
use uuid::Uuid;

use super::*;
use crate::Timed;
use crate::values::{FIRMWARE_COMPONENT, Priority, Sha256Digest};

pub(super) const CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(0xca));
pub(super) const OTHER_CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(0xcb));
/// Later than the end of every waiting clock in the tables.
pub(super) const LATER_S: i64 = 1_000_000;

pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000 + seconds)
}

pub(super) fn versions(version: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(FIRMWARE_COMPONENT.to_owned(), version.to_owned())])
}

pub(super) fn profile() -> Profile {
    Profile { device_model: Some("wm-200".into()), hardware_version: Some("1.2".into()), ..Profile::default() }
}

pub(super) fn register() -> DeviceCommand {
    DeviceCommand::Register { profile: profile(), versions: versions("1.0.0") }
}

pub(super) fn firmware(version: &str) -> FirmwareSnapshot {
    FirmwareSnapshot {
        firmware_id: FirmwareId(crate::ids::name_based_uuid(&["firmware", version])),
        device_model: "wm-200".into(),
        component: FIRMWARE_COMPONENT.into(),
        version: version.into(),
        reported_version: None,
        size: 1_000,
        sha256: Sha256Digest::of(version.as_bytes()),
        hardware_versions: vec![],
        min_hardware_version: None,
        max_hardware_version: None,
        requires_version: None,
        requires_reboot: true,
        rollback_allowed: true,
        encryption: None,
        lack: None,
    }
}

pub(super) fn wanted(version: &str) -> UpdateRequest {
    UpdateRequest {
        firmware: firmware(version),
        priority: Priority::Normal,
        kind: UpdateKind::Update,
        limits: Limits::default(),
        max_attempts: 3,
        activate: true,
        force_update: false,
        allow_downgrade: false,
        require_digest_report: false,
        preconditions: None,
        retry_of: None,
        rolls_back: None,
    }
}

pub(super) fn ask(request: UpdateRequest) -> DeviceCommand {
    DeviceCommand::RequestUpdate { request: Box::new(request) }
}

pub(super) fn update_to(version: &str) -> DeviceCommand {
    ask(wanted(version))
}

pub(super) fn grant_to(version: &str, campaign: CampaignId, number: u64) -> DeviceCommand {
    let campaign = CampaignRef { id: campaign, wave: 1, rank: 0, round: 0 };
    let grant = Grant { campaign, number, wait_until: at(LATER_S) };
    DeviceCommand::GrantSlot { request: Box::new(wanted(version)), grant }
}

pub(super) fn grant(number: u64) -> DeviceCommand {
    grant_to("2.0.0", CAMPAIGN, number)
}

pub(super) fn plain_report(ordinal: u32, attempt: u16, status: ReportStatus) -> Report {
    Report { ordinal, attempt, status, sha256: None, code: None, message: None, retry_after_s: None }
}

pub(super) fn report(ordinal: u32, attempt: u16, status: ReportStatus) -> DeviceCommand {
    plain_report(ordinal, attempt, status).into()
}

/// The first attempt of the first update.
pub(super) fn says(status: ReportStatus) -> DeviceCommand {
    report(1, 1, status)
}

pub(super) fn fails(attempt: u16, code: &str) -> DeviceCommand {
    let report = Report { code: Some(code.into()), ..plain_report(1, attempt, ReportStatus::Failed) };
    report.into()
}

pub(super) fn defers(attempt: u16, retry_after_s: u32) -> DeviceCommand {
    let retry_after_s = Some(retry_after_s);
    let report = Report { retry_after_s, ..plain_report(1, attempt, ReportStatus::Deferred) };
    report.into()
}

pub(super) fn presence(boot: &str, version: &str) -> Presence {
    Presence { boot_id: Some(boot.into()), versions: versions(version), ..Presence::default() }
}

/// A `status` message after the boot of that name.
pub(super) fn status(boot: &str, version: &str) -> DeviceCommand {
    presence(boot, version).into()
}

pub(super) fn status_without_boot(version: &str) -> DeviceCommand {
    Presence { versions: versions(version), ..Presence::default() }.into()
}

pub(super) fn trial(boot: &str, version: &str) -> DeviceCommand {
    Presence { trial: true, ..presence(boot, version) }.into()
}

pub(super) fn lost() -> DeviceCommand {
    DeviceCommand::MarkOffline { cause: OfflineCause::Will }
}

pub(super) fn cancel(ordinal: u32) -> DeviceCommand {
    DeviceCommand::CancelUpdate { ordinal }
}

/// Sent with the present state of the update.
pub(super) fn expire(ordinal: u32, attempt: u16, phase: Phase, clock: Clock) -> DeviceCommand {
    DeviceCommand::Expire { ordinal, attempt, phase, clock, seq: AS_IT_IS }
}

const AS_IT_IS: u64 = u64::MAX;

/// The command with the sequence of its update filled in.
pub(super) fn informed(device: &Device, mut command: DeviceCommand) -> DeviceCommand {
    if let DeviceCommand::Expire { ordinal, seq, .. } = &mut command
        && *seq == AS_IT_IS
    {
        *seq = device.update(*ordinal).map_or(0, |update| update.seq);
    }
    command
}

/// A device that was registered with 1.0.0.
pub(super) fn registered() -> Vec<DeviceCommand> {
    vec![register()]
}

/// It reports its boot slots.
pub(super) fn has_slots(slots: u8) -> DeviceCommand {
    Info { slots: Some(slots), ..Info::default() }.into()
}

/// A device that came online with boot `b1` and 1.0.0.
pub(super) fn online() -> Vec<DeviceCommand> {
    vec![register(), status("b1", "1.0.0")]
}

/// Online, with its first update (to 2.0.0) dispatched.
pub(super) fn dispatched() -> Vec<DeviceCommand> {
    [online(), vec![update_to("2.0.0")]].concat()
}

/// Dispatched, and reported in order up to that status.
pub(super) fn working(until: ReportStatus) -> Vec<DeviceCommand> {
    use ReportStatus as S;
    let words = [S::Received, S::Downloading, S::Verifying, S::Installing, S::Rebooting];
    let count = words.iter().position(|word| *word == until).expect("a working word") + 1;
    [dispatched(), words[..count].iter().map(|word| says(*word)).collect()].concat()
}

/// The events of commands in a row, all at second 0. Each command must be accepted.
pub(super) fn events_of(commands: &[DeviceCommand]) -> Vec<DeviceEvent> {
    let mut device = Device::default();
    let mut events = vec![];
    for command in commands {
        let command = informed(&device, command.clone());
        let decided = device.decide(at(0), &command).unwrap_or_else(|no| panic!("{command:?} is refused: {no}"));
        decided.iter().for_each(|event| device.apply(event));
        events.extend(decided);
    }
    events
}

pub(super) fn state_of(commands: &[DeviceCommand]) -> Device {
    let mut device = Device::default();
    events_of(commands).iter().for_each(|event| device.apply(event));
    device
}

pub(super) struct Given(Vec<DeviceEvent>);
pub(super) struct Then(Result<Vec<DeviceEvent>, Rejection>);

/// A device with the events of these commands.
pub(super) fn given(past: Vec<DeviceCommand>) -> Given {
    Given(events_of(&past))
}

impl Given {
    pub(super) fn state(&self) -> Device {
        let mut device = Device::default();
        self.0.iter().for_each(|event| device.apply(event));
        device
    }

    pub(super) fn and(mut self, seconds: i64, command: DeviceCommand) -> Self {
        let device = self.state();
        let command = informed(&device, command);
        self.0.extend(device.decide(at(seconds), &command).expect("the past is allowed"));
        self
    }

    /// The latest event in short form.
    pub(super) fn last(&self) -> String {
        self.0.last().map(said).unwrap_or_default()
    }

    pub(super) fn when(self, command: DeviceCommand) -> Then {
        self.when_at(0, command)
    }

    pub(super) fn when_at(self, seconds: i64, command: DeviceCommand) -> Then {
        let command = Timed { now: at(seconds), command: informed(&self.state(), command) };
        Then(TestFramework::<Device>::with(()).given(self.0).when(command).inspect_result())
    }
}

impl Then {
    #[track_caller]
    pub(super) fn then(self, expected: &[&str]) {
        let events = self.0.unwrap_or_else(|rejection| panic!("refused: {rejection}"));
        assert_eq!(events.iter().map(said).collect::<Vec<_>>(), expected);
    }

    #[track_caller]
    pub(super) fn refused(self, code: &str) {
        let rejection = self.0.expect_err("refused");
        assert_eq!(rejection.code(), code, "{rejection}");
    }

    pub(super) fn events(self) -> Vec<DeviceEvent> {
        self.0.expect("taken")
    }
}

/// An event in short form: its name, ordinal, attempt, and the word that matters.
pub(super) fn said(event: &DeviceEvent) -> String {
    use DeviceEvent as E;
    let name = event.type_name();
    let detail = match event {
        E::UpdateWaiting { reason, .. } | E::UpdateStaged { reason: Some(reason), .. } => word(reason),
        E::UpdateAttemptFailed { code, .. } | E::UpdateFailed { code, .. } | E::UpdateRejected { code, .. } => {
            code.clone()
        }
        E::UpdateSuperseded { reason, .. } => reason.clone(),
        E::UpdateCancelling { reason, .. } | E::UpdateCancelled { reason, .. } => reason.clone().unwrap_or_default(),
        E::UpdateAccepted { takes_slot: true, .. } => "takes a slot".to_owned(),
        E::UpdateTimedOut { phase, code, .. } => format!("in {phase} {}", code.as_deref().unwrap_or_default()),
        E::UpdateReportedLate { status, .. } => status.clone(),
        E::UpdateDigestMissing { reported, .. } => {
            reported.map_or("runs".to_owned(), |status| status.word().to_owned())
        }
        E::UpdateQueued { spec, .. } => spec.firmware.version.clone(),
        E::UpdateConfirmed { version, .. } => version.clone(),
        E::VersionRegressed { from_version, to_version, .. } => format!("{from_version} to {to_version}"),
        E::VersionsReported { versions, .. } | E::ReportedLate { versions, .. } => {
            versions.values().cloned().collect::<Vec<_>>().join(" ")
        }
        E::WentOffline { cause } => word(cause),
        _ => String::new(),
    };
    let update = event.update().map(|update| format!("{}/{}", update.ordinal, update.attempt));
    [Some(name.to_owned()), update, Some(detail).filter(|detail| !detail.is_empty())]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The JSON word of a unit variant.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default()
}
