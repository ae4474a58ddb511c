//! The API description, as far as a collection needs it.

use anyhow::{Context, Result};
use serde_json::{Map, Value};

const METHODS: [&str; 5] = ["post", "get", "put", "patch", "delete"];
/// Media types of replies that don't end.
const STREAM: &str = "text/event-stream";
/// Status of a reply that becomes a WebSocket.
const SWITCHING: &str = "101";
/// Longest chain of `$ref`s that is followed.
const REFS_MAX: usize = 8;

/// An OpenAPI 3.1 document.
pub(super) struct Api(Value);

/// One method of one path.
pub(super) struct Operation {
    pub id: String,
    /// The tag: its folder.
    pub subject: String,
    pub summary: String,
    pub description: String,
    pub method: &'static str,
    /// With the server's prefix, such as `/api/v1/devices/{device_id}`.
    pub path: String,
    pub path_parameters: Vec<Parameter>,
    pub query: Vec<Parameter>,
    /// Media type and schema of the body.
    pub body: Option<(String, Value)>,
    /// Documented statuses.
    pub statuses: Vec<u16>,
    pub needs_token: bool,
    /// Its reply doesn't end.
    pub is_stream: bool,
}

/// A parameter of a path or a query.
pub(super) struct Parameter {
    pub name: String,
    pub description: String,
    pub is_required: bool,
    pub schema: Value,
    /// Its own example.
    pub given: Option<Value>,
}

impl Parameter {
    fn new(parameter: &Value) -> Result<Self> {
        Ok(Self {
            name: text(parameter, "name").context("a parameter without a name")?,
            description: text(parameter, "description").unwrap_or_default(),
            is_required: parameter["required"] == true,
            schema: parameter["schema"].clone(),
            given: parameter.get("example").cloned(),
        })
    }
}

impl Operation {
    /// The names in its path.
    pub(super) fn path_names(&self) -> impl Iterator<Item = &str> {
        self.path_parameters.iter().map(|parameter| parameter.name.as_str())
    }
}

impl Api {
    pub(super) fn new(document: Value) -> Self {
        Self(document)
    }

    /// All operations: by path, and in a path those that make something first and those that delete last.
    pub(super) fn operations(&self) -> Result<Vec<Operation>> {
        let paths = self.0["paths"].as_object().context("the description has no paths")?;
        let of_path = |(path, item): (&String, &Value)| {
            let of_method =
                |method: &'static str| item.get(method).map(|found| self.operation(path, item, method, found));
            METHODS.into_iter().filter_map(of_method).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    /// Follows `$ref`.
    pub(super) fn resolved<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..REFS_MAX {
            let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
            match target.and_then(|pointer| self.0.pointer(pointer)) {
                Some(found) => schema = found,
                None => break,
            }
        }
        schema
    }

    fn operation(&self, path: &str, item: &Value, method: &'static str, found: &Value) -> Result<Operation> {
        let id = text(found, "operationId").with_context(|| format!("{method} {path} has no operationId"))?;
        let own = item["servers"][0]["url"].as_str();
        let prefix = own.or_else(|| self.0["servers"][0]["url"].as_str()).unwrap_or_default().trim_end_matches('/');
        let parameters = |place: &str| -> Result<Vec<Parameter>> {
            let all = found["parameters"].as_array().into_iter().flatten();
            all.map(|parameter| self.resolved(parameter))
                .filter(|parameter| parameter["in"] == place)
                .map(Parameter::new)
                .collect()
        };
        let responses = found["responses"].as_object().with_context(|| format!("{id} has no responses"))?;
        Ok(Operation {
            subject: found["tags"][0].as_str().unwrap_or("other").to_owned(),
            summary: text(found, "summary").unwrap_or_else(|| id.clone()),
            description: text(found, "description").unwrap_or_default(),
            method,
            path: format!("{prefix}{path}"),
            path_parameters: parameters("path")?,
            query: parameters("query")?,
            body: self.body(found),
            statuses: responses.keys().filter_map(|status| status.parse().ok()).collect(),
            needs_token: found.get("security").is_none_or(|security| *security != serde_json::json!([{}])),
            is_stream: self.is_stream(responses),
            id,
        })
    }

    fn body(&self, operation: &Value) -> Option<(String, Value)> {
        let content = self.resolved(operation.get("requestBody")?)["content"].as_object()?;
        content.iter().next().map(|(media_type, body)| (media_type.clone(), body["schema"].clone()))
    }

    fn is_stream(&self, responses: &Map<String, Value>) -> bool {
        let streams = |reply: &Value| {
            self.resolved(reply)["content"].as_object().is_some_and(|content| content.contains_key(STREAM))
        };
        responses.contains_key(SWITCHING) || responses.values().any(streams)
    }
}

fn text(value: &Value, field: &str) -> Option<String> {
    value[field].as_str().map(str::to_owned)
}
