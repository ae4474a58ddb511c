//! The API's published description, `docs/openapi.json`: paths, parameters and fields of every operation. The command line gets its flags
//! from it, so that they can't differ from what the service takes.

use serde_json::Value;

const DOCUMENT: &str = include_str!("../../docs/openapi.json");
/// Schemas that one field may go through: references, alternatives, objects.
const DEPTH_MAX: usize = 16;
/// Fields that hold a secret although their schemas don't say so: a token or an API key that a service was shown.
const SECRETS: [&str; 2] = ["token", "api_key"];

/// The description, read once for an invocation.
pub(crate) struct Description {
    document: Value,
}

/// One operation.
pub(crate) struct Endpoint<'a> {
    pub id: &'a str,
    /// In capital letters.
    pub method: String,
    /// With `{name}` for parameters, below the base.
    pub path: &'a str,
    pub base: Base,
    pub summary: &'a str,
    pub description: &'a str,
    pub parameters: Vec<Parameter<'a>>,
    pub body: Option<Body<'a>>,
}

/// What an operation's path is below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// `/api/v1`, or `/api/v1/tenants/{tenant}`.
    Tenant,
    /// `/api/v1` alone.
    Api,
    /// The service itself.
    Root,
}

/// A parameter of the path, the query or a header.
pub(crate) struct Parameter<'a> {
    pub place: &'a str,
    pub name: &'a str,
    pub kind: Kind,
    pub help: &'a str,
    pub is_required: bool,
}

/// What a request sends.
pub(crate) struct Body<'a> {
    pub media: &'a str,
    schema: &'a Value,
}

/// A field of a body.
pub(crate) struct Field<'a> {
    pub name: &'a str,
    pub kind: Kind,
    pub help: &'a str,
    /// A secret: no flag, because other users of the machine see command lines.
    pub is_secret: bool,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Boolean,
    Texts,
    /// An object: `KEY=VALUE`.
    Object,
    /// Other lists and values: JSON.
    Json,
}

impl Description {
    pub(crate) fn read() -> Self {
        // A test reads it.
        Self { document: serde_json::from_str(DOCUMENT).unwrap_or_default() }
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint<'_>> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, item)| self.endpoints_at(path, item)).collect()
    }

