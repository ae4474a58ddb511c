//! Checks whether a server knows the devices of a fleet. Waybill doesn't answer unknown devices, so an unregistered fleet would run without
//! end and without effect.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fleet::DeviceSpec;
use crate::http_client::{Answer, Call, HttpClient};
use crate::out;

/// Devices that are checked: all devices of a fleet are registered together or not at all.
const SAMPLE: usize = 5;
/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is asked again while it doesn't know them.
const INTERVAL: Duration = Duration::from_secs(5);

/// A server's REST API, for one tenant.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) http: HttpClient,
    pub(super) base: String,
    pub(super) token: Option<String>,
}

impl Server {
    /// With a token, or with one from a server in development mode.
    pub(super) async fn new(http: HttpClient, base: &str, token: Option<String>, tenant: &str) -> Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let token = match token {
            Some(token) => Some(token),
            None => dev_token(&http, &base, tenant).await?,
        };
        Ok(Self { http, base, token })
    }

    /// A device that the server doesn't know; none if it knows all that were checked.
    pub(super) async fn unknown<'a>(&self, devices: &'a [DeviceSpec]) -> Result<Option<&'a str>> {
        let step = devices.len().div_ceil(SAMPLE).max(1);
        for device in devices.iter().step_by(step).chain(devices.last()) {
            let url = format!("{}/api/v1/devices/{}", self.base, device.device_id);
            let request = self.http.get(&url).bearer(self.token.as_deref());
            match sent(request).await.with_context(|| format!("{url} can't be reached"))?.status() {
                status if status.is_success() => {}
                StatusCode::NOT_FOUND => return Ok(Some(&device.device_id)),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => bail!("{url} requires a token: set WAYBILL_TOKEN"),
                status => bail!("{url} answers {status}"),
            }
        }
        Ok(None)
    }

    /// Prints that the server doesn't know the fleet, and later that it does. Ends then, or when cancelled.
    pub(super) async fn watch(self, devices: Vec<DeviceSpec>, stop: CancellationToken) {
        let mut told = false;
        loop {
            match self.unknown(&devices).await {
                Ok(None) if told => return out::note("The server knows the devices now."),
                Ok(None) => return,
                Ok(Some(device)) if !told => {
                    told = true;
                    out::note(unregistered(&self.base, device));
                }
                Err(error) if !told => {
                    return out::note(format_args!(
                        "It can't be checked whether the devices are registered: {error:#}"
                    ));
                }
                Ok(Some(_)) | Err(_) => {}
            }
            if stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
                return;
            }
        }
    }
}

fn unregistered(base: &str, device: &str) -> String {
    format!(
        "The server at {base} doesn't know device {device}: nothing will happen until the devices are registered. \
         Start again with --register, or register them over REST."
    )
}

async fn sent(request: Call) -> Result<Answer> {
    tokio::time::timeout(TIMEOUT, request.send()).await.context("no answer in time")?
}

/// None if the server isn't in development mode.
async fn dev_token(http: &HttpClient, base: &str, tenant: &str) -> Result<Option<String>> {
    let url = format!("{base}/api/v1/auth/dev-token");
    let wanted = json!({"user_id": "simulate", "tenant_id": tenant, "roles": ["admin"], "expires_in": 86_400});
    let reply = sent(http.post(&url).json(&wanted)?).await.with_context(|| format!("{base} can't be reached"))?;
    if !reply.status().is_success() {
        return Ok(None);
    }
    let reply: Value = reply.json().await.with_context(|| format!("the answer of {url} can't be parsed"))?;
    Ok(reply["token"].as_str().map(str::to_owned))
}
