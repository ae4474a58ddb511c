//! Whole rollouts in memory: a fleet of devices, a campaign, its ledger, and two process managers that see different prefixes of one log
//! and crash between any two commands, while devices fail, defer, lie and go away and an operator pauses, resumes and cancels.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::view::{Logged, View};
use super::*;
use crate::Decider;
use crate::campaign::tests::{facts, summary};
use crate::campaign::{Campaign, CampaignCommand as C, CampaignEvent, PauseCause};
use crate::device::{
    CampaignRef, Clock, Desired, Device, DeviceCommand as D, DeviceEvent, Grant, Limits, OfflineCause, Phase, Presence,
    Profile, Report, ReportStatus, UpdateKind, UpdateRequest,
};
use crate::ledger::{Ledger, LedgerCommand, SlotGrant};
use crate::values::Priority;

const CASES: u32 = 150;
const STEPS_MAX: usize = 250;
const FLEET: usize = 12;
const SLOTS: u32 = 3;
/// Rounds of a minute each in which a calm rollout must end: twice the working clocks of all devices.
const CALM_ROUNDS_MAX: usize = 1_500;

#[derive(Debug, Clone)]
enum Step {
    /// A process manager reads on.
    Read {
        manager: usize,
        events: usize,
    },
    /// It ticks, and crashes after so many commands.
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
    Operator(C),
}

#[derive(Debug, Clone, Copy)]
enum Act {
    GoOn,
    Fail(&'static str),
    Defer,
    /// Boots what it ran before.
    FallBack,
    Vanish,
    Return,
    /// An operator wants another update for it alone.
    OwnUpdate,
}

struct World {
    now: DateTime<Utc>,
    campaign: Campaign,
    ledger: Ledger,
    devices: Vec<Device>,
    boots: usize,
    log: Vec<(DateTime<Utc>, Logged)>,
    /// When an update last had an event, and when it was first answered.
    since: BTreeMap<(usize, u32), DateTime<Utc>>,
    reached: BTreeMap<(usize, u32), DateTime<Utc>>,
    managers: Vec<View>,
    /// Sees everything.
    truth: View,
    gate_is_closed: bool,
}

fn request(version: &str) -> UpdateRequest {
    let mut firmware = facts();
    firmware.version = version.into();
    firmware.firmware_id = crate::FirmwareId(crate::ids::name_based_uuid(&[version]));
    UpdateRequest {
        firmware,
        priority: Priority::Normal,
        kind: UpdateKind::Update,
        limits: Limits::default(),
        max_attempts: 3,
        activate: true,
        force_update: false,
        allow_downgrade: false,
        retry_of: None,
    }
}

fn simulated_spec() -> CampaignSpec {
    let mut spec = spec(&[25, 100]);
    spec.max_concurrent_updates = SLOTS;
    spec.gate_min_settled = 3;
    spec.failure_threshold_percent = percent(50);
    spec.soak_minutes = 2;
    spec.wave_wait_minutes = 10;
    spec
}

fn slot_device(place: usize) -> DeviceId {
    DeviceId::new(format!("d-{place}")).expect("an id")
}

impl World {
    fn new() -> Self {
        let waves: Vec<u16> = (0..FLEET).map(|place| if place < FLEET / 4 { 1 } else { 2 }).collect();
        let view = View::new(campaign_id(), simulated_spec(), &waves);
        let mut world = Self {
            now: at(0),
            campaign: Campaign::default(),
            ledger: Ledger::default(),
            devices: vec![Device::default(); FLEET],
            boots: 0,
            log: vec![],
            since: BTreeMap::new(),
            reached: BTreeMap::new(),
            managers: vec![view.clone(), view.clone()],
            truth: view,
            gate_is_closed: false,
        };
        for place in 0..FLEET {
            let profile = Profile { device_model: Some("wm-200".into()), ..Profile::default() };
            let versions = BTreeMap::from([("firmware".to_owned(), "1.0.0".to_owned())]);
            world.tell_device(place, &D::Register { profile, versions });
            world.boot(place, "1.0.0");
        }
        let plan = summary(&[FLEET as u32 / 4, FLEET as u32 - FLEET as u32 / 4]);
        world.tell_campaign(&C::Create { id: campaign_id(), spec: Box::new(simulated_spec()) });
        world.tell_campaign(&C::Start { plan: plan.plan, firmware: Box::new(facts()) });
        world.tell_campaign(&C::RecordPlan { summary: Box::new(plan) });
        world
    }

