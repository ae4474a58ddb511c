//! The requests of an attacker, from the API's description.

use std::sync::Arc;
use std::time::Duration;

use event_store::{Delivery, Log};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::secrets::Attacker;
use crate::world::World;

/// Longest silence of a stream that is waited for.
const STREAM_READ_MAX: Duration = Duration::from_millis(400);

/// One operation with a path of the tenant.
pub(super) struct Tried {
    method: Method,
    path: String,
    /// Open to everybody.
    is_open: bool,
    /// Takes registration tokens: one of another tenant is asked for its device.
    is_for_devices: bool,
    /// A webhook of network servers, which need to show nothing in development.
    is_webhook: bool,
    /// Names the tenant in the path.
    is_twin: bool,
    takes_body: bool,
}

/// Every operation with what the tenant has in its path, by itself and, where there is one, as its twin that names the tenant.
pub(super) async fn operations(world: &World, known: &[(&'static str, String)]) -> Vec<Tried> {
    let description =
        reqwest::get(format!("{}/openapi.json", world.base())).await.unwrap().json::<Value>().await.unwrap();
    let mut tried = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let filled = known.iter().fold(path.clone(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
        assert!(!filled.contains('{'), "nothing is known for {path}");
        // A search needs a text: one that finds what the tenant has.
        let text = known.iter().find(|(name, _)| *name == "device_id").map(|(_, id)| id.as_str()).unwrap_or_default();
        let filled = if path == "/search" { format!("{filled}?q={text}") } else { filled };
        let twins = match item["servers"][0]["url"].as_str() {
            Some("/") => vec![(filled, false)],
            Some(server) => vec![(format!("{server}{filled}"), filled.starts_with("/tenants/"))],
            None => vec![(format!("/api/v1{filled}"), false), (format!("/api/v1/tenants/acme{filled}"), true)],
        };
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "servers") {
            let security = operation["security"].as_array();
            let is_for_devices = operation["security"].to_string().contains("registration_token");
            let is_open = security.is_some_and(|all| all.iter().any(|one| *one == json!({})));
            for (path, is_twin) in &twins {
                tried.push(Tried {
                    method: method.to_ascii_uppercase().parse().unwrap(),
                    path: path.clone(),
                    is_open,
                    is_for_devices,
                    is_webhook: operation["security"].to_string().contains("webhook_secret"),
                    is_twin: *is_twin,
                    takes_body: !operation["requestBody"].is_null(),
                });
            }
        }
    }
    assert!(tried.len() > 150, "{}", tried.len());
    tried
}

pub(super) struct Walk<'a> {
    pub(super) world: &'a World,
    pub(super) attacker: &'a Attacker,
    /// In every text of the tenant.
    pub(super) mark: &'a str,
}

impl Walk<'_> {
    /// Tries all; returns what was found.
    pub(super) async fn all(&self, operations: &[Tried]) -> Vec<String> {
        let mut found = Vec::new();
        for one in operations {
            found.extend(self.one(one).await);
        }
        found
    }

    async fn one(&self, tried: &Tried) -> Option<String> {
        let request = self.world_request(tried);
        let reply = request.send().await.unwrap();
        let status = reply.status().as_u16();
        let text = text_of(reply).await;
        let asked = format!("{} {}", tried.method, tried.path);
        // A reply may repeat the path that was asked for.
        let told = text.replace(&tried.path, "");
        if told.contains(self.mark) {
            return Some(format!("{asked} shows {told}"));
        }
        let refused = match (tried.is_open, self.attacker.is_known_elsewhere()) {
            (true, _) => true,
            _ if tried.is_webhook => [200, 401].contains(&status),
            (false, false) if tried.is_for_devices => [401, 422].contains(&status),
            (false, false) => status == 401,
            (false, true) if tried.is_twin => [401, 403, 404].contains(&status),
            (false, true) => status < 500 || status == 503,
        };
        (!refused).then(|| format!("{asked} answers {status}: {text}"))
    }

    fn world_request(&self, tried: &Tried) -> reqwest::RequestBuilder {
        let http = reqwest::Client::new();
        let request = http.request(tried.method.clone(), format!("{}{}", self.world.base(), tried.path));
        let request = self.attacker.signs(request);
        if tried.takes_body { request.json(&json!({})) } else { request }
    }
}

/// The body; of a stream without end, what comes within a short time.
async fn text_of(mut reply: reqwest::Response) -> String {
    if reply.headers().get("content-type").is_none_or(|kind| kind != "text/event-stream") {
        return reply.text().await.unwrap();
    }
    let mut text = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(STREAM_READ_MAX, reply.chunk()).await {
        text.extend(chunk);
    }
    String::from_utf8(text).unwrap()
}

/// Records of a tenant after a position.
pub(super) async fn records_of(tenant: &str, log: &Arc<dyn Log>, after: u64) -> usize {
    let (end, mut records, mut count) = (log.info().await.unwrap().last_sequence, log.subscribe(after + 1), 0);
    if end <= after {
        return 0;
    }
    while let Some(delivery) = records.next().await {
        match delivery.unwrap() {
            Delivery::Record(record) => {
                count += usize::from(record.key.tenant.as_str() == tenant);
                if record.position >= end {
                    break;
                }
            }
            Delivery::CaughtUp { position } if position >= end => break,
            Delivery::CaughtUp { .. } => {}
        }
    }
    count
}
