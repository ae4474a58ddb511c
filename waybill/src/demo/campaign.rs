//! The operator's part of the demo, over REST.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::progress::Bars;
use crate::api_client::ApiClient;
use crate::simulate::DeviceSpec;

/// Devices registered in one request.
const BULK_DEVICES: usize = 1_000;
const POLL: Duration = Duration::from_millis(250);
/// Longest wait for all devices to connect.
const ONLINE_TIMEOUT: Duration = Duration::from_secs(300);
/// A campaign without a change for this long is stuck.
const STUCK_TIMEOUT: Duration = Duration::from_secs(120);
/// Slots: a tenth of the fleet, within these bounds.
const CONCURRENT_RANGE: (u32, u32) = (50, 500);

pub(super) async fn register(api: &ApiClient, devices: &[DeviceSpec]) -> Result<()> {
    for page in devices.chunks(BULK_DEVICES) {
        let items: Vec<Value> = page
            .iter()
            .map(|device| {
                json!({
                    "device_id": device.device_id,
                    "name": device.device_id,
                    "device_type": "smart_frame",
                    "device_model": device.device_model,
                    "firmware_version": device.firmware_version,
                })
            })
            .collect();
        let reply = api.post("/devices/bulk", &Value::Array(items)).await?;
        ensure!(reply["failed"] == 0, "devices can't be registered: {reply}");
    }
    Ok(())
}

/// A registration token for this number of devices.
pub(super) async fn registration_token(api: &ApiClient, devices: usize) -> Result<String> {
    let reply = api.post("/registration-tokens", &json!({"devices_max": devices})).await?;
    Ok(reply["token"].as_str().context("the reply has no registration token")?.to_owned())
}

/// Uploads random bytes as a version; returns the firmware's id.
pub(super) async fn upload(api: &ApiClient, device_model: &str, version: &str, bytes: usize) -> Result<String> {
    let mut file = vec![0_u8; bytes];
    rand::fill(&mut file[..]);
    let metadata = json!({"name": "SmartFrame Firmware", "version": version, "device_model": device_model});
    let reply = api.upload(&metadata, file).await?.success()?;
    Ok(reply["firmware_id"].as_str().context("the reply to the upload has no firmware_id")?.to_owned())
}

pub(super) async fn wait_until_online(api: &ApiClient, devices: u64) -> Result<()> {
    let deadline = Instant::now() + ONLINE_TIMEOUT;
    loop {
        let online = api.get("/devices?status=online&count=true&limit=1").await?["total"].as_u64().unwrap_or(0);
        if online >= devices {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "only {online} of {devices} devices came online");
        tokio::time::sleep(POLL).await;
    }
}

/// Creates and starts a staged campaign; returns its id.
pub(super) async fn create_and_start(
    api: &ApiClient,
    firmware_id: &str,
    devices: u32,
    auto_rollback: bool,
) -> Result<String> {
    let (least, most) = CONCURRENT_RANGE;
    let wanted = json!({
        "name": "Demo",
        "firmware_id": firmware_id,
        "deployment_strategy": "staged",
        "target_filters": {"device_type": "smart_frame", "firmware_version": "<2.0.0"},
        "auto_rollback": auto_rollback,
        "max_concurrent_updates": (devices / 10).clamp(least, most),
    });
    let campaign = api.post("/campaigns", &wanted).await?;
    let id = campaign["campaign_id"].as_str().context("the reply has no campaign_id")?.to_owned();
    api.post(&format!("/campaigns/{id}/start"), &json!({})).await?;
    Ok(id)
}

/// Shows the campaign until it has ended, or until a gate has stopped it and no device is working; returns the last status.
pub(super) async fn watch(api: &ApiClient, id: &str) -> Result<Value> {
    let mut bars: Option<Bars> = None;
    let mut last = (Value::Null, Instant::now());
    loop {
        let status = api.get(&format!("/campaigns/{id}/status")).await?;
        if let Some(waves) = status["waves"].as_array().filter(|waves| !waves.is_empty()) {
            let enrolled: Vec<u64> = waves.iter().map(|wave| wave["enrolled"].as_u64().unwrap_or(0)).collect();
            bars.get_or_insert_with(|| Bars::new(&enrolled)).show(&status);
        }
        let at_rest = status["waves"].as_array().is_some_and(|waves| waves.iter().all(|wave| wave["in_use"] == 0));
        match status["status"].as_str().unwrap_or_default() {
            "completed" | "completed_with_failures" | "failed" | "cancelled" | "rolled_back" => {
                break finish(bars, status);
            }
            "paused" if at_rest => break finish(bars, status),
            _ => {}
        }
        let moved = json!([status["waves"], status["status_counts"]]);
        if moved != last.0 {
            last = (moved, Instant::now());
        } else if last.1.elapsed() > STUCK_TIMEOUT {
            bail!("the campaign is stuck: {status}");
        }
        tokio::time::sleep(POLL).await;
    }
}

fn finish(bars: Option<Bars>, status: Value) -> Result<Value> {
    if let Some(bars) = bars {
        bars.finish();
    }
    Ok(status)
}

/// The first device of the campaign's order.
pub(super) async fn a_device_of(api: &ApiClient, id: &str) -> Result<String> {
    let page = api.get(&format!("/campaigns/{id}/devices?wave=1&limit=1")).await?;
    Ok(page["items"][0]["device_id"].as_str().context("the campaign has no devices")?.to_owned())
}
