//! The world of the simulation: devices with their behaviour, the log and its invariants.

use std::collections::BTreeMap;

use super::view::{Logged, View};
use super::*;
use crate::Decider;
use crate::campaign::tests::{facts, summary, threshold};
use crate::campaign::{Campaign, CampaignCommand as C, CampaignEvent};
use crate::device::{
    Clock, Desired, Device, DeviceCommand as D, DeviceEvent, Info, Limits, OfflineCause, Phase, Presence, Profile,
    Reachability, Report, ReportStatus, Update, UpdateKind, UpdateRequest,
};
use crate::ledger::{Ledger, LedgerEvent};
use crate::values::Priority;
use crate::window::{ClockTime, Day, MaintenanceWindow, MaintenanceWindows};

pub(super) const FLEET: usize = 12;
/// Devices in the first wave.
pub(super) const FIRST_WAVE: usize = 6;
pub(super) const SLOTS: u32 = 2;
/// Devices that may begin at once if the rate is limited.
const BURST: u32 = 2;

#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    GoOn,
    Fail(&'static str),
    Defer,
    /// Boots the version that ran before.
    FallBack,
    Vanish,
    Return,
    /// An operator requests another update for this device.
    OwnUpdate,
    /// Continues with a withdrawn or deferred update.
    AnswerLate,
}

/// What a simulated campaign is like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Setting {
    pub(super) rate_per_minute: Option<u32>,
    pub(super) jitter_seconds: Option<u32>,
    /// Managers read everything before they grant, as in production while no projector crashes.
    pub(super) reads_before_granting: bool,
    pub(super) has_windows: bool,
    /// Blue/green.
    pub(super) stages: bool,
}

pub(super) struct World {
    pub(super) now: DateTime<Utc>,
    pub(super) campaign: Campaign,
    pub(super) ledger: Ledger,
    pub(super) devices: Vec<Device>,
    pub(super) boots: usize,
    pub(super) log: Vec<(DateTime<Utc>, Logged)>,
    /// Times of an update's latest event and of its first answer.
    pub(super) since: BTreeMap<(usize, u32), DateTime<Utc>>,
    pub(super) reached: BTreeMap<(usize, u32), DateTime<Utc>>,
    /// Since when updates are staged: their working clock stands still.
    staged: BTreeMap<(usize, u32), DateTime<Utc>>,
    pub(super) managers: Vec<View>,
    /// The view of the whole log.
    pub(super) truth: View,
    pub(super) gate_is_closed: bool,
    pub(super) setting: Setting,
    /// All grants, with their devices.
    granted: Vec<(DateTime<Utc>, usize)>,
}

pub(super) fn request(version: &str) -> UpdateRequest {
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
        require_digest_report: false,
        preconditions: None,
        retry_of: None,
        rolls_back: None,
    }
}

/// Open for 2 of each 4 hours.
fn windows() -> MaintenanceWindows {
    let window = |number: u16| MaintenanceWindow {
        days: Day::all().collect(),
        start: ClockTime::of_minutes(number * 240).unwrap(),
        end: None,
        duration_minutes: Some(120),
        timezone: "UTC".into(),
        default_timezone: None,
    };
    MaintenanceWindows((0..6).map(window).collect())
}

fn simulated_spec(setting: Setting) -> CampaignSpec {
    let mut spec = spec(&[50, 100]);
    spec.max_concurrent_updates = SLOTS;
    (spec.rate_per_minute, spec.batch_size) = (setting.rate_per_minute, Some(BURST));
    spec.jitter_seconds = setting.jitter_seconds;
    spec.gate_min_settled = 3;
    spec.failure_threshold_percent = threshold(50);
    spec.soak_minutes = 2;
    spec.wave_wait_minutes = 10;
    if setting.stages {
        spec.strategy = crate::campaign::Strategy::BlueGreen;
    }
    if setting.has_windows {
        spec.maintenance_window = windows();
    }
    spec
}

pub(super) fn slot_device(place: usize) -> DeviceId {
    DeviceId::new(format!("d-{place}")).expect("an id")
}

/// No period up to the latest grant has more grants than a burst and the rate allow.
pub(super) fn check_rate(granted: &[(DateTime<Utc>, usize)], rate: u32, burst: u32) {
    let Some((now, _)) = granted.last() else { return };
    let mut devices = 0;
    for (since, count) in granted.iter().rev() {
        devices += *count as i64;
        let allowed_us = i64::from(burst) * 60_000_000 + (*now - *since).num_microseconds().unwrap() * i64::from(rate);
        assert!(devices * 60_000_000 <= allowed_us, "{devices} devices since {since} at {now}");
    }
}

