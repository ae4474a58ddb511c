//! From flags, `-f KEY=VALUE` and files to the body of a request.

use std::io::Read;

use clap::ArgMatches;
use serde_json::{Map, Value};

use crate::description::{Body, Description, Kind};
use crate::failure::{Failure, Result};

/// Largest body that is read from a file or standard input, in bytes. The service takes less.
const INPUT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The body as the flags make it; nothing if the operation has none.
pub(crate) fn body(matches: &ArgMatches, description: &Description, body: &Body<'_>) -> Result<Value> {
    let mut whole = match matches.get_one::<String>("file") {
        Some(file) => serde_json::from_slice(&input(file)?)
            .map_err(|error| Failure::usage(format!("{file} is no JSON: {error}")))?,
        None => Value::Object(Map::new()),
    };
    let fields = description.fields(body);
    for field in fields {
        let id = format!("body:{}", field.name);
        let Ok(Some(values)) = matches.try_get_many::<String>(&id) else { continue };
        let path = [field.name];
        for text in values {
            match field.kind {
                Kind::Object => {
                    let (key, text) = pair(text)?;
                    let path: Vec<&str> = path.into_iter().chain(key.split('.')).collect();
                    set(&mut whole, &path, value(text, description.kind_at(body, &path))?)?;
                }
                Kind::Texts => push(&mut whole, field.name, listed(text)?)?,
                Kind::Json => push(&mut whole, field.name, items(field.name, text)?)?,
                kind => set(&mut whole, &path, value(text, Some(kind))?)?,
            }
        }
    }
    if let Ok(Some(pairs)) = matches.try_get_many::<String>("field") {
        for text in pairs {
            let (key, text) = pair(text)?;
            let path: Vec<&str> = key.split('.').collect();
            let text = match text.strip_prefix('@') {
                // Editors and `echo` end a file with a line feed, which is not part of a secret.
                Some(file) if description.is_secret_at(body, &path) => {
                    file_text(file)?.trim_end_matches(['\r', '\n']).to_owned()
                }
                Some(file) => file_text(file)?,
                None => text.to_owned(),
            };
            let kind = description.kind_at(body, &path);
            let value = if kind == Some(Kind::Texts) { Value::Array(listed(&text)?) } else { value(&text, kind)? };
            set(&mut whole, &path, value)?;
        }
    }
    Ok(whole)
}

/// `key=value`.
pub(crate) fn pair(text: &str) -> Result<(&str, &str)> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Failure::usage(format!("{text:?} is not KEY=VALUE")))
}

/// A value as its kind says. Without a kind it is JSON if it looks like a number, `true`, `false`, `null`, a list or an object.
pub(crate) fn value(text: &str, kind: Option<Kind>) -> Result<Value> {
    let json = || serde_json::from_str::<Value>(text);
    let expect = |is: fn(&Value) -> bool, what: &str| match json() {
        Ok(value) if is(&value) || value.is_null() => Ok(value),
        _ => Err(Failure::usage(format!("{text:?} is not {what}"))),
    };
    match kind {
        Some(Kind::Text) => Ok(Value::String(text.to_owned())),
        Some(Kind::Number) => expect(Value::is_number, "a number"),
        Some(Kind::Boolean) => expect(Value::is_boolean, "true or false"),
        Some(Kind::Texts) => Ok(Value::Array(listed(text)?)),
        Some(Kind::Object | Kind::Json) => expect(|value| value.is_object() || value.is_array(), "JSON"),
        None => Ok(match json() {
            Ok(value) if !value.is_string() => value,
            _ => Value::String(text.to_owned()),
        }),
    }
}

/// `a,b`, or a list in JSON.
fn listed(text: &str) -> Result<Vec<Value>> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| Failure::usage(format!("{text:?} is no JSON: {error}")));
    }
    Ok(text.split(',').filter(|part| !part.is_empty()).map(Value::from).collect())
}

/// Items of a list of objects: JSON. Waves may be percentages: `10,50,100`.
fn items(field: &str, text: &str) -> Result<Vec<Value>> {
    let percentages: Option<Vec<u32>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match percentages {
        Some(percentages) if field == "waves" => {
            Ok(percentages.into_iter().map(|percentage| serde_json::json!({"percentage": percentage})).collect())
        }
        _ => match value(text, Some(Kind::Json))? {
            Value::Array(items) => Ok(items),
            item => Ok(vec![item]),
        },
    }
}

fn push(whole: &mut Value, field: &str, mut more: Vec<Value>) -> Result<()> {
    match object(whole)?.entry(field).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(items) => items.append(&mut more),
        other => *other = Value::Array(more),
    }
    Ok(())
}

fn set(whole: &mut Value, path: &[&str], value: Value) -> Result<()> {
    let Some((last, around)) = path.split_last() else { return Ok(()) };
    let mut at = object(whole)?;
    for name in around {
        at = object(at.entry(*name).or_insert_with(|| Value::Object(Map::new())))?;
    }
    at.insert((*last).to_owned(), value);
    Ok(())
}