    fn append(&mut self, logged: Logged) {
        self.truth.apply(self.now, &logged);
        match &logged {
            Logged::Campaign(CampaignEvent::GateClosed { .. }) => self.gate_is_closed = true,
            Logged::Campaign(CampaignEvent::Resumed { .. }) => self.gate_is_closed = false,
            Logged::Campaign(CampaignEvent::WaveOpened { .. }) => {
                assert!(!self.gate_is_closed, "a wave opened past a failed gate");
            }
            Logged::Ledger(_) => assert!(!self.gate_is_closed, "slots were granted past a failed gate"),
            Logged::Device(place, event) => {
                if let Some(update) = event.update() {
                    self.since.insert((*place, update.ordinal), self.now);
                    if matches!(event, DeviceEvent::UpdateAccepted { .. }) {
                        self.reached.entry((*place, update.ordinal)).or_insert(self.now);
                    }
                }
            }
            Logged::Campaign(_) => {}
        }
        self.log.push((self.now, logged));
    }

    fn tell_device(&mut self, place: usize, wish: &D) {
        for event in self.devices[place].decide(self.now, wish).unwrap_or_default() {
            self.devices[place].evolve(&event);
            self.append(Logged::Device(place, event));
        }
    }

    fn tell_campaign(&mut self, wish: &C) {
        for event in self.campaign.decide(self.now, wish).unwrap_or_default() {
            self.campaign.evolve(&event);
            self.append(Logged::Campaign(event));
        }
    }

    fn boot(&mut self, place: usize, version: &str) {
        self.boots += 1;
        let versions = BTreeMap::from([("firmware".to_owned(), version.to_owned())]);
        let presence = Presence { boot_id: Some(format!("b{}", self.boots)), versions, ..Presence::default() };
        self.tell_device(place, &D::ReportPresence { presence });
    }

    /// The slots in use in truth: by the log, and by the devices themselves.
    fn check_slots(&self) {
        let by_log = self.truth.members.iter().filter(|member| member.holds_slot).count();
        let at_work = |device: &&Device| {
            device.live().is_some_and(|live| {
                live.spec.campaign.is_some() && (live.phase.is_working() || live.phase == Phase::Dispatched)
            })
        };
        let by_devices = self.devices.iter().filter(at_work).count();
        assert!(by_log <= SLOTS as usize, "{by_log} slots in use by the log");
        assert!(by_devices <= SLOTS as usize, "{by_devices} devices at work");
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Read { manager, events } => self.read(*manager, *events),
            Step::Tick { manager, commands_max } => self.tick(*manager, *commands_max),
            Step::Device { place, act } => self.act(*place, *act),
            Step::Clocks { place } => self.run_clocks(*place),
            Step::Wait { seconds } => self.now += TimeDelta::seconds(*seconds),
            Step::Operator(wish) => self.tell_campaign(wish),
        }
        self.check_slots();
    }

    fn read(&mut self, manager: usize, events: usize) {
        let view = &mut self.managers[manager];
        for (time, logged) in self.log.iter().skip(view.position).take(events) {
            view.apply(*time, logged);
        }
    }

    fn act(&mut self, place: usize, act: Act) {
        let device = &self.devices[place];
        let live = device.live().cloned();
        let hears = device.reachability == crate::device::Reachability::Online;
        let told = device.desired() != Desired::Nothing;
        match (act, live) {
            (Act::Vanish, _) => self.tell_device(place, &D::MarkOffline { cause: OfflineCause::Will }),
            (Act::Return, _) => self.tell_device(place, &D::SeenOnline),
            (Act::OwnUpdate, _) => self.tell_device(place, &D::RequestUpdate { request: Box::new(request("1.5.0")) }),
            (Act::FallBack, _) => self.boot(place, "1.0.0"),
            (Act::GoOn | Act::Fail(_) | Act::Defer, Some(live)) if hears && told => {
                let report = |status| Report {
                    ordinal: live.ordinal,
                    attempt: live.attempt,
                    status,
                    sha256: None,
                    code: None,
                    message: None,
                    retry_after_s: Some(120),
                };
                let report = match (act, live.phase) {
                    (Act::Fail(code), _) => Report { code: Some(code.into()), ..report(ReportStatus::Failed) },
                    (Act::Defer, _) => report(ReportStatus::Deferred),
                    (_, Phase::Dispatched) => report(ReportStatus::Received),
                    (_, Phase::Accepted) => report(ReportStatus::Downloading),
                    (_, Phase::Cancelling) => report(ReportStatus::Cancelled),
                    (_, Phase::Installing | Phase::Rebooting) => {
                        return self.boot(place, &live.spec.firmware.version.clone());
                    }
                    _ => report(ReportStatus::Installing),
                };
                self.tell_device(place, &D::Report { report });
            }
            (Act::GoOn | Act::Fail(_) | Act::Defer, _) => {}
        }
    }

