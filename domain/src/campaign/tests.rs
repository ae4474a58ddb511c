//! The state chart of a campaign: the effect of each command in each status, and its gates.

mod chart;
mod expected;
mod running;
mod staging;
mod start;

use cqrs_es::test::TestFramework;

use super::*;
use crate::actor::ActorKind;
use crate::events::tests::check_document;
use crate::firmware::Lack;
use crate::ids::FirmwareId;
use crate::values::{Percent, Priority, Sha256Digest, Threshold};
use crate::{Person, Timed};
use CampaignCommand as C;
use CampaignStatus as S;

pub(crate) fn percent(value: u8) -> Percent {
    Percent::new(value).expect("1 to 100")
}

pub(crate) fn threshold(value: u8) -> Threshold {
    Threshold::new(value).unwrap()
}

pub(crate) fn campaign_id() -> CampaignId {
    CampaignId(Uuid::from_u128(0xca))
}

/// Staged in waves at these percentages, for the whole tenant.
pub(crate) fn spec(waves: &[u8]) -> CampaignSpec {
    CampaignSpec {
        name: "Spring".to_owned().into(),
        description: None,
        firmware_id: FirmwareId(Uuid::from_u128(1)),
        strategy: Strategy::Staged,
        target_devices: vec![],
        target_groups: vec![],
        target_filters: TargetFilters::default(),
        target_all: true,
        rollout_percentage: Percent::ALL,
        sample_seed: None,
        max_concurrent_updates: 50,
        batch_size: None,
        lorawan: TransportLimits::default(),
        waves: waves.iter().map(|value| WaveSpec::at(percent(*value))).collect(),
        canary_size: None,
        soak_minutes: 0,
        success_threshold_percent: None,
        failure_threshold_percent: threshold(20),
        failure_count: None,
        gate_min_settled: 10,
        min_reached_percent: threshold(80),
        wave_wait_minutes: 60,
        rate_per_minute: None,
        jitter_seconds: None,
        auto_rollback: false,
        requires_approval: false,
        scheduled_start: None,
        ends_at: None,
        timeout_minutes: 60,
        wait_for_device_minutes: 10_080,
        max_retries: 2,
        priority: Priority::Normal,
        force_update: false,
        allow_downgrade: false,
        require_digest_report: false,
        preconditions: None,
        maintenance_window: Default::default(),
    }
}

