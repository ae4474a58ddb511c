//! Whole rollouts in memory: a fleet of devices, one or two campaigns with their ledgers, and for each campaign two process managers that see
//! different prefixes of one log and crash between any two commands. Devices fail, defer, lie and go offline, and an operator pauses, resumes,
//! retries, cancels and rolls back.

use proptest::prelude::*;
use proptest::sample::select;

use super::world::{Act, FLEET, SLOTS, Setting, World};
use super::*;
use crate::campaign::{Adjustments, CampaignCommand as C, PauseCause, RollbackCause};

const CASES: u32 = 600;
const STEPS_MAX: usize = 250;
/// Rounds of a minute each in which calm rollouts must end: twice the working clocks of all devices, and as long for closed windows.
const CALM_ROUNDS_MAX: usize = 3_000;

#[derive(Debug, Clone)]
enum Step {
    /// A process manager reads further in the log.
    Read {
        campaign: usize,
        manager: usize,
        events: usize,
    },
    /// It reconciles, and crashes after this many commands.
    Tick {
        campaign: usize,
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
    /// Every device does the same.
    Together(Act),
    Operator {
        campaign: usize,
        command: C,
    },
}

impl World {
    fn take(&mut self, step: &Step) {
        let of = |campaign: &usize| campaign % self.rollouts.len();
        match step {
            Step::Read { campaign, manager, events } => self.read(of(campaign), *manager, *events),
            Step::Tick { campaign, manager, commands_max } => self.tick(of(campaign), *manager, *commands_max),
            Step::Device { place, act } => self.act(*place, *act),
            Step::Clocks { place } => self.run_clocks(*place),
            Step::Wait { seconds } => self.now += TimeDelta::seconds(*seconds),
            Step::Together(act) => (0..FLEET).for_each(|place| self.act(place, *act)),
            Step::Operator { campaign, command } => self.tell_campaign(of(campaign), command),
        }
        self.check();
    }

    /// Managers read everything and reconcile without a crash.
    fn reconcile(&mut self) {
        for campaign in 0..self.rollouts.len() {
            for manager in 0..self.rollouts[campaign].managers.len() {
                self.read(campaign, manager, usize::MAX);
                self.tick(campaign, manager, usize::MAX);
                self.check();
            }
        }
    }

    /// Lag and faults are over, and everything must end. An operator opens closed gates by accepting the failures.
    fn calm_down(&mut self) {
        for _ in 0..CALM_ROUNDS_MAX {
            if self.is_over() {
                return self.check_end();
            }
            for place in 0..FLEET {
                self.act(place, Act::Return);
                self.act(place, Act::GoOn);
                self.run_clocks(place);
                self.check();
            }
            self.reconcile();
            for campaign in 0..self.rollouts.len() {
                if self.rollouts[campaign].campaign.status == CampaignStatus::Paused {
                    self.tell_campaign(campaign, &C::Resume { accept_failures: true });
                }
            }
            self.now += TimeDelta::minutes(1);
        }
        let rollouts: Vec<_> = self.rollouts.iter().map(|rollout| rollout.truth.rollout(self.now)).collect();
        let members: Vec<_> = self.rollouts.iter().map(|rollout| &rollout.truth.members).collect();
        panic!("the rollouts don't end: {rollouts:#?} {members:?}");
    }
}

fn slots(max_concurrent_updates: u32) -> C {
    let max_concurrent_updates = Some(max_concurrent_updates);
    C::Adjust { changes: Box::new(Adjustments { max_concurrent_updates, ..Adjustments::default() }) }
}

fn roll_back() -> C {
    C::RollBack { cause: RollbackCause::Operator }
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
        1 => Just(Act::Contradict),
        1 => Just(Act::BootLate),
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
    let together = prop_oneof![8 => Just(Act::GoOn), 1 => Just(Act::Fail("unsupported"))];
    let step = prop_oneof![
        6 => (0..2usize, 0..2usize, 0..40usize)
            .prop_map(|(campaign, manager, events)| Step::Read { campaign, manager, events }),
        4 => (0..2usize, 0..2usize, 0..6usize)
            .prop_map(|(campaign, manager, commands_max)| Step::Tick { campaign, manager, commands_max }),
        4 => (0..2usize, 0..2usize)
            .prop_map(|(campaign, manager)| Step::Tick { campaign, manager, commands_max: usize::MAX }),
        20 => (0..FLEET, acts()).prop_map(|(place, act)| Step::Device { place, act }),
        3 => (0..FLEET).prop_map(|place| Step::Clocks { place }),
        3 => select(vec![1, 30, 120, 300, 1_000]).prop_map(|seconds| Step::Wait { seconds }),
        6 => together.prop_map(Step::Together),
        1 => (0..2usize, select(commands)).prop_map(|(campaign, command)| Step::Operator { campaign, command }),
    ];
    proptest::collection::vec(step, 1..STEPS_MAX)
}

/// Commands that stop a campaign, and the step before which they come.
fn stops() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let commands = vec![C::Cancel, roll_back(), roll_back()];
    let step = (0..2usize, select(commands)).prop_map(|(campaign, command)| Step::Operator { campaign, command });
    proptest::collection::vec((0..STEPS_MAX, step), 0..4)
}