    fn run_clocks(&mut self, place: usize) {
        let open: Vec<_> = self.devices[place].updates.values().filter(|u| !u.phase.is_ended()).cloned().collect();
        for update in open {
            let key = (place, update.ordinal);
            let limits = update.spec.limits;
            let over = |since: Option<&DateTime<Utc>>, seconds: u32| {
                since.is_some_and(|since| self.now >= *since + TimeDelta::seconds(seconds.into()))
            };
            let silence_s = match update.phase {
                Phase::Dispatched => limits.dispatch_s,
                Phase::Downloading => limits.downloading_s,
                Phase::Cancelling => limits.cancel_s,
                _ => limits.phase_s,
            };
            let clock = if !update.reached && self.now >= update.wait_until {
                Clock::Wait
            } else if update.phase != Phase::Deferred && over(self.reached.get(&key), limits.total_s) {
                Clock::Total
            } else if over(self.since.get(&key), silence_s) {
                Clock::Phase
            } else {
                continue;
            };
            let (ordinal, attempt, phase) = (update.ordinal, update.attempt, update.phase);
            self.tell_device(place, &D::Expire { ordinal, attempt, phase, clock });
        }
    }

    /// What a process manager does in one look at its view; it crashes when its commands are used up.
    fn tick(&mut self, manager: usize, commands_max: usize) {
        let view = self.managers[manager].clone();
        let mut budget = commands_max;
        if view.status == CampaignStatus::Running {
            let unseen = view.members.iter().enumerate().filter(|(_, member)| !member.grant_seen && member.holds_slot);
            let carried: Vec<(usize, u64)> = unseen.map(|(place, member)| (place, member.grant)).collect();
            self.carry(&view, &carried, &mut budget);
        }
        for decision in decide(&view.rollout(self.now), self.now) {
            self.carry_out(&view, decision, &mut budget);
        }
    }

    fn carry(&mut self, view: &View, grants: &[(usize, u64)], budget: &mut usize) {
        if self.campaign.status != CampaignStatus::Running {
            return;
        }
        for (place, number) in grants {
            if spent(budget) {
                return;
            }
            let (request, grant) = (Box::new(request("2.0.0")), grant_of(view, *place, *number));
            self.tell_device(*place, &D::GrantSlot { request, grant });
            self.check_slots();
        }
    }

    fn grant(&mut self, view: &View, devices_max: u32, budget: &mut usize) {
        let ready = view.members.iter().enumerate().filter(|(_, m)| m.wave <= view.wave && m.is_ready(self.now));
        let places: Vec<usize> = ready.map(|(place, _)| place).take(devices_max as usize).collect();
        if self.campaign.status != CampaignStatus::Running || spent(budget) {
            return;
        }
        let slot = |place: &usize| SlotGrant {
            device: slot_device(*place),
            wave: view.members[*place].wave,
            rank: *place as u32,
        };
        let wish = LedgerCommand::Grant {
            seen_version: view.ledger_version,
            in_use: view.rollout(self.now).total().in_use,
            max_concurrent_updates: SLOTS,
            grants: places.iter().map(slot).collect(),
        };
        let Ok(events) = self.ledger.decide(self.now, &wish) else { return };
        for event in events {
            self.ledger.evolve(&event);
            self.append(Logged::Ledger(event));
        }
        self.check_slots();
        let number = view.ledger_version + 1;
        self.carry(view, &places.into_iter().map(|place| (place, number)).collect::<Vec<_>>(), budget);
    }

