//! The world of the simulation: devices with their behaviour, campaigns, and the log.

use std::collections::BTreeMap;

use super::view::{Logged, View};
use super::*;
use crate::Decider;
use crate::campaign::tests::{facts, summary, threshold};
use crate::campaign::{Campaign, CampaignCommand as C};
use crate::device::{
    Clock, Desired, Device, DeviceCommand as D, DeviceEvent, Info, Limits, OfflineCause, Outcome, Phase, Presence,
    Profile, Reachability, Report, ReportStatus, Update, UpdateKind, UpdateRequest,
};
use crate::ids::CampaignId;
use crate::ledger::{Ledger, LedgerCommand};
use crate::values::Priority;
use crate::window::{ClockTime, Day, MaintenanceWindow, MaintenanceWindows};

pub(super) const FLEET: usize = 12;
pub(super) const SLOTS: u32 = 2;
/// Devices that may begin at once if the rate is limited.
pub(super) const BURST: u32 = 2;
/// What the devices run at first.
const FACTORY: &str = "1.0.0";
/// What each campaign brings.
const VERSIONS: [&str; 2] = ["2.0.0", "3.0.0"];
/// Waves of the devices, for each campaign.
const WAVES: [[u16; FLEET]; 2] = [[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], [2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1]];

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
    /// Reports that its latest update failed, after the update has ended.
    Contradict,
    /// Boots the version of its latest update, which has ended without it.
    BootLate,
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
    pub(super) auto_rollback: bool,
}

/// A campaign with its ledger, and what process managers know of it.
pub(super) struct Rollout {
    pub(super) setting: Setting,
    pub(super) campaign: Campaign,
    pub(super) ledger: Ledger,
    pub(super) managers: Vec<View>,
    /// The view of the whole log.
    pub(super) truth: View,
    pub(super) gate_is_closed: bool,
    /// All grants, with their devices.
    pub(super) granted: Vec<(DateTime<Utc>, usize)>,
}

pub(super) struct World {
    pub(super) now: DateTime<Utc>,
    pub(super) rollouts: Vec<Rollout>,
    pub(super) devices: Vec<Device>,
    boots: usize,
    log: Vec<(DateTime<Utc>, Logged)>,
    /// Where the records of the log end. The events of a command are one record, and are read together.
    ends: Vec<usize>,
    /// Times of an update's latest event and of its first answer.
    since: BTreeMap<(usize, u32), DateTime<Utc>>,
    reached: BTreeMap<(usize, u32), DateTime<Utc>>,
    /// Since when updates are staged: their working clock stands still.
    staged: BTreeMap<(usize, u32), DateTime<Utc>>,
}