fn object(value: &mut Value) -> Result<&mut Map<String, Value>> {
    value.as_object_mut().ok_or_else(|| Failure::usage("fields can only be set in an object"))
}

/// The text of a file; `-` is standard input.
pub(crate) fn file_text(file: &str) -> Result<String> {
    String::from_utf8(input(file)?).map_err(|_| Failure::usage(format!("{file} is no text")))
}

/// The bytes of a file; `-` is standard input.
pub(crate) fn input(file: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match file {
        "-" => std::io::stdin().lock().take(INPUT_MAX_BYTES + 1).read_to_end(&mut bytes),
        _ => std::fs::File::open(file).and_then(|file| file.take(INPUT_MAX_BYTES + 1).read_to_end(&mut bytes)),
    };
    let what = if file == "-" { "standard input" } else { file };
    read.map_err(|error| Failure::usage(format!("{what} can't be read: {error}")))?;
    if bytes.len() as u64 > INPUT_MAX_BYTES {
        return Err(Failure::usage(format!("{what} has more than {INPUT_MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::flags;
    use crate::operations;

    fn parsed(id: &str, args: &[&str]) -> Result<Value> {
        let description = Description::read();
        let endpoints = description.endpoints();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == id).unwrap();
        let operation = operations::all().find(|operation| operation.id == id).unwrap();
        let command = flags::verb(operation, endpoint, &description);
        let matches = command
            .try_get_matches_from([&["verb"], args].concat())
            .map_err(|error| Failure::usage(error.to_string()))?;
        body(&matches, &description, endpoint.body.as_ref().unwrap())
    }

    #[test]
    fn flags_are_typed_as_the_api_has_them() {
        let args = [
            "--name",
            "1",
            "--firmware",
            "f",
            "--strategy",
            "staged",
            "--group",
            "a,b",
            "--group",
            "c",
            "--waves",
            "10,100",
            "--filter",
            "device_model=7",
            "--filter",
            "tags.site=12",
            "--canary-size",
            "3",
            "--all=false",
            "-f",
            "auto_rollback=true",
        ];
        let wanted = json!({
            "name": "1", "firmware_id": "f", "deployment_strategy": "staged", "target_groups": ["a", "b", "c"],
            "waves": [{"percentage": 10}, {"percentage": 100}], "target_filters": {"device_model": "7", "tags": {"site": "12"}},
            "canary_size": 3, "target_all": false, "auto_rollback": true,
        });
        assert_eq!(parsed("create_campaign", &args).unwrap(), wanted);
    }

    #[test]
    fn a_value_of_another_type_is_a_usage_error() {
        for args in
            [["-f", "canary_size=many"], ["--canary-size", "many"], ["-f", "novalue"], ["-f", "auto_rollback=1"]]
        {
            assert_eq!(parsed("create_campaign", &args).unwrap_err().exit, crate::exit::Exit::Usage, "{args:?}");
        }
    }

    #[test]
    fn parameters_without_a_type_are_guessed() {
        let body =
            parsed("send_device_command", &["d-1", "--name", "blink", "--params", "times=3", "--params", "colour=red"]);
        assert_eq!(body.unwrap(), json!({"name": "blink", "params": {"times": 3, "colour": "red"}}));
    }

    #[test]
    fn a_secret_of_a_file_has_no_line_feed_at_its_end() {
        let file = std::env::temp_dir().join(format!("waybill-secret-{}", std::process::id()));
        std::fs::write(&file, "00 11\r\n").unwrap();
        let from_file = |field: &str| format!("{field}=@{}", file.display());
        let keys = parsed("set_lorawan_keys", &["d-1", "-f", &from_file("nwk_key")]).unwrap();
        let nested = parsed("connect_chirpstack", &["-f", &from_file("mqtt.password")]).unwrap();
        let name = parsed("create_campaign", &["-f", &from_file("name")]).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!((&keys["nwk_key"], &nested["mqtt"]["password"]), (&json!("00 11"), &json!("00 11")));
        assert_eq!(name["name"], "00 11\r\n");
    }

    #[test]
    fn secrets_have_no_flag() {
        let refused = parsed("set_lorawan_keys", &["d-1", "--nwk-key", "00"]).unwrap_err();
        assert!(refused.sentence.contains("--nwk-key"), "{refused}");
        for (id, flag, field) in [("verify_token", "--token", "token"), ("verify_api_key", "--api-key", "api_key")] {
            let refused = parsed(id, &[flag, "secret"]).unwrap_err();
            assert!(refused.sentence.contains(flag), "{refused}");
            let set = parsed(id, &["-f", &format!("{field}=secret")]).unwrap();
            assert_eq!(set[field], "secret", "{set}");
        }
    }
}
