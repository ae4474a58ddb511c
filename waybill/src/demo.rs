//! `waybill demo`: one staged campaign from upload to proof, on real servers and real MQTT clients.

mod campaign;
mod lorawan;
mod progress;
mod report;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use event_store::{Delivery, Record};
use futures::StreamExt;
use serde_json::Value;

use crate::api_client::ApiClient;
use crate::out;
use crate::simulate::{Behaviour, DeviceSpec, Fleet, FleetOptions, Hidden, Login};
use crate::stack::{DataDir, Process};
use crate::up::{self, Running};
use report::Totals;

/// Bytes of the demo's firmware file.
const FIRMWARE_BYTES: usize = 1024 * 1024;
/// What the fleet runs at first.
const OLD_VERSION: &str = "1.0.0";
const NEW_VERSION: &str = "2.0.0";
const DEVICE_MODEL: &str = "SF-2024-Pro";
const TENANT: &str = "default";
/// Where the demo keeps its data; emptied each time.
const DATA_DIR: &str = ".waybill/demo";

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Devices in the fleet
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub devices: u32,
    /// Percentage of devices whose installation fails
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub fail: u32,
    /// When too many devices fail, take back all that have the new version (auto_rollback)
    #[arg(long)]
    pub rollback: bool,
    /// Keep everything up after the campaign, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// LoRaWAN devices in the fleet, beside those of MQTT
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000), requires = "network_server")]
    pub lorawan: u32,
    /// Program that stands in for ChirpStack and plays the LoRaWAN devices: target/debug/fake-chirpstack
    #[arg(long)]
    pub network_server: Option<PathBuf>,
    /// Directory for the demo's data: empty, or left by an earlier demo and then emptied
    #[arg(long, default_value = DATA_DIR)]
    pub data_dir: PathBuf,
}

/// Runs the demo; fails unless every device is confirmed (or, with failing devices, the gate stopped the campaign or took it back) and the read models
/// agree with a replay of the log.
pub async fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let ours = args.data_dir == Path::new(DATA_DIR);
    drop(DataDir::open_disposable(&args.data_dir, ours).context("the demo needs a directory of its own (--data-dir)")?);
    out::note("Starting nats-server, PostgreSQL and Waybill …");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let http_listen = SocketAddr::from(([127, 0, 0, 1], crate::stack::free_port()?));
    let places = up::Args {
        http_listen,
        mqtt_listen: any,
        nats_listen: any,
        data_dir: args.data_dir.clone(),
        anonymous_devices: false,
    };
    let running = up::start(&places, &["--retry-backoff-seconds", "1"]).await?;
    out::note(up::console_line(&running.serving.origin));
    let outcome = tokio::select! {
        outcome = play(args, &running, started) => outcome,
        stopped = crate::serve::stop_signal() => stopped.and_then(|()| bail!("interrupted")),
    };
    let outcome = match outcome {
        Ok(played) => {
            if args.keep {
                out::note("The campaign is over, and everything stays up until Ctrl-C.");
                out::note(up::console_line(&running.serving.origin));
                crate::serve::stop_signal().await?;
            }
            played.fleet.stop().await;
            Ok((played.totals, played.verdict))
        }
        Err(error) => Err(error),
    };
    running.stop().await;
    let (totals, verdict) = outcome?;
    out::tell(totals.line());
    verdict
}

/// What is left when the campaign is over. The devices are still connected.
struct Played {
    totals: Totals,
    /// Whether the totals are as expected.
    verdict: Result<()>,
    fleet: Fleet,
    /// Ends when it is dropped.
    _network_server: Option<Process>,
}

async fn play(args: &Args, running: &Running, started: Instant) -> Result<Played> {
    let api = ApiClient::sign_in(&format!("http://{}", running.serving.http), TENANT, &["admin"]).await?;
    let devices = fleet_of(args);
    out::note(format_args!("Registering {} devices …", devices.len()));
    campaign::register(&api, &devices).await?;
    let network_server = match &args.network_server {
        Some(program) if args.lorawan > 0 => {
            out::note(format_args!("Starting a stand-in for ChirpStack with {} LoRaWAN devices …", args.lorawan));
            Some(lorawan::start(program, &args.data_dir, running.serving.http, &api, args.lorawan).await?)
        }
        _ => None,
    };
    let all_devices = args.devices + args.lorawan;
    out::note(format_args!("Uploading a firmware of {} KiB …", FIRMWARE_BYTES / 1024));
    if args.rollback {
        campaign::upload(&api, DEVICE_MODEL, OLD_VERSION, FIRMWARE_BYTES).await?;
    }
    let firmware_id = campaign::upload(&api, DEVICE_MODEL, NEW_VERSION, FIRMWARE_BYTES).await?;
    out::note(format_args!("Starting {} MQTT clients …", devices.len()));
    let mqtt = running.stack.nats.mqtt_listen();
    let registration_token = campaign::registration_token(&api, devices.len()).await?;
    let options = FleetOptions {
        mqtt_host: mqtt.ip().to_string(),
        mqtt_port: mqtt.port(),
        tenant: TENANT.to_owned(),
        login: Login::Own {
            server: format!("http://{}", running.serving.http),
            registration_token: Hidden(registration_token),
        },
        devices: devices.clone(),
        ..FleetOptions::default()
    };
    let fleet = Fleet::start(options)?;
    campaign::wait_until_online(&api, u64::from(all_devices)).await?;
    let campaign_id = campaign::create_and_start(&api, &firmware_id, all_devices, args.rollback).await?;
    let status = campaign::watch(&api, &campaign_id).await?;

    let sum = |name: &str| -> u64 {
        status["waves"].as_array().into_iter().flatten().filter_map(|wave| wave[name].as_u64()).sum()
    };
    // As the gate counts: a device counts as failed from its first attempt that failed with the image, also while another attempt follows.
    let (confirmed, settled) = (sum("confirmed"), sum("gate_settled"));
    let failed = settled.saturating_sub(confirmed);
    let waves =
        status["waves"].as_array().map_or(0, |waves| waves.iter().filter(|wave| !wave["opened_at"].is_null()).count());
    let events = count_events(running).await?;
    let totals = Totals {
        devices: u64::from(all_devices),
        confirmed,
        failed,
        rolled_back: status["rollbacks"].as_u64().unwrap_or(0),
        waves: waves as u64,
        events: events.values().sum(),
        duration_s: started.elapsed().as_secs_f64(),
    };
    report::print_summary(&status, &totals);
    let shown = campaign::a_device_of(&api, &campaign_id).await?;
    report::print_history(&shown, &api.get(&format!("/devices/{shown}/history?limit=50")).await?);
    let verdict = check(args, running, &status, &fleet, &totals).await;
    Ok(Played { totals, verdict, fleet, _network_server: network_server })
}