    fn carry_out(&mut self, view: &View, decision: Decision, budget: &mut usize) {
        let members = || view.members.iter().enumerate();
        let cancellable: Vec<usize> = members().filter(|(_, m)| m.is_cancellable()).map(|(place, _)| place).collect();
        let unseen = members().filter(|(_, m)| m.holds_slot && !m.grant_seen);
        let unseen: Vec<(usize, u64)> = unseen.map(|(place, m)| (place, m.grant)).collect();
        let campaign = campaign_id();
        let wish = match decision {
            Decision::Grant { devices_max } => return self.grant(view, devices_max, budget),
            Decision::WithdrawUnanswered => {
                let dispatched = members().filter(|(_, m)| m.phase == Some(Phase::Dispatched)).map(|(place, _)| place);
                return self.tell_all(&dispatched.collect::<Vec<_>>(), &D::Withdraw { campaign }, budget);
            }
            Decision::CancelUpdates => {
                self.tell_all(&cancellable, &D::CancelForCampaign { campaign }, budget);
                for (place, number) in unseen {
                    let (request, grant) = (Box::new(request("2.0.0")), grant_of(view, place, number));
                    self.tell_all(&[place], &D::CancelGranted { request, grant }, budget);
                }
                return;
            }
            Decision::FinishCancel if !cancellable.is_empty() => return,
            Decision::FinishCancel => C::FinishCancel,
            Decision::PassGate { wave, evidence } => C::PassGate { wave, evidence },
            Decision::BreakSoak { wave, evidence } => C::BreakSoak { wave, evidence },
            Decision::CompleteWave { wave, evidence } => C::CompleteWave { wave, evidence },
            Decision::CloseGate { gate, wave, threshold_percent, evidence } => {
                C::CloseGate { gate, wave, threshold_percent, evidence }
            }
            Decision::Finish { result, evidence } => C::Finish { result, evidence },
        };
        if !spent(budget) {
            self.tell_campaign(&wish);
        }
    }

    fn tell_all(&mut self, places: &[usize], wish: &D, budget: &mut usize) {
        for place in places {
            if spent(budget) {
                return;
            }
            self.tell_device(*place, wish);
            self.check_slots();
        }
    }

    /// Lag and faults are over: everything ends. Gates are opened by an operator who accepts the failures.
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

fn grant_of(view: &View, place: usize, number: u64) -> Grant {
    let wave = view.members[place].wave;
    let opened = view.opened[usize::from(wave) - 1].unwrap_or(at(0));
    let campaign = CampaignRef { id: campaign_id(), wave, rank: place as u32 };
    Grant { campaign, number, wait_until: opened + TimeDelta::minutes(10_080) }
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
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wishes = vec![
        C::Pause { cause: PauseCause::Operator },
        C::Resume { accept_failures: false },
        C::Resume { accept_failures: true },
        C::Resume { accept_failures: true },
    ];
    let step = prop_oneof![
        6 => (0..2usize, 0..40usize).prop_map(|(manager, events)| Step::Read { manager, events }),
        4 => (0..2usize, 0..6usize).prop_map(|(manager, commands_max)| Step::Tick { manager, commands_max }),
        4 => (0..2usize).prop_map(|manager| Step::Tick { manager, commands_max: usize::MAX }),
        20 => (0..FLEET, acts()).prop_map(|(place, act)| Step::Device { place, act }),
        3 => (0..FLEET).prop_map(|place| Step::Clocks { place }),
        3 => select(vec![1, 30, 120, 300, 1_000]).prop_map(|seconds| Step::Wait { seconds }),
        1 => select(wishes).prop_map(Step::Operator),
    ];
    proptest::collection::vec(step, 1..STEPS_MAX)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slots_and_gates_hold_under_lag_and_crashes_and_everything_ends(steps in steps(), cancel_at in proptest::option::of(0..STEPS_MAX)) {
        let mut world = World::new();
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
fn a_calm_rollout_confirms_everybody() {
    let mut world = World::new();
    world.calm_down();
    assert_eq!(world.campaign.status, CampaignStatus::Completed);
    assert_eq!(world.truth.rollout(world.now).total().confirmed, FLEET as u32);
}
