//! The LoRaWAN part of the demo: a stand-in for ChirpStack as a child process, the tenant's connection to it, and its devices.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{DEVICE_MODEL, TENANT};
use crate::api_client::ApiClient;
use crate::stack::{Process, Spawner, free_port};

/// How long the program may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// A device says something so often, and a job of a deployment takes so long: real ones take minutes.
const STEP_MS: u64 = 300;
/// The profile of the demo's devices: they send every second, so that a group is soon complete.
const PROFILE_ID: &str = "8d3c2b1a-0000-4000-8000-0000000000de";
/// What webhooks show.
const WEBHOOK_SECRET: &str = "the demo's own webhook";

/// Starts the stand-in, connects the tenant to it and registers devices. It ends when the returned process is dropped.
pub(super) async fn start(
    program: &Path,
    data_dir: &Path,
    http: SocketAddr,
    api: &ApiClient,
    devices: u32,
) -> Result<Process> {
    let any = || -> Result<SocketAddr> { Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?))) };
    let (grpc, control) = (any()?, any()?);
    let args = [
        format!("--listen={grpc}"),
        format!("--control-listen={control}"),
        format!("--webhook=http://{http}/api/v1/lorawan/webhooks/{TENANT}"),
        format!("--webhook-header=X-Waybill-Webhook-Secret={WEBHOOK_SECRET}"),
        format!("--deployment-step-ms={STEP_MS}"),
        format!("--play-firmware-ms={STEP_MS}"),
    ];
    let log = data_dir.join("fake-chirpstack.log");
    let process = Process::run("fake-chirpstack", &Spawner::start(), program, &args, &log)?;
    let connection = connection_of(control).await.with_context(|| format!("see {}", log.display()))?;
    let profile = json!({
        "command": "create_device_profile", "id": PROFILE_ID, "name": "demo", "class_c": true, "fuota": true, "uplink_interval": 1,
    });
    client()?.post(format!("http://{control}/")).body(profile.to_string()).send().await?.error_for_status()?;
    connect(api, grpc, &connection).await?;
    register(api, &connection, devices).await?;
    Ok(process)
}

fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// What the program says of itself, once it answers.
async fn connection_of(control: SocketAddr) -> Result<Value> {
    let (client, url) = (client()?, format!("http://{control}/connection"));
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match client.get(&url).send().await {
            Ok(reply) => return Ok(serde_json::from_slice(&reply.bytes().await?)?),
            Err(_) => ensure!(Instant::now() < deadline, "the stand-in for ChirpStack doesn't answer"),
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn connect(api: &ApiClient, grpc: SocketAddr, connection: &Value) -> Result<()> {
    let wanted = json!({
        "url": format!("http://{grpc}"),
        "chirpstack_tenant_id": connection["chirpstack_tenant_id"],
        "api_key": connection["api_key"],
        "default_device_profile_id": PROFILE_ID,
        "webhook_secret": WEBHOOK_SECRET,
    });
    api.send(Method::PUT, &format!("/tenants/{TENANT}/chirpstack"), Some(&wanted)).await?.success()?;
    Ok(())
}

/// They say themselves which version they run.
async fn register(api: &ApiClient, connection: &Value, devices: u32) -> Result<()> {
    let device = |n: u32| {
        json!({
            "device_id": format!("lora-{n:05}"),
            "name": format!("lora-{n:05}"),
            "device_type": "smart_frame",
            "device_model": DEVICE_MODEL,
            "lorawan_dev_eui": format!("00de30{n:010x}"),
            "chirpstack_app_id": connection["application_id"],
        })
    };
    let reply = api.post("/devices/bulk", &(0..devices).map(device).collect()).await?;
    ensure!(reply["failed"] == 0, "LoRaWAN devices can't be registered: {reply}");
    Ok(())
}
