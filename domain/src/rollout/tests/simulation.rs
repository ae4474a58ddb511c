//! Whole rollouts in memory: a fleet of devices, a campaign, its ledger, and two process managers that see different prefixes of one log
//! and crash between any two commands. Devices fail, defer, lie and go offline, and an operator pauses, resumes and cancels.

use proptest::prelude::*;
use proptest::sample::select;

use super::view::{Logged, Member, View};
use super::world::{Act, FLEET, SLOTS, Setting, World, request, slot_device};
use super::*;
use crate::Decider;
use crate::campaign::{Adjustments, CampaignCommand as C, PauseCause};
use crate::device::{CampaignRef, DeviceCommand as D, Grant, Phase, UpdateRequest};
use crate::ledger::{LedgerCommand, SlotGrant};

const CASES: u32 = 600;
const STEPS_MAX: usize = 250;
/// Rounds of a minute each in which a calm rollout must end: twice the working clocks of all devices, and as long for closed windows.
const CALM_ROUNDS_MAX: usize = 3_000;

#[derive(Debug, Clone)]
enum Step {
    /// A process manager reads further.
    Read {
        manager: usize,
        events: usize,
    },
    /// It reconciles, and crashes after this many commands.
    Tick {
        manager: usize,
        commands_max: usize,
    },
    Device {
        place: usize,
        act: Act,
    },
    Clocks {
        place: usize,
    },
    Wait {
        seconds: i64,
    },
    /// Every device behaves correctly.
    Together,
    Operator(C),
}