    fn endpoints_at<'a>(&'a self, path: &'a str, item: &'a Value) -> Vec<Endpoint<'a>> {
        let base = match item["servers"][0]["url"].as_str() {
            None => Base::Tenant,
            Some("/") => Base::Root,
            Some(_) => Base::Api,
        };
        let methods = ["get", "post", "put", "patch", "delete"];
        let operations = methods.iter().filter_map(|method| Some((*method, item.get(*method)?)));
        operations
            .map(|(method, operation)| Endpoint {
                id: text(&operation["operationId"]),
                method: method.to_ascii_uppercase(),
                path,
                base,
                summary: text(&operation["summary"]),
                description: text(&operation["description"]),
                parameters: operation["parameters"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|it| self.parameter(it))
                    .collect(),
                body: self.body(&operation["requestBody"]["content"]),
            })
            .collect()
    }

    fn parameter<'a>(&'a self, parameter: &'a Value) -> Parameter<'a> {
        Parameter {
            place: text(&parameter["in"]),
            name: text(&parameter["name"]),
            kind: self.kind(&parameter["schema"]),
            help: text(&parameter["description"]),
            is_required: parameter["required"] == true,
        }
    }

    fn body<'a>(&'a self, content: &'a Value) -> Option<Body<'a>> {
        let (media, content) = content.as_object()?.iter().next()?;
        let schema = self.resolve(&content["schema"]);
        // The fields of a form are those of its metadata. A form without metadata has its own.
        let metadata = &schema["properties"]["metadata"];
        let schema = if media == "multipart/form-data" && !metadata.is_null() { metadata } else { schema };
        Some(Body { media, schema: self.resolve(schema) })
    }

    /// The fields of a body that is an object, or a form. The file of a form is none.
    pub(crate) fn fields<'a>(&'a self, body: &Body<'a>) -> Vec<Field<'a>> {
        let properties = body.schema["properties"].as_object().into_iter().flatten();
        properties
            .filter(|(_, schema)| schema["format"] != "binary")
            .map(|(name, schema)| Field {
                name,
                kind: self.kind(schema),
                help: text(&schema["description"]),
                is_secret: self.is_secret(name, schema),
            })
            .collect()
    }

    /// How the value of a field is written; the path has the names of the objects around it.
    pub(crate) fn kind_at(&self, body: &Body<'_>, path: &[&str]) -> Option<Kind> {
        Some(self.kind(self.schema_at(body, path)?))
    }

    /// Whether a field holds a secret; the path has the names of the objects around it.
    pub(crate) fn is_secret_at(&self, body: &Body<'_>, path: &[&str]) -> bool {
        let Some(name) = path.last() else { return false };
        self.schema_at(body, path).is_some_and(|schema| self.is_secret(name, schema))
    }

    fn schema_at<'a>(&'a self, body: &Body<'a>, path: &[&str]) -> Option<&'a Value> {
        let mut schema = body.schema;
        for name in path.iter().take(DEPTH_MAX) {
            let object = self.resolve(schema);
            let property = &object["properties"][*name];
            schema = if property.is_null() { &object["additionalProperties"] } else { property };
            schema.as_object()?;
        }
        Some(schema)
    }

    fn is_secret(&self, name: &str, schema: &Value) -> bool {
        self.resolve(schema)["format"] == "password" || SECRETS.contains(&name)
    }

    /// Names of the fields that rows of an answer have.
    #[cfg(test)]
    pub(crate) fn fields_of_rows(
        &self,
        endpoint: &Endpoint<'_>,
        shows: crate::operations::Shows,
    ) -> std::collections::BTreeSet<String> {
        use crate::operations::Shows;
        let mut names = std::collections::BTreeSet::new();
        let responses = &self.document["paths"][endpoint.path][endpoint.method.to_lowercase()]["responses"];
        for answer in ["200", "201"].iter().map(|status| &responses[*status]["content"]["application/json"]["schema"]) {
            let keys = match shows {
                Shows::List => vec!["items"],
                Shows::Rows(keys) => keys.split(' ').collect(),
                _ => Vec::new(),
            };
            for key in keys {
                for list in
                    self.properties(answer).into_iter().filter(|(name, _)| *name == key).map(|(_, schema)| schema)
                {
                    names.extend(
                        self.properties(&self.resolve(list)["items"]).into_iter().map(|(name, _)| name.to_owned()),
                    );
                }
            }
        }
        names
    }

    /// Fields of an object, also of those that it is put together from.
    #[cfg(test)]
    fn properties<'a>(&'a self, schema: &'a Value) -> Vec<(&'a str, &'a Value)> {
        let schema = self.resolve(schema);
        let own = schema["properties"].as_object().into_iter().flatten().map(|(name, schema)| (name.as_str(), schema));
        let parts = schema["allOf"].as_array().into_iter().flatten();
        own.chain(parts.flat_map(|part| self.properties(part))).collect()
    }

    fn kind(&self, schema: &Value) -> Kind {
        let schema = self.resolve(schema);
        match type_of(schema) {
            "string" => Kind::Text,
            "integer" | "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            "object" => Kind::Object,
            "array" if type_of(self.resolve(&schema["items"])) == "string" => Kind::Texts,
            _ => Kind::Json,
        }
    }

    /// Follows references, and the one alternative that isn't null.
    fn resolve<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..DEPTH_MAX {
            if let Some(name) = schema["$ref"].as_str() {
                let name = name.rsplit('/').next().unwrap_or_default();
                schema = &self.document["components"]["schemas"][name];
            } else if let Some(alternatives) = schema["oneOf"].as_array() {
                match alternatives.iter().find(|alternative| alternative["type"] != "null") {
                    Some(alternative) => schema = alternative,
                    None => break,
                }
            } else {
                break;
            }
        }
        schema
    }
}

impl Endpoint<'_> {
    pub(crate) fn has(&self, place: &str, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.place == place && parameter.name == name)
    }
}

/// The type that isn't null.
fn type_of(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default(),
        one => one.as_str().unwrap_or_default(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_know_how_they_are_written() {
        let description = Description::read();
        let endpoints = description.endpoints();
        let create = endpoints.iter().find(|endpoint| endpoint.id == "create_campaign").unwrap();
        assert_eq!((create.method.as_str(), create.path, create.base), ("POST", "/campaigns", Base::Tenant));
        assert!(create.has("header", "Idempotency-Key") && create.has("query", "dry_run"));
        let body = create.body.as_ref().unwrap();
        let kind = |path: &[&str]| description.kind_at(body, path);
        assert_eq!(kind(&["name"]), Some(Kind::Text));
        assert_eq!(kind(&["canary_size"]), Some(Kind::Number));
        assert_eq!(kind(&["target_all"]), Some(Kind::Boolean));
        assert_eq!(kind(&["target_groups"]), Some(Kind::Texts));
        assert_eq!(kind(&["target_filters"]), Some(Kind::Object));
        assert_eq!(kind(&["target_filters", "tags", "site"]), Some(Kind::Text));
        assert_eq!(kind(&["waves"]), Some(Kind::Json));
        assert_eq!(kind(&["no_such_field"]), None);
    }
}