async fn check(args: &Args, running: &Running, status: &Value, fleet: &Fleet, totals: &Totals) -> Result<()> {
    check_outcome(args, status, totals)?;
    check_fleet(fleet, totals.confirmed.saturating_sub(u64::from(args.lorawan)))?;
    if status["status"] == "rolled_back" {
        let on_new = fleet.status().versions.get(NEW_VERSION).copied().unwrap_or(0);
        ensure!(on_new == 0, "{on_new} devices still run {NEW_VERSION} after the rollback");
        out::tell(format_args!(
            "\nThe failure gate closed, and the campaign went back: {} devices run {OLD_VERSION} again, none runs {NEW_VERSION}.",
            totals.rolled_back
        ));
    }
    let differences = projections::compare(&running.serving.db, running.serving.store.log().clone()).await?;
    ensure!(differences.is_empty(), "read models differ from a replay of the log: {differences:?}");
    out::tell(format_args!("\nEvery read model equals a fresh replay of the log ({} events).", totals.events));
    Ok(())
}

fn fleet_of(args: &Args) -> Vec<DeviceSpec> {
    (0..args.devices)
        .map(|n| DeviceSpec {
            device_id: format!("frame-{n:05}"),
            device_model: DEVICE_MODEL.to_owned(),
            firmware_version: OLD_VERSION.to_owned(),
            // Evenly distributed, so that each wave has its share.
            behaviour: Behaviour { fail: (u64::from(n) * 61) % 100 < u64::from(args.fail), ..Behaviour::default() },
        })
        .collect()
}

/// Events in the log, by type.
async fn count_events(running: &Running) -> Result<BTreeMap<String, u64>> {
    let log = running.serving.store.log();
    let head = log.info().await?.last_sequence;
    let mut counts = BTreeMap::new();
    let mut records = log.subscribe(1);
    while let Some(delivery) = records.next().await {
        match delivery? {
            Delivery::Record(raw) => {
                for stored in &Record::decode(raw.position, &raw.body)?.events {
                    let event: Value = serde_json::from_str(stored.event.get())?;
                    *counts.entry(event["type"].as_str().unwrap_or("?").to_owned()).or_insert(0) += 1;
                }
                if raw.position >= head {
                    break;
                }
            }
            Delivery::CaughtUp { position } if position >= head => break,
            Delivery::CaughtUp { .. } => {}
        }
    }
    Ok(counts)
}

fn check_outcome(args: &Args, status: &Value, totals: &Totals) -> Result<()> {
    let campaign = status["status"].as_str().unwrap_or("?");
    if args.fail == 0 {
        ensure!(campaign == "completed", "the campaign ended as {campaign}");
        ensure!(totals.confirmed == totals.devices, "{} of {} devices are confirmed", totals.confirmed, totals.devices);
        return Ok(());
    }
    match campaign {
        "paused" => {
            ensure!(
                totals.confirmed + totals.failed < totals.devices,
                "the gate stopped the campaign only after all devices"
            );
            out::tell(format_args!(
                "\nThe failure gate stopped the campaign: {} devices were not updated.",
                totals.devices - totals.confirmed - totals.failed
            ));
            Ok(())
        }
        "rolled_back" if args.rollback => {
            ensure!(totals.rolled_back == totals.confirmed, "not all devices went back: {status}");
            Ok(())
        }
        // Too few fail to close the gate.
        "completed_with_failures" | "completed" if args.fail <= 20 => Ok(()),
        other => bail!("{} % of the devices fail, but the campaign is {other}", args.fail),
    }
}

/// Checks the own counts of the devices of MQTT, of which at least this number are confirmed.
fn check_fleet(fleet: &Fleet, confirmed: u64) -> Result<()> {
    let fleet = fleet.status();
    ensure!(fleet.repeated_installs == 0, "{} devices installed the same attempt twice", fleet.repeated_installs);
    ensure!(fleet.installs >= confirmed, "fewer installs than confirmed devices");
    Ok(())
}
