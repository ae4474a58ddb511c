//! Registers the devices of a fleet with a server, over its REST API.

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{DEVICE_TYPE, shown};
use super::fleet::DeviceSpec;
use crate::http_client::HttpClient;

/// Devices whose credentials are revoked at the same time.
const REVOKED_AT_ONCE: usize = 32;
/// Devices per request; the server takes up to 10,000.
const PAGE: usize = 1_000;

/// The outcome of a registration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Registration {
    pub succeeded: u64,
    pub failed: u64,
    /// The server's error for the first refused device.
    pub first_error: Option<String>,
}

#[derive(Deserialize)]
struct BulkReply {
    succeeded: u64,
    failed: u64,
    #[serde(default)]
    items: Vec<Value>,
}

/// Registers the devices with the server at `base`. Refused devices are counted; only a failed request is an error.
pub(super) async fn register(
    http: &HttpClient,
    base: &str,
    token: Option<&str>,
    devices: &[DeviceSpec],
) -> anyhow::Result<Registration> {
    let url = format!("{}/api/v1/devices/bulk", base.trim_end_matches('/'));
    let mut sum = Registration::default();
    for page in devices.chunks(PAGE) {
        let request = http.post(&url).bearer(token).json(&page.iter().map(body).collect::<Vec<_>>())?;
        let response = request.send().await.with_context(|| format!("cannot reach {url}"))?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{url} answered {status}: {}", shown(&text));
        let reply: BulkReply =
            serde_json::from_str(&text).with_context(|| format!("{url} answered: {}", shown(&text)))?;
        sum.succeeded += reply.succeeded;
        sum.failed += reply.failed;
        if sum.first_error.is_none() {
            sum.first_error = reply.items.iter().find(|item| !item["error"].is_null()).map(Value::to_string);
        }
    }
    Ok(sum)
}

/// A new registration token for this number of devices. The caller must be an administrator.
pub(super) async fn registration_token(
    http: &HttpClient,
    base: &str,
    token: Option<&str>,
    devices: usize,
) -> anyhow::Result<String> {
    let url = format!("{}/api/v1/registration-tokens", base.trim_end_matches('/'));
    let wanted = json!({"devices_max": devices, "reason": "simulated devices"});
    let request = http.post(&url).bearer(token).json(&wanted)?;
    let response = request.send().await.with_context(|| format!("cannot reach {url}"))?;
    let status = response.status();
    // The text of a success has the token.
    ensure!(status.is_success(), "{url} answered {status}: {}", shown(&response.text().await?));
    let reply: Value = response.json().await.with_context(|| format!("the answer of {url} can't be parsed"))?;
    Ok(reply["token"].as_str().with_context(|| format!("{url} answered without a token"))?.to_owned())
}

/// Revokes what the devices logged in with in an earlier run: a simulated device loses its memory when the simulator ends.
pub(super) async fn revoke_credentials(
    http: &HttpClient,
    base: &str,
    token: Option<&str>,
    devices: &[DeviceSpec],
) -> anyhow::Result<()> {
    let base = format!("{}/api/v1/devices", base.trim_end_matches('/'));
    let revoke = |device: &DeviceSpec| {
        let (http, url) = (http.clone(), format!("{base}/{}/credentials", device.device_id));
        async move {
            let known: Value = http.get(&url).bearer(token).send().await?.json().await?;
            for id in known["items"].as_array().into_iter().flatten().filter_map(|one| one["credential_id"].as_str()) {
                let reason = json!({"reason": "the simulated device has lost its memory"});
                http.delete(&format!("{url}/{id}")).bearer(token).json(&reason)?.send().await?.success()?;
            }
            anyhow::Ok(())
        }
    };
    futures::stream::iter(devices).map(revoke).buffer_unordered(REVOKED_AT_ONCE).try_collect().await
}

fn body(device: &DeviceSpec) -> Value {
    json!({
        "device_id": device.device_id,
        "name": device.device_id,
        "device_type": DEVICE_TYPE,
        "device_model": device.device_model,
        "versions": { "firmware": device.firmware_version },
    })
}