impl World {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Read { manager, events } => self.read(*manager, *events),
            Step::Tick { manager, commands_max } => self.tick(*manager, *commands_max),
            Step::Device { place, act } => self.act(*place, *act),
            Step::Clocks { place } => self.run_clocks(*place),
            Step::Wait { seconds } => self.now += TimeDelta::seconds(*seconds),
            Step::Together => (0..FLEET).for_each(|place| self.act(place, Act::GoOn)),
            Step::Operator(command) => self.tell_campaign(command),
        }
        self.check_slots();
    }

    /// One round of a process manager over its view. It crashes when its commands are used up.
    fn tick(&mut self, manager: usize, commands_max: usize) {
        let view = self.managers[manager].clone();
        let mut budget = commands_max;
        if view.status == CampaignStatus::Running {
            let unseen = view.members.iter().enumerate().filter(|(_, member)| !member.grant_seen && member.holds_slot);
            let carried: Vec<(usize, u64)> = unseen.map(|(place, member)| (place, member.grant)).collect();
            self.carry(&view, &carried, &mut budget);
        }
        let seen = view.rollout(self.now);
        let decisions = decide(&seen, self.now);
        if decisions.is_empty() && seen.status == CampaignStatus::Running {
            assert!(!waits(&seen, None, self.now).is_empty(), "nothing moves, and the campaign has no wait: {seen:#?}");
        }
        for decision in decisions {
            match decision {
                RolloutStep::Grant { .. } if self.setting.reads_before_granting => {
                    self.read_and_grant(manager, &mut budget)
                }
                decision => self.carry_out(&view, decision, &mut budget),
            }
        }
    }

    /// Devices may have taken slots since the view was read.
    fn read_and_grant(&mut self, manager: usize, budget: &mut usize) {
        self.read(manager, usize::MAX);
        let view = self.managers[manager].clone();
        let decisions = decide(&view.rollout(self.now), self.now);
        if let Some(grant) = decisions.into_iter().find(|decision| matches!(decision, RolloutStep::Grant { .. })) {
            self.carry_out(&view, grant, budget);
        }
    }

    fn carry(&mut self, view: &View, grants: &[(usize, u64)], budget: &mut usize) {
        if !self.is_seen(view) || self.campaign.status != CampaignStatus::Running {
            return;
        }
        for (place, number) in grants {
            if spent(budget) {
                return;
            }
            let (request, grant) = (request_of(view, *place), grant_of(view, *place, *number));
            self.tell_device(*place, &D::GrantSlot { request, grant });
            self.check_slots();
        }
    }

    /// Whether a view includes all events of the campaign itself.
    fn is_seen(&self, view: &View) -> bool {
        view.campaign_version == self.truth.campaign_version
    }

    fn grant(&mut self, view: &View, devices_max: u32, budget: &mut usize) {
        // The choice among ready devices is open: two managers may choose different ones.
        let mut places: Vec<usize> = (0..FLEET).filter(|place| view.may_begin(*place, self.now)).collect();
        if view.position % 2 == 1 {
            places.reverse();
        }
        places.truncate(devices_max as usize);
        if !self.is_seen(view) || self.campaign.status != CampaignStatus::Running || spent(budget) {
            return;
        }
        let slot = |place: &usize| SlotGrant {
            device: slot_device(*place),
            wave: view.members[*place].wave,
            rank: *place as u32,
        };
        let command = LedgerCommand::Grant {
            seen_version: view.ledger_version,
            in_use: view.rollout(self.now).total().in_use,
            max_concurrent_updates: view.rollout(self.now).spec.max_concurrent_updates,
            grants: places.iter().map(slot).collect(),
        };
        let Ok(events) = self.ledger.decide(self.now, &command) else { return };
        for event in events {
            self.ledger.apply(&event);
            self.append(Logged::Ledger(event));
        }
        self.check_slots();
        let number = view.ledger_version + 1;
        self.carry(view, &places.into_iter().map(|place| (place, number)).collect::<Vec<_>>(), budget);
    }

    fn carry_out(&mut self, view: &View, decision: RolloutStep, budget: &mut usize) {
        let members = || view.members.iter().enumerate();
        let cancellable: Vec<usize> = members().filter(|(_, m)| m.is_cancellable()).map(|(place, _)| place).collect();
        let unseen = members().filter(|(_, m)| m.holds_slot && !m.grant_seen);
        let unseen: Vec<(usize, u64)> = unseen.map(|(place, m)| (place, m.grant)).collect();
        let campaign = campaign_id();
        let command = match decision {
            RolloutStep::Grant { devices_max } => return self.grant(view, devices_max, budget),
            RolloutStep::WithdrawUnanswered => {
                let told = |member: &Member| matches!(member.phase, Some(Phase::Dispatched | Phase::Activating));
                let unanswered = members().filter(|(_, member)| told(member)).map(|(place, _)| place);
                return self.tell_all(&unanswered.collect::<Vec<_>>(), &D::Withdraw { campaign }, budget);
            }
            RolloutStep::CancelUpdates => {
                self.tell_all(&cancellable, &D::CancelForCampaign { campaign, before_round: None }, budget);
                for (place, number) in unseen {
                    let (request, grant) = (request_of(view, place), grant_of(view, place, number));
                    self.tell_all(&[place], &D::CancelGranted { request, grant }, budget);
                }
                return;
            }
            RolloutStep::CancelStaged => {
                let staged: Vec<usize> = members().filter(|(_, m)| m.is_staged()).map(|(place, _)| place).collect();
                return self.tell_all(&staged, &D::CancelForCampaign { campaign, before_round: None }, budget);
            }
            RolloutStep::CompleteStaging { evidence } => C::CompleteStaging { evidence },
            RolloutStep::FinishCancel if !cancellable.is_empty() => return,
            RolloutStep::FinishCancel => C::FinishCancel,
            RolloutStep::FinishRollback { evidence } => C::FinishRollback { evidence },
            RolloutStep::PassGate { wave, evidence } => C::PassGate { wave, evidence },
            RolloutStep::BreakSoak { wave, evidence } => C::BreakSoak { wave, evidence },
            RolloutStep::CompleteWave { wave, evidence } => C::CompleteWave { wave, evidence },
            RolloutStep::CloseGate { gate, wave, threshold_percent, evidence } => {
                assert_eq!(evidence.devices.len(), evidence.failed as usize, "it names the devices that it counts");
                C::CloseGate { gate, wave, threshold_percent, evidence }
            }
            RolloutStep::Finish { result, evidence } => C::Finish { result, evidence },
        };
        if !spent(budget) && self.is_seen(view) {
            self.tell_campaign(&command);
        }
    }

    fn tell_all(&mut self, places: &[usize], command: &D, budget: &mut usize) {
        for place in places {
            if spent(budget) {
                return;
            }
            self.tell_device(*place, command);
            self.check_slots();
        }
    }

    /// Lag and faults are over, and everything must end. An operator opens closed gates by accepting the failures.
    fn calm_down(&mut self) {
        for _ in 0..CALM_ROUNDS_MAX {
            if self.campaign.status.is_terminal() {
                return;
            }
            for place in 0..FLEET {
                self.act(place, Act::Return);
                self.act(place, Act::GoOn);
                self.run_clocks(place);
                self.check_slots();
            }
            for manager in 0..self.managers.len() {
                self.read(manager, usize::MAX);
                self.tick(manager, usize::MAX);
                self.check_slots();
            }
            if self.campaign.status == CampaignStatus::Paused {
                self.tell_campaign(&C::Resume { accept_failures: true });
            }
            self.now += TimeDelta::minutes(1);
        }
        let counts = self.truth.rollout(self.now);
        let phases: Vec<_> = self.truth.members.iter().map(|member| (member.phase, member.holds_slot)).collect();
        panic!("the rollout doesn't end: {:?} {counts:#?} {phases:?}", self.campaign.status);
    }
}

fn spent(budget: &mut usize) -> bool {
    let none = *budget == 0;
    *budget = budget.saturating_sub(1);
    none
}

/// What a grant is for, as the view sees it.
fn request_of(view: &View, place: usize) -> Box<UpdateRequest> {
    Box::new(UpdateRequest { activate: view.activates(view.members[place].wave), ..request("2.0.0") })
}

