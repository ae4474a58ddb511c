//! The API over a large fleet: bulk registration, then reads after a campaign.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use domain::Key;
use domain::campaign::{Campaign, CampaignCommand, PauseCause};
use event_store::EventStore;
use futures::{StreamExt, TryStreamExt};
use runtime::lifecycle::Tasks;
use serde_json::{Value, json};
use waybill::serve::SHUTDOWN_TIMEOUT;
use waybill::stack::Tools;

use crate::console_pages;
use crate::fleet::{Fleet, MODEL, OLD_VERSION, SITES, device_id, patience};
use crate::point_reads;
use crate::report::{Measurement, Report, percentile};
use crate::service::{Service, WAYBILL};
use crate::tables;
use crate::world::World;

/// Devices of one bulk request.
const BULK_DEVICES: usize = 5_000;
/// Bulk requests in flight.
const BULK_REQUESTS: usize = 2;
/// One device in this number has been through an update.
const UPDATED_SHARE: usize = 4;
/// Requests right after the registration, which measure the first reads.
const FIRST_SAMPLES: usize = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Records that a device has at most, on average.
const RECORDS_PER_DEVICE: usize = 4;
/// Placeholders in the paths of queries: the campaign, and a device that has been through its update.
const CAMPAIGN: &str = "{campaign}";
const DEVICE: &str = "{device}";
/// The queries, by name.
const QUERIES: [(&str, &str); 8] = [
    ("devices", "/devices?limit=50"),
    ("devices_by_version", "/devices?firmware_version=%3C2.0.0&limit=50"),
    ("campaign_status", "/campaigns/{campaign}/status"),
    ("campaign_devices", "/campaigns/{campaign}/devices?limit=50"),
    ("campaign_devices_confirmed", "/campaigns/{campaign}/devices?phase=confirmed&limit=50"),
    ("updates", "/updates?limit=50"),
    ("updates_completed", "/updates?status=completed&limit=50"),
    ("updates_of_device", "/devices/{device}/updates"),
];

/// `samples` requests of each query.
pub(crate) async fn run(tools: &Tools, devices: usize, samples: usize, report: &mut Report) -> Result<()> {
    println!("The API over {devices} devices");
    let world = World::start(tools, "queries").await?;
    let service = Service::start(&world).await?;
    register(&world, &service, devices, report).await?;
    service.stop().await;
    let campaign = play(&world, devices).await?;
    let service = Service::start(&world).await?;
    service.caught_up(patience(RECORDS_PER_DEVICE * devices)).await?;
    let updated = service.api.get("/updates?limit=1").await?;
    let updated = updated["items"][0]["device_id"].as_str().context("there is no update")?;
    for (name, path) in QUERIES {
        let times =
            Sampled::take(&world, &service, &path.replace(CAMPAIGN, &campaign).replace(DEVICE, updated), samples)
                .await?;
        times.add(&format!("queries.{name}"), devices, report);
    }
    console_pages::run(&service, devices, &campaign, updated, report).await?;
    point_reads::run(&world, &service, devices, report).await?;
    service.stop().await;
    world.stop().await;
    Ok(())
}

/// Registers all devices by bulk requests.
async fn register(world: &World, service: &Service, devices: usize, report: &mut Report) -> Result<()> {
    let url = world.stack.postgres.url();
    let (watched, disk_before) = (service.watched(world), tables::disk_bytes(&url).await?);
    let (began, before) = (Instant::now(), watched.cpu());
    let firsts = (0..devices).step_by(BULK_DEVICES);
    let replies: Vec<Value> = futures::stream::iter(firsts)
        .map(|first| register_some(service, first, BULK_DEVICES.min(devices - first)))
        .buffered(BULK_REQUESTS)
        .try_collect()
        .await?;
    let replied = Instant::now();
    let registering = replied - began;
    let last = replies.last().and_then(|reply| reply["position"].as_str()).context("a reply without a position")?;
    visible(service, last, patience(devices)).await?;
    let visible = replied.elapsed();
    let used = watched.cpu().since(&before);
    // The same instant for all: nothing has been read yet.
    let first = Sampled::take(world, service, "/devices?limit=50", FIRST_SAMPLES).await?;
    let rate = Measurement::rate("queries.bulk_registration", devices, registering, "devices/s");
    report.add(rate.devices(devices).cpu(&used, devices).memory(watched.memory_mib()));
    report.add(Measurement::time("queries.bulk_visible_after", visible).devices(devices));
    first.add("queries.devices_at_once", devices, report);
    let memory = watched.resident_mib(WAYBILL);
    report.add(Measurement::new("queries.memory_after_registration", memory, "MiB").devices(devices));
    let disk = tables::disk_bytes(&url).await? - disk_before;
    report.add(Measurement::new("queries.disk_per_device", disk as f64 / devices as f64, "bytes").devices(devices));
    report.add(Measurement::new("queries.devices_registered", devices as f64, "devices"));
    Ok(())
}

async fn register_some(service: &Service, first: usize, count: usize) -> Result<Value> {
    let items = (first..first + count).map(|n| {
        Ok(json!({
            "device_id": device_id(n)?.to_string(), "name": format!("Frame {n}"), "device_type": "smart_frame",
            "device_model": MODEL, "hardware_version": "1.2", "firmware_version": OLD_VERSION,
            "tags": {"site": format!("site-{}", n % SITES)},
        }))
    });
    let reply = service.api.post("/devices/bulk", &Value::Array(items.collect::<Result<_>>()?)).await?;
    ensure!(reply["failed"] == 0, "{} devices were refused: {}", reply["failed"], reply["items"][0]);
    Ok(reply)
}

/// Waits until a list of devices reflects a position.
async fn visible(service: &Service, position: &str, patience: Duration) -> Result<()> {
    let began = Instant::now();
    while service.api.get(&format!("/devices?limit=1&min_position={position}")).await.is_err() {
        ensure!(began.elapsed() < patience, "the devices aren't visible");
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    Ok(())
}

/// Writes a paused campaign over all devices to the log. Some devices have been through their update. Returns its id.
async fn play(world: &World, devices: usize) -> Result<String> {
    let tasks = Tasks::new();
    let fleet = Fleet::new(EventStore::new(world.log(&tasks).await?))?;
    fleet.connect(0..devices).await?;
    let campaign = fleet.play("Whole fleet", 0..devices, devices / UPDATED_SHARE).await?;
    let pause = CampaignCommand::Pause { cause: PauseCause::Operator };
    fleet.operate(&Key::<Campaign>::new(&fleet.tenant, &campaign), pause).await?;
    tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    Ok(campaign.to_string())
}

/// Times of one request, sorted, with their cost.
struct Sampled {
    times: Vec<Duration>,
    cpu: crate::cpu::Cpu,
}

impl Sampled {
    async fn take(world: &World, service: &Service, path: &str, count: usize) -> Result<Self> {
        let watched = service.watched(world);
        let (before, mut times) = (watched.cpu(), Vec::with_capacity(count));
        for _ in 0..count {
            let began = Instant::now();
            service.api.get(path).await?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(Self { times, cpu: watched.cpu().since(&before) })
    }

    fn add(&self, name: &str, devices: usize, report: &mut Report) {
        for percent in [50.0, 99.0] {
            let measurement = Measurement::time(format!("{name}.p{percent}"), percentile(&self.times, percent));
            let measurement = measurement.devices(devices);
            // The CPU cost is reported once.
            let last = percent > 50.0;
            report.add(if last { measurement.cpu(&self.cpu, self.times.len()) } else { measurement });
        }
    }
}
