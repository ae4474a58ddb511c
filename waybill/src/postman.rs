//! `waybill postman`: the API as a Postman collection, as committed in docs/postman.json.
//!
//! Everything comes from the OpenAPI description: the requests with their examples, and the statuses that each may answer with, which the
//! collection checks after every request. Only the order of the first folder, a campaign from upload to cancel, is written here.
//!
//! The collection fills its variables itself: a reply with a field that is named as an id in a path (`campaign_id`, …) sets it, and
//! without a token it asks a server in development mode for one.

mod api;
mod example;
mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::out;
use api::{Api, Operation};
use request::Expect;

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";
const DESCRIPTION: &str = "Every request of Waybill's API, generated from docs/openapi.json.\n\n\
    Set `url` to your Waybill. In development mode the collection gets itself a token of `tenant`; otherwise set `access_token` to one of yours, or to an API \
    key. The first folder is a campaign from upload to cancel and can be run as a whole. The others have every request, by subject; ids in \
    their paths are those that earlier replies named. Live streams (`/events/…`) don't end and are left out.";
/// The device that the collection registers.
const DEVICE: &str = "postman-1";
/// Address of `make up`.
const URL: &str = "http://127.0.0.1:8240";
const GET_TOKEN: &str = include_str!("postman/get_token.js");
const REMEMBER: &str = include_str!("postman/remember.js");

/// The first folder: one campaign, by operation.
const CAMPAIGN: &[&str] = &[
    "upload_firmware",
    "register_device",
    "preview_new_campaign",
    "create_campaign",
    "start_campaign",
    "campaign_status",
    "campaign_gates",
    "device_why_not",
    "pause_campaign",
    "resume_campaign",
    "cancel_campaign",
    "campaign_history",
];

/// Prints it.
pub fn run() -> Result<()> {
    let description = serde_json::from_str(&command_api::openapi_json()).context("the API description is no JSON")?;
    out::line(serde_json::to_string_pretty(&collection(&Api::new(description))?)?)
}

/// The whole collection.
fn collection(api: &Api) -> Result<Value> {
    let operations = api.operations()?;
    let mut folders = vec![campaign(api, &operations)?];
    let mut by_subject = BTreeMap::<&str, Vec<Value>>::new();
    for operation in operations.iter().filter(|operation| !operation.is_stream) {
        by_subject.entry(&operation.subject).or_default().push(request::item(api, operation, Expect::Described)?);
    }
    folders.extend(by_subject.into_iter().map(|(subject, items)| json!({ "name": subject, "item": items })));
    Ok(json!({
        "info": { "name": "Waybill", "description": DESCRIPTION, "schema": SCHEMA },
        "auth": { "type": "bearer", "bearer": [{ "key": "token", "value": "{{access_token}}", "type": "string" }] },
        "event": [script("prerequest", GET_TOKEN), script("test", &remember(&operations)?)],
        "variable": variables(api, &operations),
        "item": folders,
    }))
}

fn campaign(api: &Api, operations: &[Operation]) -> Result<Value> {
    let items = CAMPAIGN.iter().map(|id| {
        let operation = operations.iter().find(|operation| operation.id == *id);
        request::item(api, operation.with_context(|| format!("the API has no operation {id}"))?, Expect::Success)
    });
    Ok(json!({ "name": "A campaign, step by step", "item": items.collect::<Result<Vec<_>>>()? }))
}

/// One variable for each parameter of a path, with its example, beside the address and the token. The device is one that nobody else uses.
fn variables(api: &Api, operations: &[Operation]) -> Vec<Value> {
    let own = [("url", json!(URL)), ("access_token", json!("")), ("tenant", json!("default"))];
    let of_paths = operations.iter().flat_map(|operation| &operation.path_parameters);
    let mut of_paths: BTreeMap<&str, Value> =
        of_paths.map(|parameter| (parameter.name.as_str(), example::of_parameter(api, parameter))).collect();
    of_paths.insert(request::DEVICE_ID, json!(DEVICE));
    own.into_iter().chain(of_paths).map(|(key, value)| json!({ "key": key, "value": text(&value) })).collect()
}

/// After each reply: the fields that are named as ids in paths become variables.
fn remember(operations: &[Operation]) -> Result<String> {
    let mut names: Vec<&str> =
        operations.iter().flat_map(|operation| operation.path_names()).filter(|name| name.ends_with("_id")).collect();
    names.sort_unstable();
    names.dedup();
    Ok(REMEMBER.replace("NAMES", &serde_json::to_string(&names)?))
}

fn script(listen: &str, text: &str) -> Value {
    json!({ "listen": listen, "script": { "type": "text/javascript", "exec": text.lines().collect::<Vec<_>>() } })
}

/// As it stands in a path or a query.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
