mod crashes;

use super::*;
use crate::device::{Phase, ReportStatus};
use crate::lorawan_profile::ProfileFacts;

pub(super) fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

pub(super) fn plan(names: &[&str]) -> DeploymentPlan {
    let planned = |name: &&str| PlannedDevice {
        device: device(name),
        dev_eui: format!("{:0>16}", name.trim_start_matches("d-")),
        ordinal: 1,
        attempt: 1,
        campaign: None,
    };
    DeploymentPlan {
        firmware_id: FirmwareId(uuid::Uuid::nil()),
        size: 1_000,
        sha256: Sha256Digest([7; 32]),
        application_id: "app".to_owned(),
        device_profile_id: "profile".to_owned(),
        region: Region::Eu868,
        class: MulticastClass::C,
        parameters: Parameters::plan(1_000, Region::Eu868, 60).unwrap(),
        devices: names.iter().map(planned).collect(),
    }
}

fn planned(names: &[&str]) -> FuotaDeployment {
    given(&FuotaDeployment::default(), &FuotaCommand::Plan { plan: Box::new(plan(names)) }).0
}

/// The state after a command, and the names of its events.
fn given(state: &FuotaDeployment, command: &FuotaCommand) -> (FuotaDeployment, Vec<&'static str>) {
    let mut after = state.clone();
    let events = state.decide(DateTime::UNIX_EPOCH, command).unwrap();
    events.iter().for_each(|event| after.apply(event));
    (after, events.iter().map(FuotaEvent::type_name).collect())
}

fn created(names: &[&str]) -> FuotaDeployment {
    given(&planned(names), &FuotaCommand::RecordCreated { chirpstack_id: "x".to_owned() }).0
}

fn started(names: &[&str]) -> FuotaDeployment {
    given(&created(names), &FuotaCommand::RecordStarted).0
}

fn end(name: &str, outcome: TransferOutcome) -> FuotaCommand {
    FuotaCommand::EndDevices { ends: vec![DeviceEnd::new(device(name), outcome, None)] }
}

#[test]
fn the_end_of_the_last_device_completes_a_deployment() {
    let (one, events) = given(&started(&["d-1", "d-2"]), &end("d-1", TransferOutcome::Delivered));
    assert_eq!(events, ["fuota.device_ended"]);
    let (both, events) = given(&one, &end("d-2", TransferOutcome::Failed));
    assert_eq!(events, ["fuota.device_ended", "fuota.completed"]);
    assert!(given(&both, &end("d-2", TransferOutcome::Delivered)).1.is_empty(), "one outcome per device");
    assert_eq!(given(&both, &FuotaCommand::RecordRemoved).1, ["fuota.removed"]);
}

#[test]
fn a_deployment_without_devices_is_aborted() {
    let withdrawn = end("d-1", TransferOutcome::Withdrawn);
    for state in [planned(&["d-1"]), created(&["d-1"]), started(&["d-1"])] {
        assert_eq!(given(&state, &withdrawn).1, ["fuota.device_ended", "fuota.aborted"]);
    }
}

#[test]
fn nothing_is_delivered_before_the_start() {
    assert!(given(&created(&["d-1"]), &end("d-1", TransferOutcome::Delivered)).1.is_empty());
    assert!(given(&started(&["d-1"]), &end("d-9", TransferOutcome::Delivered)).1.is_empty(), "an unknown device");
}

#[test]
fn an_abort_ends_every_device_that_is_left() {
    let one = given(&started(&["d-1", "d-2"]), &end("d-1", TransferOutcome::Delivered)).0;
    let abort = FuotaCommand::Abort { reason: REASON_REMOVED_THERE.to_owned(), outcome: TransferOutcome::Failed };
    let (after, events) = given(&one, &abort);
    assert_eq!(events, ["fuota.device_ended", "fuota.aborted"]);
    assert_eq!(after.ended[&device("d-1")], TransferOutcome::Delivered);
    assert!(given(&after, &abort).1.is_empty());
}

