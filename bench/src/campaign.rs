//! A whole campaign with the real log, PostgreSQL, projections and process managers. The devices answer at once, in this process.
//!
//! 20 % of the devices stay offline. The campaign is measured until all others run the new version. One ceiling is the rate of the same
//! commands without planning, grants and projections; another one is the time that other programs have left of the processors. A second
//! campaign at half the rate shows how far progress lags when nothing queues.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use domain::Key;
use domain::campaign::{Campaign, CampaignStatus};
use waybill::stack::Tools;

use crate::cpu::{Cpu, idle_ms};
use crate::devices::{DEVICES, InstantDevices};
use crate::fleet::{Fleet, is_offline, patience};
use crate::release::Release;
use crate::report::{Measurement, Report, per_second, percentile};
use crate::tables;
use crate::world::{MANAGERS, Managers, READ_SIDE, ReadSide, World};

/// Devices whose updates are written into the log for the ceiling.
const PLAYED_MAX: usize = 2_000;
/// Most devices of the campaign with a rate.
const PACED_DEVICES_MAX: usize = 10_000;
/// Its rate, as a share of the rate without a limit.
const PACED_SHARE: f64 = 0.5;
const SECONDS_PER_MINUTE: f64 = 60.0;
/// How long the campaign may make no progress.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// A campaign at full speed, then one at half of that over at most [`PACED_DEVICES_MAX`] devices.
pub(crate) async fn run(tools: &Tools, devices: usize, report: &mut Report) -> Result<()> {
    println!("A campaign over {devices} devices, 20 % of them offline");
    let site = Site::start(tools, devices).await?;
    let written = tables::writes(&site.world.stack.postgres.url()).await?;
    let Course { updates_per_s, idle_ms, used, behind, peak_mib } = site.follow("campaign", None, report).await?;
    let online = site.online();
    let measurement =
        Measurement::new("campaign.updates", updates_per_s, "updates/s").devices(devices).cpu(&used, online);
    // The rate if the processors had never been idle.
    let processors = updates_per_s * (used.total() + idle_ms) / used.total();
    report.add(
        measurement
            .memory(peak_mib)
            .ceiling("the same commands straight into the log", site.ceiling)
            .ceiling("the processors", processors),
    );
    cpu_by_purpose(&used.per(online), devices, report);
    tables::print_heap_only(&written, &tables::writes(&site.world.stack.postgres.url()).await?);
    report_behind("campaign", behind, devices, report);
    site.stop().await;
    run_paced(tools, devices.min(PACED_DEVICES_MAX), updates_per_s * PACED_SHARE, report).await
}

/// A campaign with a rate, in updates per second.
async fn run_paced(tools: &Tools, devices: usize, rate: f64, report: &mut Report) -> Result<()> {
    let rate_per_minute = (rate * SECONDS_PER_MINUTE).round().max(1.0) as u32;
    println!("A campaign over {devices} devices with {rate_per_minute} updates a minute");
    let site = Site::start(tools, devices).await?;
    let course = site.follow("campaign.paced", Some(rate_per_minute), report).await?;
    let measurement = Measurement::new("campaign.paced.updates", course.updates_per_s, "updates/s").devices(devices);
    report.add(measurement.cpu(&course.used, site.online()).memory(course.peak_mib));
    report_behind("campaign.paced", course.behind, devices, report);
    site.stop().await;
    Ok(())
}

/// Servers, a fleet that is registered, and all parts of Waybill but the process managers.
struct Site {
    world: World,
    managers: Managers,
    read_side: ReadSide,
    fleet: Arc<Fleet>,
    devices: usize,
    /// Updates per second of the same commands straight into the log.
    ceiling: f64,
    /// End of the log before the campaign.
    head: u64,
}

/// A campaign, from its first grant to the end of its last update in the read models.
struct Course {
    updates_per_s: f64,
    /// Time that the processors were idle.
    idle_ms: f64,
    used: Cpu,
    behind: Vec<Duration>,
    peak_mib: BTreeMap<String, f64>,
}

impl Site {
    async fn start(tools: &Tools, devices: usize) -> Result<Self> {
        let world = World::start(tools, "campaign").await?;
        let managers = Managers::connect(&world).await?;
        let fleet = Arc::new(Fleet::new(managers.store.clone())?);
        let played = devices..devices + devices.min(PLAYED_MAX);
        let ceiling = play(&fleet, devices, played).await?;
        let read_side = ReadSide::start(&world).await?;
        let head = fleet.head().await?;
        read_side.reach(head, patience(head as usize)).await?;
        Ok(Self { world, managers, read_side, fleet, devices, ceiling, head })
    }