fn settings() -> impl Strategy<Value = Vec<Setting>> {
    let (rates, jitters) = (vec![None, Some(6), Some(60)], vec![None, None, Some(200)]);
    let (windows, stages) = (proptest::bool::weighted(0.25), proptest::bool::weighted(0.4));
    let setting = (select(rates), select(jitters), any::<bool>(), windows, stages, any::<bool>()).prop_map(
        |(rate_per_minute, jitter_seconds, reads_before_granting, has_windows, stages, auto_rollback)| Setting {
            rate_per_minute,
            jitter_seconds,
            reads_before_granting,
            has_windows,
            stages,
            auto_rollback,
        },
    );
    proptest::collection::vec(setting, 1..=2)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(CASES), max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slots_rate_gates_and_windows_hold_under_lag_and_crashes_and_everything_ends(
        settings in settings(), steps in steps(), stops in stops(), again in proptest::option::weighted(0.3, steps()),
    ) {
        let mut world = World::new(&settings);
        for (n, step) in steps.iter().enumerate() {
            stops.iter().filter(|(before, _)| *before == n).for_each(|(_, stop)| world.take(stop));
            world.take(step);
        }
        world.calm_down();
        // What has ended is rolled back, under the same faults.
        if let Some(steps) = again {
            world.tell_campaign(steps.len() % settings.len(), &roll_back());
            steps.iter().for_each(|step| world.take(step));
            world.calm_down();
        }
    }
}

#[test]
fn a_rollout_without_faults_confirms_all_devices() {
    for stages in [false, true] {
        let paced = Setting { rate_per_minute: Some(1), jitter_seconds: Some(3_600), ..Setting::default() };
        let mut world = World::new(&[Setting { stages, ..paced }]);
        world.calm_down();
        let rollout = &world.rollouts[0];
        assert_eq!(rollout.campaign.status, CampaignStatus::Completed);
        assert_eq!(rollout.truth.rollout(world.now).total().confirmed, FLEET as u32);
    }
}

fn all_run(world: &World, version: &str) -> bool {
    world.devices.iter().all(|device| device.versions["firmware"] == version)
}

#[test]
fn two_campaigns_are_rolled_back_one_after_the_other() {
    let mut world = World::new(&[Setting::default()]);
    world.calm_down();
    assert!(all_run(&world, "2.0.0"));
    world.add(Setting::default());
    world.calm_down();
    assert!(all_run(&world, "3.0.0"));
    for (campaign, leads_to) in [(1, "2.0.0"), (0, "1.0.0")] {
        world.tell_campaign(campaign, &roll_back());
        world.calm_down();
        assert_eq!(world.rollouts[campaign].campaign.status, CampaignStatus::RolledBack);
        assert!(all_run(&world, leads_to));
    }
}

#[test]
fn a_campaign_is_not_rolled_back_on_devices_that_another_one_has_taken_further() {
    let mut world = World::new(&[Setting::default()]);
    world.calm_down();
    world.add(Setting::default());
    world.calm_down();
    world.tell_campaign(0, &roll_back());
    world.calm_down();
    assert_eq!(world.rollouts[0].campaign.status, CampaignStatus::RolledBack);
    assert!(all_run(&world, "3.0.0"));
}

#[test]
fn a_retry_gives_each_failed_device_a_new_update() {
    let mut world = World::new(&[Setting { reads_before_granting: true, ..Setting::default() }]);
    for round in 0.. {
        if world.devices[0].live().is_some() {
            break;
        }
        assert!(round < CALM_ROUNDS_MAX, "it never has its turn");
        world.reconcile();
        (1..FLEET).for_each(|place| world.act(place, Act::GoOn));
        world.act(0, Act::Return);
    }
    world.act(0, Act::Fail("unsupported"));
    world.calm_down();
    let total = |world: &World| world.rollouts[0].truth.rollout(world.now).total();
    assert_eq!((total(&world).confirmed, total(&world).failed), (FLEET as u32 - 1, 1));
    world.tell_campaign(0, &C::Retry);
    world.calm_down();
    let retried = total(&world);
    assert_eq!((retried.confirmed, retried.failed, retried.gate_failed), (FLEET as u32, 0, 1));
    let retry = world.devices[0].update(world.devices[0].last_ordinal).unwrap();
    assert_eq!(retry.spec.retry_of, Some(retry.ordinal - 1));
}