#[test]
fn a_second_id_over_there_is_refused() {
    let other = FuotaCommand::RecordCreated { chirpstack_id: "y".to_owned() };
    let refused = created(&["d-1"]).decide(DateTime::UNIX_EPOCH, &other).unwrap_err();
    assert_eq!(refused.code(), "deployment_created_otherwise");
    let early = planned(&["d-1"]).decide(DateTime::UNIX_EPOCH, &FuotaCommand::RecordStarted).unwrap_err();
    assert_eq!(early.code(), "deployment_not_created");
    let live = started(&["d-1"]).decide(DateTime::UNIX_EPOCH, &FuotaCommand::RecordRemoved).unwrap_err();
    assert_eq!(live.code(), "deployment_not_ended");
}

#[test]
fn the_list_over_there_decides_the_next_step() {
    let remote = |id: &str, started| Remote { id: id.to_owned(), started };
    let x = || "x".to_owned();
    assert_eq!(next_step(&planned(&["d-1"]), &[]), Step::Create);
    let two = [remote("y", false), remote("x", false)];
    assert_eq!(next_step(&planned(&["d-1"]), &two), Step::RecordCreated { chirpstack_id: x() });
    assert_eq!(next_step(&created(&["d-1"]), &two), Step::DeleteCopies { ids: vec!["y".to_owned()] });
    assert_eq!(next_step(&created(&["d-1"]), &[remote("x", false)]), Step::Start { chirpstack_id: x() });
    assert_eq!(next_step(&created(&["d-1"]), &[remote("x", true)]), Step::RecordStarted);
    assert_eq!(next_step(&created(&["d-1"]), &[]), Step::AbortRemoved);
    assert_eq!(next_step(&started(&["d-1"]), &[remote("x", true)]), Step::Poll { chirpstack_id: x() });
    let ended = given(&started(&["d-1"]), &end("d-1", TransferOutcome::Delivered)).0;
    assert_eq!(next_step(&ended, &[remote("x", true)]), Step::Remove { ids: vec![x()] });
    assert_eq!(next_step(&ended, &[]), Step::RecordRemoved);
    let gone = given(&ended, &FuotaCommand::RecordRemoved).0;
    assert_eq!(next_step(&gone, &[]), Step::Nothing);
    assert_eq!(next_step(&gone, &[remote("z", false)]), Step::Remove { ids: vec!["z".to_owned()] });
}

#[test]
fn a_name_over_there_leads_back_to_its_deployment() {
    let tenant = TenantId::new("acme").unwrap();
    let id = plan(&["d-1"]).id(&tenant, 0);
    assert_eq!(owner_of_name(&name_over_there(id)), Some(id));
    assert_eq!(owner_of_name("waybill-1"), None);
    assert_eq!(owner_of_name(&id.to_string()), None);
    assert_ne!(id, plan(&["d-1"]).id(&tenant, 1));
    assert_ne!(id, plan(&["d-2"]).id(&tenant, 0));
}

#[test]
fn an_update_is_told_of_its_transfer_once() {
    let report = |started, outcome, phase| report_due(started, outcome, phase);
    assert_eq!(report(false, None, Phase::Accepted), None);
    assert_eq!(report(true, None, Phase::Accepted), Some(ReportStatus::Downloading));
    assert_eq!(report(true, None, Phase::Downloading), None);
    assert_eq!(report(true, Some(TransferOutcome::Delivered), Phase::Downloading), Some(ReportStatus::Verifying));
    assert_eq!(report(true, Some(TransferOutcome::Delivered), Phase::Installing), None);
    assert_eq!(report(true, Some(TransferOutcome::Failed), Phase::Accepted), Some(ReportStatus::Failed));
    assert_eq!(report(true, Some(TransferOutcome::Failed), Phase::Verifying), None, "the device has it after all");
    assert_eq!(report(true, Some(TransferOutcome::Withdrawn), Phase::Accepted), None);
}