/// Of an update to a version, or of a rollback to it.
pub(super) fn request(version: &str, kind: UpdateKind) -> UpdateRequest {
    let mut firmware = facts();
    firmware.version = version.into();
    firmware.firmware_id = crate::FirmwareId(crate::ids::name_based_uuid(&[version]));
    UpdateRequest {
        firmware,
        priority: Priority::Normal,
        kind,
        limits: Limits::default(),
        max_attempts: 3,
        activate: true,
        force_update: false,
        allow_downgrade: kind == UpdateKind::Rollback,
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
    spec.auto_rollback = setting.auto_rollback;
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

impl Rollout {
    fn new(number: usize, setting: Setting) -> Self {
        let campaign = if number == 0 { campaign_id() } else { CampaignId(uuid::Uuid::from_u128(0xcb)) };
        let view = View::new(number, campaign, VERSIONS[number], simulated_spec(setting), &WAVES[number]);
        Self {
            setting,
            campaign: Campaign::default(),
            ledger: Ledger::default(),
            managers: vec![view.clone(), view.clone()],
            truth: view,
            gate_is_closed: false,
            granted: vec![],
        }
    }
}

impl World {
    /// A campaign of each setting begins at the same time.
    pub(super) fn new(settings: &[Setting]) -> Self {
        let mut world = Self {
            now: at(0),
            rollouts: vec![],
            devices: vec![Device::default(); FLEET],
            boots: 0,
            log: vec![],
            ends: vec![],
            since: BTreeMap::new(),
            reached: BTreeMap::new(),
            staged: BTreeMap::new(),
        };
        for place in 0..FLEET {
            let profile = Profile { device_model: Some("wm-200".into()), ..Profile::default() };
            let versions = BTreeMap::from([("firmware".to_owned(), FACTORY.to_owned())]);
            world.tell_device(place, &D::Register { profile, versions });
            world.boot(place, FACTORY);
            world.tell_device(place, &Info { slots: Some(2), ..Info::default() }.into());
        }
        settings.iter().for_each(|setting| world.add(*setting));
        world
    }

    /// A further campaign begins.
    pub(super) fn add(&mut self, setting: Setting) {
        let number = self.rollouts.len();
        let mut rollout = Rollout::new(number, setting);
        let everyone = [&mut rollout.truth].into_iter().chain(&mut rollout.managers);
        everyone.for_each(|view| self.log.iter().for_each(|(time, logged)| view.apply(*time, logged)));
        self.rollouts.push(rollout);
        self.start(number);
    }

    fn start(&mut self, number: usize) {
        let View { campaign: id, version, spec, .. } = self.rollouts[number].truth.clone();
        let of_wave = |wave: u16| WAVES[number].iter().filter(|other| **other == wave).count() as u32;
        let plan = summary(&[of_wave(1), of_wave(2)]);
        let firmware = Box::new(request(version, UpdateKind::Update).firmware);
        self.tell_campaign(number, &C::Create { id, spec: Box::new(spec) });
        self.tell_campaign(number, &C::Start { plan: plan.plan, firmware, expected: None });
        self.tell_campaign(number, &C::RecordPlan { summary: Box::new(plan) });
        (0..self.rollouts[number].managers.len()).for_each(|manager| self.read(number, manager, usize::MAX));
    }

    fn append(&mut self, logged: Logged) {
        if let Logged::Device(place, event) = &logged {
            self.note_times(*place, event);
        }
        for rollout in &mut self.rollouts {
            rollout.check_before(self.now, &logged, &self.devices);
            rollout.truth.apply(self.now, &logged);
            rollout.check_after(self.now, &logged);
        }
        self.log.push((self.now, logged));
    }

    pub(super) fn tell_ledger(&mut self, number: usize, command: &LedgerCommand) -> bool {
        let Ok(events) = self.rollouts[number].ledger.decide(self.now, command) else { return false };
        for event in events {
            self.rollouts[number].ledger.apply(&event);
            self.append(Logged::Ledger(number, event));
        }
        self.ends.push(self.log.len());
        true
    }

    fn note_times(&mut self, place: usize, event: &DeviceEvent) {
        let Some(update) = event.update() else { return };
        let key = (place, update.ordinal);
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
            self.reached.entry(key).or_insert(self.now);
        }
    }

    pub(super) fn tell_device(&mut self, place: usize, command: &D) {
        for event in self.devices[place].decide(self.now, command).unwrap_or_default() {
            self.devices[place].apply(&event);
            self.append(Logged::Device(place, event));
        }
        self.ends.push(self.log.len());
    }

    pub(super) fn tell_campaign(&mut self, number: usize, command: &C) {
        for event in self.rollouts[number].campaign.decide(self.now, command).unwrap_or_default() {
            self.rollouts[number].campaign.apply(&event);
            self.append(Logged::Campaign(number, event));
        }
        self.ends.push(self.log.len());
    }

    fn boot(&mut self, place: usize, version: &str) {
        self.boots += 1;
        let versions = BTreeMap::from([("firmware".to_owned(), version.to_owned())]);
        let presence = Presence { boot_id: Some(format!("b{}", self.boots)), versions, ..Presence::default() };
        self.tell_device(place, &presence.into());
    }

    pub(super) fn read(&mut self, number: usize, manager: usize, events: usize) {
        let view = &mut self.rollouts[number].managers[manager];
        let wanted = view.position.saturating_add(events);
        let end = self.ends.get(self.ends.partition_point(|end| *end < wanted)).copied().unwrap_or(self.log.len());
        for (time, logged) in self.log.iter().take(end).skip(view.position) {
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
            (Act::OwnUpdate, _) => {
                self.tell_device(place, &D::RequestUpdate { request: Box::new(request("1.5.0", UpdateKind::Update)) })
            }
            (Act::FallBack, _) => {
                let version = self.version_before(place);
                self.boot(place, &version);
            }
            (Act::AnswerLate, _) => self.answer_late(place),
            (Act::Contradict | Act::BootLate, _) => self.speak_late(place, act),
            (Act::GoOn | Act::Fail(_) | Act::Defer, Some(live)) if hears && told => {
                let report = |status| Report { retry_after_s: Some(120), ..report(&live, status) };
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
        let report = report(update, ReportStatus::Downloading);
        self.tell_device(place, &report.into());
    }

    /// After its latest update has ended: reports that it failed, or boots its version although it did not succeed.
    fn speak_late(&mut self, place: usize, act: Act) {
        let Some(update) = self.devices[place].updates.values().next_back().filter(|update| update.phase.is_ended())
        else {
            return;
        };
        let (failed, version) = (report(update, ReportStatus::Failed), update.spec.firmware.version.clone());
        match act {
            Act::BootLate if update.phase != Phase::Ended(Outcome::Confirmed) => self.boot(place, &version),
            Act::BootLate => {}
            _ => self.tell_device(place, &Report { code: Some("boot_failed".into()), ..failed }.into()),
        }
    }

    /// What the device ran before its update, or before the latest that was confirmed.
    fn version_before(&self, place: usize) -> String {
        let device = &self.devices[place];
        let confirmed = |update: &&Update| update.phase == Phase::Ended(Outcome::Confirmed);
        let update = device.live().or_else(|| device.updates.values().rfind(confirmed));
        update.and_then(|update| update.spec.from_version.clone()).unwrap_or_else(|| FACTORY.to_owned())
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

fn report(update: &Update, status: ReportStatus) -> Report {
    Report {
        ordinal: update.ordinal,
        attempt: update.attempt,
        status,
        sha256: None,
        code: None,
        message: None,
        retry_after_s: None,
    }
}