impl World {
    pub(super) fn new(setting: Setting) -> Self {
        let spec = simulated_spec(setting);
        let waves: Vec<u16> = (0..FLEET).map(|place| if place < FIRST_WAVE { 1 } else { 2 }).collect();
        let view = View::new(campaign_id(), spec.clone(), &waves);
        let mut world = Self {
            now: at(0),
            campaign: Campaign::default(),
            ledger: Ledger::default(),
            devices: vec![Device::default(); FLEET],
            boots: 0,
            log: vec![],
            since: BTreeMap::new(),
            reached: BTreeMap::new(),
            staged: BTreeMap::new(),
            managers: vec![view.clone(), view.clone()],
            truth: view,
            gate_is_closed: false,
            setting,
            granted: vec![],
        };
        for place in 0..FLEET {
            let profile = Profile { device_model: Some("wm-200".into()), ..Profile::default() };
            let versions = BTreeMap::from([("firmware".to_owned(), "1.0.0".to_owned())]);
            world.tell_device(place, &D::Register { profile, versions });
            world.boot(place, "1.0.0");
            world.tell_device(place, &Info { slots: Some(2), ..Info::default() }.into());
        }
        let plan = summary(&[FIRST_WAVE as u32, (FLEET - FIRST_WAVE) as u32]);
        world.tell_campaign(&C::Create { id: campaign_id(), spec: Box::new(spec) });
        world.tell_campaign(&C::Start { plan: plan.plan, firmware: Box::new(facts()), expected: None });
        world.tell_campaign(&C::RecordPlan { summary: Box::new(plan) });
        (0..2).for_each(|manager| world.read(manager, usize::MAX));
        world
    }

    pub(super) fn append(&mut self, logged: Logged) {
        if let Logged::Ledger(LedgerEvent::Granted { grants, .. }) = &logged {
            let is_early =
                |place: usize| self.truth.members[place].ordinal.is_none() && self.truth.is_delayed(place, self.now);
            let early: Vec<usize> =
                grants.iter().map(|slot| slot.rank as usize).filter(|place| is_early(*place)).collect();
            assert!(early.is_empty(), "devices {early:?} begin before their delay is over");
        }
        let in_use = self.truth.rollout(self.now).total().in_use as usize;
        self.truth.apply(self.now, &logged);
        match &logged {
            Logged::Campaign(CampaignEvent::GateClosed { .. }) => self.gate_is_closed = true,
            Logged::Campaign(CampaignEvent::Resumed { .. }) => self.gate_is_closed = false,
            Logged::Campaign(CampaignEvent::WaveOpened { .. }) => {
                assert!(!self.gate_is_closed, "a wave opened past a failed gate");
                let first = self.truth.wave == 1;
                assert!(first || self.truth.is_open(self.now), "a wave opened past a closed window");
            }
            Logged::Ledger(LedgerEvent::Granted { grants, .. }) => {
                assert!(!self.gate_is_closed, "slots were granted past a failed gate");
                assert!(self.truth.is_open(self.now), "slots were granted past a closed window");
                let max = self.truth.rollout(self.now).spec.max_concurrent_updates as usize;
                let too_many = self.setting.reads_before_granting && in_use + grants.len() > max;
                assert!(!too_many, "{} slots granted with {in_use} of {max} in use", grants.len());
                self.granted.push((self.now, grants.len()));
                if let Some(rate) = self.setting.rate_per_minute {
                    check_rate(&self.granted, rate, BURST);
                }
            }
            Logged::Device(place, event) => {
                if matches!(event, DeviceEvent::UpdateActivating { .. }) {
                    let wave = self.truth.members[*place].wave;
                    assert!(wave <= self.truth.wave, "a device of wave {wave} switches in wave {}", self.truth.wave);
                }
                if let Some(update) = event.update() {
                    let key = (*place, update.ordinal);
                    self.since.insert(key, self.now);
                    match event {
                        DeviceEvent::UpdateStaged { .. } => drop(self.staged.entry(key).or_insert(self.now)),
                        DeviceEvent::UpdateActivating { .. } => {}
                        _ => {
                            let stood = self.staged.remove(&key).map_or(TimeDelta::zero(), |since| self.now - since);
                            self.reached.entry(key).and_modify(|reached| *reached += stood);
                        }
                    }
                    if matches!(event, DeviceEvent::UpdateAccepted { .. }) {
                        self.reached.entry((*place, update.ordinal)).or_insert(self.now);
                    }
                }
            }
            Logged::Campaign(_) => {}
        }
        self.log.push((self.now, logged));
    }

    pub(super) fn tell_device(&mut self, place: usize, command: &D) {
        for event in self.devices[place].decide(self.now, command).unwrap_or_default() {
            self.devices[place].apply(&event);
            self.append(Logged::Device(place, event));
        }
    }

