//! Events into read models: from an existing log (catching up), while it is written (live), and from its beginning (rebuild).
//!
//! The events are those of a fleet and of campaigns over it, produced by the domain's own rules: registrations, statuses, a plan, grants,
//! and updates from queued to confirmed, some with a failure.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use event_store::EventStore;
use runtime::lifecycle::Tasks;
use waybill::serve::SHUTDOWN_TIMEOUT;
use waybill::stack::Tools;

use crate::ceilings::Ceilings;
use crate::cpu::{Cpu, THIS};
use crate::fleet::{Fleet, patience};
use crate::report::{Measurement, Report};
use crate::tables;
use crate::world::{READ_SIDE, ReadSide, World};

/// One device in this number takes part in each campaign: 25 %.
const CAMPAIGN_SHARE: usize = 4;
const LIMIT: &str = "reading, changing and writing the rows of all models in PostgreSQL";

/// Records of one measurement.
struct Stretch {
    from: u64,
    head: u64,
}

impl Stretch {
    fn records(&self) -> usize {
        (self.head - self.from) as usize
    }
}

pub(crate) async fn run(tools: &Tools, devices: usize, report: &mut Report) -> Result<()> {
    let world = World::start(tools, "project").await?;
    let tasks = Tasks::new();
    let fleet = Fleet::new(EventStore::new(world.log(&tasks).await?))?;
    println!("Events into read models, {devices} devices");
    let share = devices / CAMPAIGN_SHARE;
    catch_up(&world, &fleet, "project.registrations", devices, report, async {
        fleet.register(0..devices).await?;
        fleet.connect(0..devices).await
    })
    .await?;
    let campaign = async { fleet.play("Caught up with", 0..share, share).await.map(drop) };
    catch_up(&world, &fleet, "project.catch_up", devices, report, campaign).await?;
    live(&world, &fleet, devices, share..2 * share, report).await?;
    tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    world.stop().await;
    Ok(())
}

/// Writes events while no projection runs, then times the projections until they have applied all of them.
async fn catch_up(
    world: &World,
    fleet: &Fleet,
    name: &str,
    devices: usize,
    report: &mut Report,
    events: impl Future<Output = Result<()>>,
) -> Result<()> {
    let (from, began) = (fleet.head().await?, Instant::now());
    events.await?;
    let stretch = Stretch { from, head: fleet.head().await? };
    println!(
        "{:<50} {} records written in {:.1} s",
        format!("{name}, log"),
        stretch.records(),
        began.elapsed().as_secs_f64()
    );
    let url = world.stack.postgres.url();
    let written = tables::writes(&url).await?;
    let watched = world.watched(&[READ_SIDE]);
    watched.forget_peaks();
    // Memory that the bench itself uses after it has written the events.
    let held_mib = watched.memory_mib().remove(THIS).unwrap_or_default();
    let (began, before) = (Instant::now(), watched.cpu());
    let read_side = ReadSide::start(world).await?;
    read_side.reach(stretch.head, patience(stretch.records())).await?;
    let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
    let mut memory = watched.memory_mib();
    let grown_mib = memory.remove(THIS).unwrap_or_default() - held_mib;
    memory.insert(READ_SIDE.to_owned(), grown_mib);
    read_side.stop().await;
    let measurement = rate(name, &stretch, devices, elapsed, &used).memory(memory);
    report.add(with_ceilings(measurement, world, fleet, &stretch).await?);
    tables::print_heap_only(&written, &tables::writes(&url).await?);
    Ok(())
}

/// Writes events while the projections run, then rebuilds each read model from the whole log.
async fn live(world: &World, fleet: &Fleet, devices: usize, share: Range<usize>, report: &mut Report) -> Result<()> {
    let read_side = ReadSide::start(world).await?;
    let from = fleet.head().await?;
    read_side.reach(from, patience(from as usize)).await?;
    let watched = world.watched(&[READ_SIDE]);
    let (began, before) = (Instant::now(), watched.cpu());
    let updates_max = share.len();
    fleet.play("Watched live", share, updates_max).await?;
    let stretch = Stretch { from, head: fleet.head().await? };
    read_side.reach(stretch.head, patience(stretch.records())).await?;
    let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
    let measurement = rate("project.live", &stretch, devices, elapsed, &used);
    report.add(with_ceilings(measurement, world, fleet, &stretch).await?);
    rebuild(world, fleet, &read_side, devices, report).await?;
    tables::print_disk(&world.stack.postgres.url()).await?;
    read_side.stop().await;
    Ok(())
}

async fn rebuild(
    world: &World,
    fleet: &Fleet,
    read_side: &ReadSide,
    devices: usize,
    report: &mut Report,
) -> Result<()> {
    let watched = world.watched(&[READ_SIDE]);
    let stretch = Stretch { from: 0, head: fleet.head().await? };
    let (mut all, mut used_by_all) = (Duration::ZERO, Cpu::default());
    for name in read_side.names().await? {
        let (began, before) = (Instant::now(), watched.cpu());
        read_side.rebuild(name.clone()).await?;
        let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
        report.add(rate(&format!("project.rebuild.{name}"), &stretch, devices, elapsed, &used));
        all += elapsed;
        used_by_all.add(&used);
    }
    let measurement = rate("project.rebuild", &stretch, devices, all, &used_by_all);
    report.add(with_ceilings(measurement, world, fleet, &stretch).await?);
    Ok(())
}

fn rate(name: &str, stretch: &Stretch, devices: usize, elapsed: Duration, used: &Cpu) -> Measurement {
    let records = stretch.records();
    Measurement::rate(name, records, elapsed, "records/s").devices(devices).cpu(used, records).limited_by(LIMIT)
}

async fn with_ceilings(
    measurement: Measurement,
    world: &World,
    fleet: &Fleet,
    stretch: &Stretch,
) -> Result<Measurement> {
    let url = world.stack.postgres.url();
    let ceilings = Ceilings::measure(fleet.store.log(), stretch.from, stretch.head, &url).await?;
    Ok(measurement
        .ceiling("the same bytes into one bare table", ceilings.bare_table)
        .ceiling("a bare subscription", ceilings.subscription))
}
