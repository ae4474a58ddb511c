//! One request of the collection.

use anyhow::Result;
use serde_json::{Value, json};

use super::api::{Api, Operation, Parameter};
use super::{example, script, text};

const JSON: &str = "application/json";
pub(super) const DEVICE_ID: &str = "device_id";
const FIRMWARE_ID: &str = "firmware_id";
const FORM: &str = "multipart/form-data";
/// The bytes that are sent where a file is wanted; any file will do.
const FILE: &str = "firmware.bin";

/// What a reply may be.
#[derive(Clone, Copy)]
pub(super) enum Expect {
    /// The step did what it says.
    Success,
    /// One of the documented statuses.
    Described,
}

/// The request with the check of its reply.
pub(super) fn item(api: &Api, operation: &Operation, expect: Expect) -> Result<Value> {
    let mut request = json!({
        "method": operation.method.to_uppercase(),
        "description": operation.description,
        "header": [],
        "url": url(api, operation),
    });
    if !operation.needs_token {
        request["auth"] = json!({ "type": "noauth" });
    }
    if let Some((media_type, schema)) = &operation.body {
        request["body"] = body(api, media_type, schema)?;
        if media_type != FORM {
            request["header"] = json!([{ "key": "Content-Type", "value": media_type }]);
        }
    }
    Ok(json!({
        "name": operation.summary,
        "request": request,
        "event": [script("test", &check(operation, expect)?)],
        "protocolProfileBehavior": { "followRedirects": false },
    }))
}

fn url(api: &Api, operation: &Operation) -> Value {
    let path: Vec<String> = operation.path.split('/').skip(1).map(in_path).collect();
    let query: Vec<Value> = operation.query.iter().map(|parameter| in_query(api, parameter)).collect();
    json!({ "raw": format!("{{{{url}}}}/{}", path.join("/")), "host": ["{{url}}"], "path": path, "query": query })
}

/// `{device_id}` is the variable of that name.
fn in_path(segment: &str) -> String {
    segment.replace('{', "{{").replace('}', "}}")
}

/// Optional ones are there and switched off.
fn in_query(api: &Api, parameter: &Parameter) -> Value {
    let variable = parameter.name.ends_with("_id") && parameter.is_required;
    let value =
        if variable { format!("{{{{{}}}}}", parameter.name) } else { text(&example::of_parameter(api, parameter)) };
    json!({ "key": parameter.name, "value": value, "description": parameter.description, "disabled": !parameter.is_required })
}

fn body(api: &Api, media_type: &str, schema: &Value) -> Result<Value> {
    if media_type == FORM {
        let form = api.resolved(schema);
        // Optional parts have no example that fits every firmware.
        let required: Vec<&str> = form["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let parts = form["properties"].as_object().into_iter().flatten();
        let parts = parts.filter(|(name, _)| required.contains(&name.as_str()));
        let parts = parts.map(|(name, part)| match part["format"].as_str() {
            Some("binary") => Ok(json!({ "key": name, "type": "file", "src": FILE })),
            _ => Ok(
                json!({ "key": name, "type": "text", "value": pretty(&example::of(api, part))?, "contentType": JSON }),
            ),
        });
        return Ok(json!({ "mode": "formdata", "formdata": parts.collect::<Result<Vec<_>>>()? }));
    }
    let mut value = example::of(api, schema);
    name_variables(&mut value);
    let language = if media_type == JSON { "json" } else { "text" };
    let raw = if media_type == JSON { pretty(&value)? } else { text(&value) };
    Ok(json!({ "mode": "raw", "raw": raw, "options": { "raw": { "language": language } } }))
}

/// A firmware or a device that the body names is the one of an earlier reply.
fn name_variables(value: &mut Value) {
    for name in [FIRMWARE_ID, DEVICE_ID] {
        if let Some(id) = value.get_mut(name) {
            *id = json!(format!("{{{{{name}}}}}"));
        }
    }
}

fn check(operation: &Operation, expect: Expect) -> Result<String> {
    let (says, statuses) = match expect {
        Expect::Success => ("it worked", operation.statuses.iter().copied().filter(|status| *status < 300).collect()),
        Expect::Described => ("the status is a documented one", operation.statuses.clone()),
    };
    Ok(format!(
        "pm.test({}, () => pm.expect(pm.response.code, pm.response.text().slice(0, 500)).to.be.oneOf({}));",
        serde_json::to_string(says)?,
        serde_json::to_string(&statuses)?
    ))
}

fn pretty(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}
