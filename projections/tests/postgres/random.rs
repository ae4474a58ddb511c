//! Random histories: rows agree with aggregates for every batching of the events.

use domain::campaign::{Adjustments, Campaign, CampaignCommand, RollbackCause, Strategy};
use domain::device::*;
use domain::values::{Percent, Threshold};
use domain::{CampaignId, Key};
use event_store::ExecuteError;
use projections::devices;

use crate::campaigns::{check_counts, fleet};
use crate::fleet::{World, device, request};

const STEPS: u32 = 250;
const STATUSES: [ReportStatus; 12] = [
    ReportStatus::Received,
    ReportStatus::Deferred,
    ReportStatus::Downloading,
    ReportStatus::Verifying,
    ReportStatus::Installing,
    ReportStatus::Staged,
    ReportStatus::Rebooting,
    ReportStatus::Completed,
    ReportStatus::Failed,
    ReportStatus::Rejected,
    ReportStatus::Cancelled,
    ReportStatus::CancelRefused,
];
const CODES: [&str; 4] = ["download_failed", "install_failed", "unsupported", "busy"];

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize]
    }
}

async fn step(world: &World, dice: &mut Dice, id: &str, other: &FirmwareSnapshot) {
    let command = match dice.roll(14) {
        0..=4 => {
            let status = dice.pick(&STATUSES);
            let code = matches!(status, ReportStatus::Failed | ReportStatus::Rejected | ReportStatus::Deferred);
            let code_text = dice.pick(&CODES);
            return world.reports(id, status, code.then_some(code_text)).await;
        }
        5..=7 => {
            let (boot, version) = (dice.roll(40).to_string(), dice.pick(&["1.0.0", "2.0.0", "1.5.0"]));
            let presence = Presence {
                boot_id: Some(boot),
                versions: [("firmware".to_owned(), version.to_owned())].into(),
                trial: dice.roll(5) == 0,
                ..Presence::default()
            };
            presence.into()
        }
        8 => DeviceCommand::MarkOffline { cause: OfflineCause::Will },
        9 => DeviceCommand::SeenOnline,
        10 => match dice.roll(3) {
            0 => DeviceCommand::Hold { until: None },
            _ => DeviceCommand::Release,
        },
        11 => DeviceCommand::RequestUpdate { request: Box::new(request(other)) },
        12 => DeviceCommand::CancelUpdate { ordinal: 1 + dice.roll(3) as u32 },
        _ if dice.roll(6) == 0 => DeviceCommand::Decommission,
        _ => {
            let versions = [("firmware".to_owned(), "1.0.0".to_owned()), ("bootloader".to_owned(), "1".to_owned())];
            let profile = Profile { device_model: Some("M".into()), ..Profile::default() };
            DeviceCommand::Register { profile, versions: versions.into() }
        }
    };
    match world.tell::<Device>(&device(id), command).await {
        Ok(_) | Err(ExecuteError::Rejected(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// An operator retries a campaign's failed devices, takes it back, lets it go on, or adds the rest of the fleet.
async fn interfere(world: &World, dice: &mut Dice, campaign: &CampaignId) {
    let command = match dice.roll(4) {
        0 => CampaignCommand::Retry,
        1 => CampaignCommand::RollBack { cause: RollbackCause::Operator },
        2 => CampaignCommand::Resume { accept_failures: true },
        _ => {
            let rollout_percentage = Some(Percent::ALL);
            CampaignCommand::Adjust { changes: Box::new(Adjustments { rollout_percentage, ..Adjustments::default() }) }
        }
    };
    match world.tell::<Campaign>(campaign, command).await {
        Ok(_) | Err(ExecuteError::Rejected(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn check_device(world: &World, id: &str) {
    let loaded = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device(id))).await.unwrap();
    let aggregate = &loaded.aggregate;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let row = devices::get(&mut tx, &world.tenant, id).await.unwrap().unwrap().row;
    assert_eq!(row.versions, aggregate.versions);
    assert_eq!(row.live_ordinal, aggregate.live().map(|live| live.ordinal));
    assert_eq!(row.waiting.len(), aggregate.waiting_updates());
    assert_eq!(row.held, aggregate.hold.is_some());
    assert_eq!(row.status, aggregate.reachability);
    assert_eq!(row.lifecycle, aggregate.lifecycle);
    assert_eq!((row.version, row.position), (loaded.version, loaded.last_sequence));
}

async fn run(seed: u64, strategy: Strategy) {
    let world = World::start().await;
    let ids = fleet(&world, 6).await;
    for device in &ids {
        world.has_slots(device, 2).await;
    }
    let firmware = world.firmware("2.0.0").await;
    let other = world.firmware("1.5.0").await;
    world.firmware("1.0.0").await;
    let id = world
        .campaign(&firmware, |spec| {
            spec.failure_threshold_percent = Threshold::new(100).unwrap();
            spec.strategy = strategy;
            if strategy == Strategy::Immediate {
                spec.waves.drain(..1).for_each(drop);
            }
            spec.rollout_percentage = Percent::new(50).unwrap();
        })
        .await;
    let mut dice = Dice(seed);
    for _ in 0..STEPS {
        if dice.roll(40) == 0 {
            interfere(&world, &mut dice, &id).await;
        } else if dice.roll(8) == 0 {
            world.tick().await;
            check_counts(&world, &id, 4).await;
        } else {
            let device = dice.pick(&ids.iter().map(String::as_str).collect::<Vec<_>>());
            step(&world, &mut dice, device, &other).await;
        }
    }
    world.settles().await;
    check_counts(&world, &id, 4).await;
    for device in &ids {
        check_device(&world, device).await;
    }
    world.equals_a_replay().await;
    end_with_devices_to_be_retried(&world, &id).await;
}

/// A device that was to be retried and never began keeps its former outcome.
async fn end_with_devices_to_be_retried(world: &World, campaign: &CampaignId) {
    for command in [CampaignCommand::Retry, CampaignCommand::Cancel] {
        match world.tell::<Campaign>(campaign, command).await {
            Ok(_) | Err(ExecuteError::Rejected(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    world.tick().await;
    world.tick().await;
    check_counts(world, campaign, 4).await;
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_equal_aggregates_after_any_history() {
    let is_long = std::env::var_os("WAYBILL_TEST_LONG").is_some_and(|value| value == "1");
    for seed in 1..=if is_long { 40 } else { 4 } {
        let strategies = [Strategy::Immediate, Strategy::BlueGreen];
        run(seed, strategies[seed as usize % 2]).await;
    }
}