    pub(super) fn tell_campaign(&mut self, command: &C) {
        for event in self.campaign.decide(self.now, command).unwrap_or_default() {
            self.campaign.apply(&event);
            self.append(Logged::Campaign(event));
        }
    }

    pub(super) fn boot(&mut self, place: usize, version: &str) {
        self.boots += 1;
        let versions = BTreeMap::from([("firmware".to_owned(), version.to_owned())]);
        let presence = Presence { boot_id: Some(format!("b{}", self.boots)), versions, ..Presence::default() };
        self.tell_device(place, &presence.into());
    }

    /// The slots that are really in use, by the log and by the devices. Only devices that answer late may exceed the limit.
    pub(super) fn check_slots(&self) {
        let by_log = self.truth.members.iter().filter(|member| member.holds_slot).count();
        let allowed = SLOTS as usize + self.truth.members.iter().filter(|member| member.is_late).count();
        let at_work = |device: &&Device| {
            device.live().is_some_and(|live| {
                let is_told = matches!(live.phase, Phase::Dispatched | Phase::Activating);
                live.spec.campaign.is_some() && (live.phase.is_working() || is_told)
            })
        };
        let by_devices = self.devices.iter().filter(at_work).count();
        assert!(by_log <= allowed, "{by_log} slots in use by the log, {allowed} allowed");
        assert!(by_devices <= by_log, "{by_devices} devices at work with {by_log} slots");
    }

    pub(super) fn read(&mut self, manager: usize, events: usize) {
        let view = &mut self.managers[manager];
        for (time, logged) in self.log.iter().skip(view.position).take(events) {
            view.apply(*time, logged);
        }
    }

    pub(super) fn act(&mut self, place: usize, act: Act) {
        let device = &self.devices[place];
        let live = device.live().cloned();
        let hears = device.reachability == Reachability::Online;
        let told = device.desired() != Desired::Nothing;
        match (act, live) {
            (Act::Vanish, _) => self.tell_device(place, &D::MarkOffline { cause: OfflineCause::Will }),
            (Act::Return, _) => self.tell_device(place, &D::SeenOnline),
            (Act::OwnUpdate, _) => self.tell_device(place, &D::RequestUpdate { request: Box::new(request("1.5.0")) }),
            (Act::FallBack, _) => self.boot(place, "1.0.0"),
            (Act::AnswerLate, _) => self.answer_late(place),
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
                    (_, Phase::Staged) => return,
                    (_, Phase::Installing) if !live.spec.activate => report(ReportStatus::Staged),
                    (_, Phase::Activating) => report(ReportStatus::Rebooting),
                    (_, Phase::Installing | Phase::Rebooting) => {
                        return self.boot(place, &live.spec.firmware.version.clone());
                    }
                    _ => report(ReportStatus::Installing),
                };
                self.tell_device(place, &report.into());
            }
            (Act::GoOn | Act::Fail(_) | Act::Defer, _) => {}
        }
    }

    fn answer_late(&mut self, place: usize) {
        let begun = |update: &&Update| {
            update.spec.campaign.is_some()
                && update.attempt > 0
                && (update.phase.is_waiting() || update.phase == Phase::Deferred)
        };
        let Some(update) = self.devices[place].updates.values().rfind(begun) else { return };
        let report = Report {
            ordinal: update.ordinal,
            attempt: update.attempt,
            status: ReportStatus::Downloading,
            sha256: None,
            code: None,
            message: None,
            retry_after_s: None,
        };
        self.tell_device(place, &report.into());
    }

    pub(super) fn run_clocks(&mut self, place: usize) {
        let open: Vec<_> = self.devices[place].updates.values().filter(|u| !u.phase.is_ended()).cloned().collect();
        for update in open {
            let key = (place, update.ordinal);
            let limits = update.spec.limits;
            let over = |since: Option<&DateTime<Utc>>, seconds: u32| {
                since.is_some_and(|since| self.now >= *since + TimeDelta::seconds(seconds.into()))
            };
            let rests = matches!(update.phase, Phase::Deferred | Phase::Staged | Phase::Activating);
            let silence_s = match update.phase {
                Phase::Dispatched | Phase::Activating => limits.dispatch_s,
                Phase::Downloading => limits.downloading_s,
                Phase::Cancelling => limits.cancel_s,
                _ => limits.phase_s,
            };
            let clock = if !update.reached && self.now >= update.wait_until {
                Clock::Wait
            } else if !rests && over(self.reached.get(&key), limits.total_s) {
                Clock::Total
            } else if over(self.since.get(&key), silence_s) {
                Clock::Phase
            } else {
                continue;
            };
            let (ordinal, attempt, phase, seq) = (update.ordinal, update.attempt, update.phase, update.seq);
            self.tell_device(place, &D::Expire { ordinal, attempt, phase, clock, seq });
        }
    }
}
