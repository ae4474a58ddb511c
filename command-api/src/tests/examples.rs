//! The examples in the API description: requests are accepted as written, and every example fits its schema.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::rollouts::Rollout;
use super::{Api, MODEL};
use crate::access::{Access, access_of};
use crate::caller::Role;

/// An id that nothing has.
const NOBODY: &str = "00000000-0000-0000-0000-000000000001";

fn description() -> Value {
    serde_json::to_value(crate::router::description()).unwrap()
}

/// The schema itself, with references resolved.
fn resolved<'a>(doc: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolved(doc, doc.pointer(reference.trim_start_matches('#')).expect("a known schema"));
    }
    let alternatives = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    match alternatives.and_then(|all| all.iter().find(|one| one["type"] != "null")) {
        Some(one) => resolved(doc, one),
        None => schema,
    }
}

fn example(doc: &Value, schema: &Value) -> Option<Value> {
    let schema = resolved(doc, schema);
    match (&schema["example"], &schema["items"]) {
        (Value::Null, Value::Null) => None,
        (Value::Null, items) => example(doc, items).map(|item| json!([item])),
        (example, _) => Some(example.clone()),
    }
}

/// Why a value doesn't fit a schema.
fn misfits(doc: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if value.is_null() {
        return vec![];
    }
    let schema = resolved(doc, schema);
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let mut found = Vec::new();
    if !types.is_empty() && !types.contains(&kind) {
        found.push(format!("{at}: {value} is no {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    let outside = |bound: &str, wrong: fn(f64, f64) -> bool| {
        schema[bound].as_f64().zip(value.as_f64()).is_some_and(|(bound, value)| wrong(value, bound))
    };
    if outside("minimum", |value, least| value < least) || outside("maximum", |value, most| value > most) {
        found.push(format!("{at}: {value} is out of bounds"));
    }
    if let (Value::Object(fields), Value::Object(properties)) = (value, &schema["properties"]) {
        found.extend(field_misfits(doc, schema, fields, properties, at));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(misfits(doc, &schema["items"], item, &format!("{at}[{index}]")));
    }
    found
}

fn field_misfits(
    doc: &Value,
    schema: &Value,
    fields: &Map<String, Value>,
    properties: &Map<String, Value>,
    at: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, field) in fields {
        match properties.get(name) {
            Some(property) => found.extend(misfits(doc, property, field, &format!("{at}.{name}"))),
            None => found.push(format!("{at}.{name} is not described")),
        }
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    found.extend(required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{at}.{name} is missing")));
    found
}

/// Every example under a schema, with the schema that it must fit.
fn check_examples(doc: &Value, schema: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(fields) = schema.as_object() {
        if let Some(example) = fields.get("example").filter(|_| !fields.contains_key("allOf")) {
            found.extend(misfits(doc, schema, example, at));
        }
        for (name, inner) in fields.iter().filter(|(name, _)| *name != "example") {
            check_examples(doc, inner, &format!("{at}/{name}"), found);
        }
    } else if let Some(items) = schema.as_array() {
        for (index, inner) in items.iter().enumerate() {
            check_examples(doc, inner, &format!("{at}/{index}"), found);
        }
    }
}

#[test]
fn every_example_fits_its_schema() {
    let doc = description();
    let mut found = Vec::new();
    check_examples(&doc, &doc["components"]["schemas"], "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_parts_of_a_campaign_have_schemas_of_their_own() {
    let doc = description();
    let properties = &doc["components"]["schemas"]["CampaignRequest"]["properties"];
    let of = |property: &Value| resolved(&doc, property)["properties"].as_object().cloned().unwrap_or_default();
    assert!(of(&properties["waves"]["items"]).contains_key("advance"), "{}", properties["waves"]);
    assert!(of(&properties["target_filters"]).contains_key("firmware_version"), "{}", properties["target_filters"]);
    assert!(of(&properties["preconditions"]).contains_key("min_battery_percent"), "{}", properties["preconditions"]);
    for name in ["WaveRequest", "TargetFilters", "Preconditions"] {
        assert!(doc["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn the_documented_waves_do_not_run_to_the_end_by_themselves() {
    let doc = description();
    let schema = &doc["components"]["schemas"]["CampaignRequest"];
    for waves in [&schema["example"]["waves"], &schema["properties"]["waves"]["example"]] {
        let waves = waves.as_array().unwrap();
        let (last, before) = waves.split_last().unwrap();
        assert!(before.iter().all(|wave| wave["advance"] == "manual"), "{before:?}");
        assert_ne!(last["advance"], "manual", "it would have no effect");
    }
}

#[tokio::test]
async fn every_request_is_accepted_as_its_example_stands_there() {
    let api = Api::new();
    let rollout = Rollout::draft(&api, json!({})).await;
    rollout.run(&[1, 9]).await;
    api.device("d-1").await;
    let order = json!({"firmware_id": rollout.firmware});
    assert_eq!(api.post("/devices/d-1/update", order).await.status, 201);
    assert_eq!(api.post("/devices/d-1/commands", json!({"name": "report"})).await.status, 201);
    assert_eq!(api.post("/groups", json!({"group_id": "hall-3", "name": "Hall 3"})).await.status, 201);
    let token = api.post("/registration-tokens", json!({"devices_max": 1})).await;
    let device = api.bearing(token.body["token"].as_str().unwrap());
    let platform = api.bearing(super::token("default", Role::PlatformAdmin));
    let doc = description();
    let mut tried = 0;
    for (path, item) in doc["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            if content["schema"].is_null() {
                continue;
            }
            let own = content.get("example").cloned();
            let mut body = own
                .or_else(|| example(&doc, &content["schema"]))
                .unwrap_or_else(|| panic!("{method} {path} has no example"));
            if body["firmware_id"].is_string() {
                body["firmware_id"] = json!(rollout.firmware);
            }
            let url = path
                .replace("{device_id}", "d-1")
                .replace("{campaign_id}", &rollout.id)
                .replace("{firmware_id}", &rollout.firmware)
                .replace("{document_id}", NOBODY)
                .replace("{group_id}", "hall-3")
                .replace("{update_id}", "d-1~1")
                .replace("{credential_id}", NOBODY)
                .replace("{token_id}", NOBODY)
                .replace("{tenant_id}", "acme")
                .replace("{fingerprint}", &"0".repeat(64))
                .replace("{key_id}", NOBODY)
                .replace("{wave}", "2")
                .replace("{n}", "1");
            let parameters = operation["parameters"].as_array();
            let asks = parameters.into_iter().flatten().any(|one| one["name"] == "dry_run");
            let url = if asks { format!("{url}?dry_run=true") } else { url };
            let method: Method = method.to_uppercase().parse().unwrap();
            let by_device = operation["security"].to_string().contains("registration_token");
            let needs_platform = access_of(&method.as_str().to_ascii_lowercase(), path) == Some(Access::Platform);
            let caller = if by_device {
                &device
            } else if needs_platform {
                &platform
            } else {
                &api
            };
            let answer = caller.call(method.clone(), &url, &[], body.clone()).await;
            let status = answer.status.as_u16();
            assert!(status < 300 || [404, 409, 503].contains(&status), "{method} {url} {body}: {}", answer.body);
            assert_ne!(answer.problem(), "not_found", "{method} {url}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
    let metadata = example(&doc, &json!({"$ref": "#/components/schemas/UploadMetadata"})).unwrap();
    assert_eq!(metadata["device_model"], MODEL);
    let uploaded = api.upload(b"bytes", metadata).await;
    assert_eq!(uploaded.status, 201, "{}", uploaded.body);
}