pub(crate) fn facts() -> FirmwareSnapshot {
    FirmwareSnapshot {
        firmware_id: FirmwareId(Uuid::from_u128(1)),
        device_model: "wm-200".into(),
        component: "firmware".into(),
        version: "2.0.0".into(),
        reported_version: None,
        size: 1_000,
        sha256: Sha256Digest::of(b"2.0.0"),
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

pub(crate) fn summary(waves: &[u32]) -> PlanSummary {
    PlanSummary {
        plan: Uuid::from_u128(7),
        chunks: 1,
        devices: waves.iter().sum(),
        excluded: Default::default(),
        waves: waves.to_vec(),
        seed: "seed".into(),
        algorithm: crate::plan::RANK_ALGORITHM.into(),
        at_position: 1,
        plan_hash: "00".into(),
        drift: None,
    }
}

fn create() -> C {
    C::Create { id: campaign_id(), spec: Box::new(spec(&[10, 100])) }
}

fn start() -> C {
    C::Start { plan: Uuid::from_u128(6), firmware: Box::new(facts()), expected: None }
}

fn start_now() -> C {
    C::StartNow { plan: Uuid::from_u128(6), firmware: Box::new(facts()), expected: None }
}

/// People of the tests: the creator is 1, other editors and approvers follow.
fn person(number: u8) -> Person {
    Person::try_from(Actor::of(ActorKind::Person, &number.to_string()).unwrap()).unwrap()
}

fn create_with(change: impl FnOnce(&mut CampaignSpec)) -> C {
    let mut spec = spec(&[10, 100]);
    change(&mut spec);
    C::Create { id: campaign_id(), spec: Box::new(spec) }
}

/// The time of the scheduled starts.
fn start_time() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(1)
}

fn approve() -> C {
    C::Approve { by: person(3), creator: person(1).into() }
}

fn reject() -> C {
    C::Reject { by: person(3), creator: person(1).into() }
}

fn record_plan() -> C {
    C::RecordPlan { summary: Box::new(summary(&[1, 9])) }
}

fn close_gate() -> C {
    let (gate, evidence) = (GateKind::Failure, Evidence::default());
    C::CloseGate { gate, wave: Some(1), threshold_percent: 20, evidence }
}

fn pass(wave: u16) -> C {
    C::PassGate { wave, evidence: Evidence::default() }
}

fn complete(wave: u16) -> C {
    C::CompleteWave { wave, evidence: Evidence::default() }
}

fn finish(result: CampaignResult) -> C {
    C::Finish { result, evidence: Evidence::default() }
}

fn roll_back() -> C {
    C::RollBack { cause: RollbackCause::Operator }
}

fn finish_rollback() -> C {
    C::FinishRollback { evidence: RollbackEvidence::default() }
}

fn adjust(change: impl FnOnce(&mut Adjustments)) -> C {
    let mut changes = Adjustments::default();
    change(&mut changes);
    C::Adjust { changes: Box::new(changes) }
}

fn open(wave: u16) -> C {
    C::OpenWave { wave, force: false }
}

fn pause() -> C {
    C::Pause { cause: PauseCause::Operator }
}

fn resume(accept_failures: bool) -> C {
    C::Resume { accept_failures }
}

/// Commands that lead to a status; the campaign is in its first wave where it has one.
fn way_to(status: S) -> Vec<C> {
    let running = || vec![create(), start(), record_plan()];
    let and = |last: Vec<C>| [running(), last].concat();
    let submitted = |last: Vec<C>| [vec![create_with(|spec| spec.requires_approval = true), start()], last].concat();
    match status {
        S::Absent => vec![],
        S::Draft => vec![create()],
        S::AwaitingApproval => submitted(vec![]),
        S::Approved => submitted(vec![approve()]),
        S::Rejected => submitted(vec![reject()]),
        S::Deleted => vec![create(), C::Delete],
        S::Scheduled => vec![create_with(|spec| spec.scheduled_start = Some(start_time())), start()],
        S::Planning => vec![create(), start()],
        S::Running => running(),
        S::Paused => and(vec![pause()]),
        S::Cancelling => and(vec![C::Cancel]),
        S::Cancelled => and(vec![C::Cancel, C::FinishCancel]),
        S::RollingBack => and(vec![roll_back()]),
        S::RolledBack => and(vec![roll_back(), finish_rollback()]),
        S::Completed => and(vec![finish(CampaignResult::Completed)]),
        S::CompletedWithFailures => and(vec![finish(CampaignResult::CompletedWithFailures)]),
        S::Failed => and(vec![finish(CampaignResult::Failed)]),
    }
}

fn events_of(commands: &[C]) -> Vec<CampaignEvent> {
    let mut campaign = Campaign::default();
    let mut events = vec![];
    for command in commands {
        let decided = campaign.decide(DateTime::UNIX_EPOCH, command).unwrap_or_else(|no| panic!("{command:?}: {no}"));
        decided.iter().for_each(|event| campaign.apply(event));
        events.extend(decided);
    }
    events
}

/// `+` with the names of the events, `=` for a command that changes nothing, or the code of the rejection.
fn answer(past: &[C], command: C) -> String {
    let command = Timed { now: DateTime::UNIX_EPOCH, command };
    let decided = TestFramework::<Campaign>::with(()).given(events_of(past)).when(command).inspect_result();
    match decided {
        Ok(events) if events.is_empty() => "=".into(),
        Ok(events) => {
            let names = events.iter().map(|event| event.type_name().trim_start_matches("campaign."));
            names.collect::<Vec<_>>().join(" ")
        }
        Err(rejection) => format!("!{}", rejection.code()),
    }
}

/// It may be signed, or the rule may change, before the campaign goes on.
#[test]
fn a_campaign_does_not_record_that_its_firmware_is_unsigned() {
    let unsigned = FirmwareSnapshot { lack: Some(Lack::Signatures), ..facts() };
    assert_eq!(serde_json::to_value(&unsigned).unwrap(), serde_json::to_value(facts()).unwrap());
    let started = C::Start { plan: Uuid::from_u128(6), firmware: Box::new(unsigned), expected: None };
    assert_eq!(events_of(&[create(), started]), events_of(&[create(), start()]));
}

/// The way to a status of a campaign with blue/green.
fn staging(status: S) -> Vec<C> {
    let mut way = way_to(status);
    if let Some(C::Create { spec, .. }) = way.first_mut() {
        spec.strategy = Strategy::BlueGreen;
    }
    way
}

/// If the status allows it, with a completed first wave and a second wave that waits for an operator.
fn at_manual_gate(status: S) -> Vec<C> {
    let mut waits = spec(&[10, 100]);
    waits.waves[0].advance = Advance::Manual;
    let mut way = way_to(status);
    if way.len() >= 3 && way[2] == record_plan() {
        way[0] = C::Create { id: campaign_id(), spec: Box::new(waits) };
        way.splice(3..3, [pass(1), complete(1)]);
    }
    way
}

#[test]
fn a_plan_is_accepted_while_planning_and_no_other_plan_afterwards() {
    let other = C::RecordPlan { summary: Box::new(PlanSummary { plan: Uuid::from_u128(99), ..summary(&[1, 9]) }) };
    assert_eq!(answer(&way_to(S::Planning), other.clone()), "planned started wave_opened");
    assert_eq!(answer(&way_to(S::Running), other), "!plan_mismatch");
}

#[test]
fn an_inconsistent_specification_is_refused() {
    let refuse = |change: fn(&mut CampaignSpec)| {
        let mut bad = spec(&[10, 100]);
        change(&mut bad);
        assert_eq!(answer(&[], C::Create { id: campaign_id(), spec: Box::new(bad) }), "!invalid");
    };
    refuse(|spec| spec.target_all = false);
    refuse(|spec| spec.waves.clear());
    refuse(|spec| spec.waves.swap(0, 1));
    refuse(|spec| spec.waves.truncate(1));
    refuse(|spec| spec.max_concurrent_updates = 0);
    refuse(|spec| spec.max_concurrent_updates = CONCURRENT_MAX + 1);
    refuse(|spec| spec.max_retries = RETRIES_MAX + 1);
    refuse(|spec| spec.target_filters.firmware_version = Some("=>1".into()));
    refuse(|spec| spec.name = String::new().into());
    refuse(|spec| spec.soak_minutes = crate::values::MINUTES_MAX + 1);
    refuse(|spec| spec.waves[0].soak_minutes = Some(crate::values::MINUTES_MAX + 1));
    refuse(|spec| spec.ends_at = Some(DateTime::UNIX_EPOCH));
    refuse(|spec| {
        let min_battery_percent = Some(101);
        spec.preconditions = Some(crate::preconditions::Preconditions { min_battery_percent, ..Default::default() });
    });
}

#[test]
fn a_wave_opens_the_next_after_its_soak() {
    let running = way_to(S::Running);
    assert_eq!(answer(&running, complete(1)), "=", "no soak has begun");
    let soaking = [running, vec![pass(1)]].concat();
    assert_eq!(answer(&soaking, pass(1)), "=");
    assert_eq!(answer(&soaking, complete(1)), "wave_completed wave_opened");
    let second = [soaking, vec![complete(1)]].concat();
    assert_eq!(answer(&second, complete(1)), "=", "a decision on the previous wave is late");
    assert_eq!(answer(&[second, vec![pass(2)]].concat(), complete(2)), "wave_completed");
}

#[test]
fn a_broken_soak_starts_again() {
    let broken = [way_to(S::Running), vec![pass(1), C::BreakSoak { wave: 1, evidence: Evidence::default() }]].concat();
    assert_eq!(answer(&broken, complete(1)), "=");
    assert_eq!(answer(&broken, pass(1)), "gate_passed");
}

#[test]
fn a_manual_wave_waits_for_an_operator() {
    let waiting = at_manual_gate(S::Running);
    assert_eq!(answer(&waiting, open(2)), "wave_opened");
    assert_eq!(answer(&waiting, open(1)), "=");
    assert_eq!(answer(&waiting, open(3)), "!wave_not_due");
    assert_eq!(answer(&waiting, open(0)), "!wave_not_due");
}

#[test]
fn a_closed_gate_opens_only_when_the_failures_are_accepted() {
    let closed = [way_to(S::Running), vec![pass(1), close_gate()]].concat();
    assert_eq!(answer(&closed, complete(1)), "!illegal_in_state");
    assert_eq!(answer(&closed, resume(false)), "!gate_still_closed");
    assert_eq!(answer(&closed, resume(true)), "resumed");
    let resumed = [closed, vec![resume(true)]].concat();
    assert_eq!(answer(&resumed, complete(1)), "=", "the soak starts again");
    assert_eq!(answer(&resumed, pass(1)), "gate_passed");
    let by_operator = [way_to(S::Paused), vec![close_gate()]].concat();
    assert_eq!(answer(&by_operator, resume(false)), "resumed", "an operator's pause isn't a gate's");
}

#[test]
fn a_pause_while_planning_goes_back_to_planning() {
    let paused = [way_to(S::Planning), vec![pause()]].concat();
    assert_eq!(answer(&paused, record_plan()), "!plan_mismatch");
    assert_eq!(answer(&[paused, vec![resume(false)]].concat(), record_plan()), "planned started wave_opened");
}

fn folded(commands: &[C]) -> Campaign {
    let mut campaign = Campaign::default();
    events_of(commands).iter().for_each(|event| campaign.apply(event));
    campaign
}
