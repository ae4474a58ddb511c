//! A whole campaign with the real log, PostgreSQL, projections and process managers. The devices answer at once, in this process.
//!
//! 20 % of the devices stay offline. The campaign is measured until all others run the new version. One ceiling is the rate of the same
//! commands without planning, grants and projections; another one is the time of the processors.

use std::ops::Range;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use domain::Key;
use domain::campaign::{Campaign, CampaignStatus};
use waybill::stack::Tools;

use crate::cpu::Cpu;
use crate::devices::{DEVICES, InstantDevices};
use crate::fleet::{Fleet, is_offline, patience};
use crate::release::Release;
use crate::report::{Measurement, Report, per_second, percentile};
use crate::tables;
use crate::world::{MANAGERS, Managers, READ_SIDE, ReadSide, World};

/// Devices whose updates are written into the log for the ceiling.
const PLAYED_MAX: usize = 2_000;
/// How long the campaign may make no progress.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

pub(crate) async fn run(tools: &Tools, devices: usize, report: &mut Report) -> Result<()> {
    println!("A campaign over {devices} devices, 20 % of them offline");
    let world = World::start(tools, "campaign").await?;
    let managers = Managers::connect(&world).await?;
    let fleet = Arc::new(Fleet::new(managers.store.clone())?);
    let played = devices..devices + devices.min(PLAYED_MAX);
    let ceiling = play(&fleet, devices, played).await?;
    let read_side = ReadSide::start(&world).await?;
    let head = fleet.head().await?;
    read_side.reach(head, patience(head as usize)).await?;
    let watched = world.watched(&[READ_SIDE, MANAGERS, DEVICES]);
    watched.forget_peaks();
    managers.start(&read_side).await?;

    let release = fleet.release("Whole fleet").await?;
    let began = Instant::now();
    fleet.start(&release).await?;
    planned(&fleet, &release, patience(devices)).await?;
    report.add(Measurement::time("campaign.plan", began.elapsed()).devices(devices));

    let url = world.stack.postgres.url();
    let written = tables::writes(&url).await?;
    let online = (0..devices).filter(|n| !is_offline(*n)).count();
    let (began, before) = (Instant::now(), watched.cpu());
    let instant = InstantDevices::start(fleet.clone(), head)?;
    let mut behind = Vec::new();
    tokio::select! {
        finished = instant.finish(online, PAUSE_MAX) => finished?,
        failed = watch_progress(&fleet, &read_side, &mut behind) => failed?,
    }
    let head = fleet.head().await?;
    read_side.reach(head, patience(head as usize)).await?;
    let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
    let measurement = Measurement::rate("campaign.updates", online, elapsed, "updates/s")
        .devices(devices)
        .cpu(&used, online)
        .memory(watched.memory_mib());
    let processors = processors_rate(&used, online)?;
    report.add(
        measurement.ceiling("the same commands straight into the log", ceiling).ceiling("the processors", processors),
    );
    cpu_by_purpose(&used.per(online), devices, report);
    tables::print_heap_only(&written, &tables::writes(&url).await?);
    behind.sort();
    for percent in [50.0, 99.0, 100.0] {
        let name = format!("campaign.behind.p{percent}");
        report.add(Measurement::time(name, percentile(&behind, percent)).devices(devices));
    }
    drop(instant);
    managers.stop().await;
    read_side.stop().await;
    world.stop().await;
    Ok(())
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

/// Updates per second if all processors worked on nothing else.
fn processors_rate(used: &Cpu, updates: usize) -> Result<f64> {
    let seconds_per_update = used.total() / 1_000.0 / updates as f64;
    Ok(available_parallelism()?.get() as f64 / seconds_per_update)
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