fn grant_of(view: &View, place: usize, number: u64) -> Grant {
    let wave = view.members[place].wave;
    let opened = view.opened[usize::from(wave) - 1].unwrap_or(at(0));
    let campaign = CampaignRef { id: campaign_id(), wave, rank: place as u32, round: view.round };
    Grant { campaign, number, wait_until: opened + TimeDelta::minutes(10_080) }
}

fn slots(max_concurrent_updates: u32) -> C {
    let max_concurrent_updates = Some(max_concurrent_updates);
    C::Adjust { changes: Box::new(Adjustments { max_concurrent_updates, ..Adjustments::default() }) }
}

fn acts() -> impl Strategy<Value = Act> {
    let codes = vec!["download_failed", "boot_failed", "unsupported", "busy"];
    prop_oneof![
        30 => Just(Act::GoOn),
        2 => select(codes).prop_map(Act::Fail),
        1 => Just(Act::Defer),
        1 => Just(Act::FallBack),
        2 => Just(Act::Vanish),
        3 => Just(Act::Return),
        1 => Just(Act::OwnUpdate),
        2 => Just(Act::AnswerLate),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let commands = vec![
        C::Pause { cause: PauseCause::Operator },
        C::Resume { accept_failures: false },
        C::Resume { accept_failures: true },
        C::Resume { accept_failures: true },
        C::Retry,
        slots(1),
        slots(SLOTS),
    ];
    let step = prop_oneof![
        6 => (0..2usize, 0..40usize).prop_map(|(manager, events)| Step::Read { manager, events }),
        4 => (0..2usize, 0..6usize).prop_map(|(manager, commands_max)| Step::Tick { manager, commands_max }),
        4 => (0..2usize).prop_map(|manager| Step::Tick { manager, commands_max: usize::MAX }),
        20 => (0..FLEET, acts()).prop_map(|(place, act)| Step::Device { place, act }),
        3 => (0..FLEET).prop_map(|place| Step::Clocks { place }),
        3 => select(vec![1, 30, 120, 300, 1_000]).prop_map(|seconds| Step::Wait { seconds }),
        6 => Just(Step::Together),
        1 => select(commands).prop_map(Step::Operator),
    ];
    proptest::collection::vec(step, 1..STEPS_MAX)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(CASES), max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slots_rate_gates_and_windows_hold_under_lag_and_crashes_and_everything_ends(
        steps in steps(), cancel_at in proptest::option::of(0..STEPS_MAX), rate in select(vec![None, Some(6), Some(60)]),
        jitter in select(vec![None, None, Some(200)]), reads_before_granting in any::<bool>(),
        has_windows in proptest::bool::weighted(0.25), stages in proptest::bool::weighted(0.4),
    ) {
        let setting = Setting { rate_per_minute: rate, jitter_seconds: jitter, reads_before_granting, has_windows, stages };
        let mut world = World::new(setting);
        for (n, step) in steps.iter().enumerate() {
            if cancel_at == Some(n) {
                world.tell_campaign(&C::Cancel);
            }
            world.take(step);
        }
        world.calm_down();
        if world.campaign.status != CampaignStatus::Cancelled {
            prop_assert!(world.truth.members.iter().all(|member| !member.holds_slot));
        }
    }
}

#[test]
fn a_rollout_without_faults_confirms_all_devices() {
    for stages in [false, true] {
        let paced = Setting { rate_per_minute: Some(1), jitter_seconds: Some(3_600), ..Setting::default() };
        let mut world = World::new(Setting { stages, ..paced });
        world.calm_down();
        assert_eq!(world.campaign.status, CampaignStatus::Completed);
        assert_eq!(world.truth.rollout(world.now).total().confirmed, FLEET as u32);
    }
}

#[test]
fn a_retry_gives_each_failed_device_a_new_update() {
    let mut world = World::new(Setting { reads_before_granting: true, ..Setting::default() });
    for round in 0.. {
        if world.devices[0].live().is_some() {
            break;
        }
        assert!(round < CALM_ROUNDS_MAX, "it never has its turn");
        (0..world.managers.len()).for_each(|manager| {
            world.read(manager, usize::MAX);
            world.tick(manager, usize::MAX);
        });
        (1..FLEET).for_each(|place| world.act(place, Act::GoOn));
        world.act(0, Act::Return);
    }
    world.act(0, Act::Fail("unsupported"));
    world.calm_down();
    let ended = world.truth.rollout(world.now).total();
    assert_eq!((ended.confirmed, ended.failed), (FLEET as u32 - 1, 1));
    world.tell_campaign(&C::Retry);
    world.calm_down();
    let retried = world.truth.rollout(world.now).total();
    assert_eq!((retried.confirmed, retried.failed, retried.gate_failed), (FLEET as u32, 0, 1));
    let retry = &world.devices[0].updates[&world.devices[0].last_ordinal];
    assert_eq!(retry.spec.retry_of, Some(retry.ordinal - 1));
}