fn pending(name: &str, accepted_s: i64) -> PendingTransfer {
    PendingTransfer {
        device: device(name),
        dev_eui: "0101010101010101".to_owned(),
        ordinal: 1,
        attempt: 1,
        campaign: None,
        accepted_at: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(accepted_s),
        firmware_id: FirmwareId(uuid::Uuid::nil()),
        size: 1_000,
        sha256: Sha256Digest([7; 32]),
        application_id: "app".to_owned(),
        device_profile_id: "profile".to_owned(),
    }
}

fn profiles() -> BTreeMap<String, ProfileFacts> {
    let facts =
        ProfileFacts { region: Some(Region::Eu868), uplink_interval_s: 60, fragmentation: true, multicast: true };
    BTreeMap::from([
        ("profile".to_owned(), facts),
        ("other".to_owned(), facts),
        ("plain".to_owned(), ProfileFacts { fragmentation: false, ..facts }),
    ])
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds)
}

#[test]
fn devices_wait_for_others_of_their_group_for_two_uplinks() {
    let waiting = [pending("d-2", 0), pending("d-1", 90)];
    let early = gather(&waiting, &profiles(), at(119));
    assert_eq!((early.plans.len(), early.due_at), (0, Some(at(120))));
    let due = gather(&waiting, &profiles(), at(120));
    let devices: Vec<&str> = due.plans[0].devices.iter().map(|planned| planned.device.as_str()).collect();
    assert_eq!((due.plans.len(), devices), (1, vec!["d-1", "d-2"]));
}

#[test]
fn groups_differ_in_profile_application_and_firmware_and_are_bounded() {
    let mut waiting: Vec<_> = (0..=DEVICES_MAX).map(|n| pending(&format!("d-{n:04}"), n as i64)).collect();
    let full = gather(&waiting, &profiles(), at(0));
    assert_eq!((full.plans.len(), full.plans[0].devices.len()), (1, DEVICES_MAX), "a full group doesn't wait");
    assert_eq!(full.due_at, Some(at(DEVICES_MAX as i64 + 120)));
    waiting.truncate(4);
    waiting[0].device_profile_id = "other".to_owned();
    waiting[1].application_id = "app-2".to_owned();
    waiting[2].firmware_id = FirmwareId(uuid::Uuid::max());
    assert_eq!(gather(&waiting, &profiles(), at(10_000)).plans.len(), 4);
}

#[test]
fn devices_that_cannot_be_sent_images_are_left_alone_and_too_large_ones_are_named() {
    let mut waiting = [pending("d-1", 0), pending("d-2", 0), pending("d-3", 0)];
    waiting[0].device_profile_id = "plain".to_owned();
    waiting[1].device_profile_id = "unknown".to_owned();
    waiting[2].size = 10_000_000;
    let gathered = gather(&waiting, &profiles(), at(10_000));
    assert_eq!((gathered.plans.len(), gathered.due_at), (0, None));
    assert_eq!(gathered.too_large, [waiting[2].clone()]);
}

#[test]
fn a_forecast_counts_groups_and_says_how_long_one_takes() {
    let key = |profile: Option<&str>| ForecastKey {
        application_id: Some("app".to_owned()),
        device_profile_id: profile.map(str::to_owned),
    };
    let devices = BTreeMap::from([(key(Some("profile")), 251), (key(Some("plain")), 3), (key(None), 2)]);
    let forecast = forecast(1_000, &devices, &profiles());
    assert_eq!(forecast.devices, 256);
    let known = forecast.groups.iter().find(|group| group.devices == 251).unwrap();
    assert_eq!((known.deployments, known.parameters.as_ref().unwrap().fragments), (2, 5));
    assert_eq!(known.seconds, Some(3 * 4 * 60 + 6 * 5 + 60 + 120));
    assert!(forecast.groups.iter().filter(|group| group.seconds.is_none()).count() == 2);
}