    /// Number of devices that take part.
    fn online(&self) -> usize {
        (0..self.devices).filter(|n| !is_offline(*n)).count()
    }

    /// Plans a campaign and follows it until all online devices run the new version.
    async fn follow(&self, name: &str, rate_per_minute: Option<u32>, report: &mut Report) -> Result<Course> {
        let (fleet, devices) = (&self.fleet, self.devices);
        let watched = self.world.watched(&[READ_SIDE, MANAGERS, DEVICES]);
        watched.forget_peaks();
        self.managers.start(&self.read_side).await?;
        let release = fleet.release_at("Whole fleet", rate_per_minute).await?;
        let began = Instant::now();
        fleet.start(&release).await?;
        planned(fleet, &release, patience(devices)).await?;
        report.add(Measurement::time(format!("{name}.plan"), began.elapsed()).devices(devices));

        let (began, before, idle_before) = (Instant::now(), watched.cpu(), idle_ms());
        let instant = InstantDevices::start(fleet.clone(), self.head)?;
        let mut behind = Vec::new();
        tokio::select! {
            finished = instant.finish(self.online(), PAUSE_MAX) => finished?,
            failed = watch_progress(fleet, &self.read_side, &mut behind) => failed?,
        }
        let head = fleet.head().await?;
        self.read_side.reach(head, patience(head as usize)).await?;
        let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
        behind.sort();
        Ok(Course {
            updates_per_s: per_second(self.online(), elapsed),
            idle_ms: idle_ms() - idle_before,
            used,
            behind,
            peak_mib: watched.memory_mib(),
        })
    }

    async fn stop(self) {
        self.managers.stop().await;
        self.read_side.stop().await;
        self.world.stop().await;
    }
}

fn report_behind(name: &str, behind: Vec<Duration>, devices: usize, report: &mut Report) {
    for percent in [50.0, 99.0, 100.0] {
        let time = percentile(&behind, percent);
        report.add(Measurement::time(format!("{name}.behind.p{percent}"), time).devices(devices));
    }
}

/// Registers all devices, and takes devices outside the campaign through an update while nothing else reads; returns updates per second.
async fn play(fleet: &Fleet, devices: usize, played: Range<usize>) -> Result<f64> {
    fleet.register(0..played.end).await?;
    fleet.connect(0..played.end).await?;
    let online = played.clone().filter(|n| !is_offline(*n)).count();
    let began = Instant::now();
    fleet.play("Ceiling", played.clone(), online).await?;
    ensure!(played.start == devices, "the played devices aren't the campaign's");
    Ok(per_second(online, began.elapsed()))
}

async fn planned(fleet: &Fleet, release: &Release, patience: Duration) -> Result<()> {
    let key = Key::<Campaign>::new(&fleet.tenant, &release.campaign);
    let began = Instant::now();
    while fleet.store.load_fresh(&key).await?.aggregate.status != CampaignStatus::Running {
        ensure!(began.elapsed() < patience, "the campaign isn't planned");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Measures repeatedly how long the shown progress lags behind the log. Ends only with an error.
async fn watch_progress(fleet: &Fleet, read_side: &ReadSide, behind: &mut Vec<Duration>) -> Result<()> {
    loop {
        let head = fleet.head().await?;
        let began = Instant::now();
        read_side.show(head, PAUSE_MAX).await?;
        // A caller that had begun later would have waited for the rest, so a long wait counts once per poll interval.
        let mut left = Some(began.elapsed());
        while let Some(waited) = left {
            behind.push(waited);
            left = waited.checked_sub(POLL);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What an update costs, by purpose: reading, deciding, and the log.
fn cpu_by_purpose(per_update: &Cpu, devices: usize, report: &mut Report) {
    for (name, parts) in [
        ("campaign.cpu.read_side", &[READ_SIDE, "postgres"][..]),
        ("campaign.cpu.rest_of_waybill", &[MANAGERS, DEVICES]),
        ("campaign.cpu.nats_server", &["nats-server"]),
    ] {
        report.add(Measurement::new(name, per_update.of(parts), "ms/update").devices(devices));
    }
}
