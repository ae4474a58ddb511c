//! A whole campaign over MQTT: Waybill is a process, and each online device has a connection. All of them share the processors.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event_store::EventStore;
use runtime::lifecycle::Tasks;
use waybill::serve::SHUTDOWN_TIMEOUT;
use waybill::stack::Tools;

use crate::cpu::idle_ms;
use crate::fleet::{Fleet, device_id, is_offline, patience};
use crate::mqtt_devices::MqttDevices;
use crate::report::{Measurement, Report, per_second};
use crate::service::Service;
use crate::world::World;

/// How long the campaign may make no progress.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks at the campaign's status: seldom enough to cost little.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Records of a device before the campaign, at most.
const RECORDS_PER_DEVICE: usize = 2;
const LIMIT: &str = "the processors, which the devices and all servers share";

/// 20 % of the devices are offline and have no connection.
pub(crate) async fn run(tools: &Tools, devices: usize, report: &mut Report) -> Result<()> {
    println!("A campaign over MQTT with {devices} devices, 20 % of them offline");
    let world = World::start(tools, "mqtt-campaign").await?;
    let tasks = Tasks::new();
    let fleet = Fleet::new(EventStore::new(world.log(&tasks).await?))?;
    fleet.register(0..devices).await?;
    let service = Service::start(&world).await?;
    let online = (0..devices).filter(|n| !is_offline(*n));
    let online: Vec<String> = online.map(|n| Ok(device_id(n)?.to_string())).collect::<Result<_>>()?;
    let count = online.len();
    let began = Instant::now();
    let connected = MqttDevices::connect(world.stack.nats.mqtt_listen(), online).await?;
    report.add(Measurement::rate("mqtt_campaign.connects", count, began.elapsed(), "devices/s").devices(devices));
    service.caught_up(patience(RECORDS_PER_DEVICE * devices)).await?;

    let release = fleet.release("Over MQTT").await?;
    let watched = service.watched(&world);
    watched.forget_peaks();
    let (began, before, idle_before) = (Instant::now(), watched.cpu(), idle_ms());
    fleet.start(&release).await?;
    finished(&service, &connected, &release.campaign.to_string(), count).await?;
    let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
    let rate = per_second(count, elapsed);
    let measurement = Measurement::new("mqtt_campaign.updates", rate, "updates/s").devices(devices).cpu(&used, count);
    // The rate if the processors had never been idle.
    let processors = rate * (used.total() + idle_ms() - idle_before) / used.total();
    report.add(measurement.memory(watched.memory_mib()).ceiling("the processors", processors).limited_by(LIMIT));
    drop(connected);
    service.stop().await;
    tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    world.stop().await;
    Ok(())
}

/// Waits until this number of devices is confirmed to run the new version.
async fn finished(service: &Service, devices: &MqttDevices, campaign: &str, wanted: usize) -> Result<()> {
    let (mut last, mut moved_at) = (0, Instant::now());
    loop {
        devices.check()?;
        let status = service.api.get(&format!("/campaigns/{campaign}/status")).await?;
        let waves = status["waves"].as_array().context("no waves")?;
        let confirmed: u64 = waves.iter().filter_map(|wave| wave["confirmed"].as_u64()).sum();
        if confirmed as usize >= wanted {
            return Ok(());
        }
        if confirmed > last {
            (last, moved_at) = (confirmed, Instant::now());
        }
        ensure!(moved_at.elapsed() < PAUSE_MAX, "only {confirmed} of {wanted} devices are confirmed: {status}");
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}
