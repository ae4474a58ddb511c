//! The file of `waybill apply`.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What a file has.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    #[serde(default)]
    pub groups: Vec<Group>,
    #[serde(default)]
    pub trusted_keys: Vec<TrustedKey>,
}

/// A group: with a filter it is dynamic, otherwise static.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub group_id: String,
    pub name: String,
    pub description: Option<String>,
    pub filter: Option<Value>,
    /// All members of a static group. Without it members are left alone.
    pub devices: Option<BTreeSet<String>>,
}

/// A key whose signatures of firmware count.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrustedKey {
    pub name: Option<String>,
    pub public_key: String,
}

impl Manifest {
    /// Reads JSON if it begins as such, otherwise TOML.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
        let manifest: Self = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())?
        } else {
            toml::from_str(text).map_err(|error| toml_sentence(text, &error))?
        };
        let mut seen = BTreeSet::new();
        for group in &manifest.groups {
            if group.filter.is_some() && group.devices.is_some() {
                return Err(format!("group {} has a filter and devices: it is dynamic or static", group.group_id));
            }
            if !seen.insert(&group.group_id) {
                return Err(format!("group {} is there twice", group.group_id));
            }
        }
        Ok(manifest)
    }
}

/// The place and the message of an error, in one line.
fn toml_sentence(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    format!("line {line}: {}", error.message().replace('\n', ", "))
}

impl Group {
    pub(super) fn kind(&self) -> &'static str {
        if self.filter.is_some() { "dynamic" } else { "static" }
    }

    /// The body that creates it.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({"group_id": self.group_id, "name": self.name, "kind": self.kind()});
        for (field, value) in
            [("description", self.description.as_ref().map(|text| json!(text))), ("filter", self.filter.clone())]
        {
            if let Some(value) = value {
                body[field] = value;
            }
        }
        body
    }

    /// Fields of an amendment; none if the group is as it is wanted. What the file doesn't name is left alone.
    pub(super) fn differences(&self, found: &Value) -> Value {
        let mut fields = Map::new();
        let description = self.description.as_ref().map(|text| json!(text));
        for (field, wanted) in
            [("name", Some(json!(self.name))), ("description", description), ("filter", self.filter.clone())]
        {
            if let Some(wanted) = wanted.filter(|wanted| without_nulls(&found[field]) != without_nulls(wanted)) {
                fields.insert(field.to_owned(), wanted);
            }
        }
        Value::Object(fields)
    }
}

/// Replies name fields that are null or empty; files don't.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), without_nulls(value)));
            Value::Object(fields.filter(|(_, value)| !value.is_null() && *value != json!({})).collect())
        }
        other => other.clone(),
    }
}

/// Keys are compared without the white space around and in them.
pub(super) fn is_same_key(one: &str, other: &str) -> bool {
    let plain = |key: &str| key.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[groups]]
        group_id = "lobby"
        name = "Lobby"
        devices = ["d-2", "d-1"]

        [[groups]]
        group_id = "north"
        name = "North"
        filter = { tags = { site = "north" } }

        [[trusted_keys]]
        name = "build"
        public_key = "key"
    "#;

    #[test]
    fn a_file_is_toml_or_json() {
        let manifest = Manifest::read(FILE.as_bytes()).unwrap();
        assert_eq!((manifest.groups.len(), manifest.trusted_keys.len()), (2, 1));
        assert_eq!(manifest.groups.iter().map(Group::kind).collect::<Vec<_>>(), ["static", "dynamic"]);
        assert_eq!(manifest.groups[1].body()["filter"]["tags"]["site"], "north");
        let json = br#"{"groups": [{"group_id": "a", "name": "A"}]}"#;
        assert_eq!(Manifest::read(json).unwrap().groups[0].kind(), "static");
    }

    #[test]
    fn mistakes_are_named() {
        let files = [
            r#"campaigns = []"#,
            "[[groups]]\ngroup_id = \"a\"\nname = \"A\"\ndevices = []\nfilter = {}",
            "[[groups]]\ngroup_id = \"a\"\nname = \"A\"\n[[groups]]\ngroup_id = \"a\"\nname = \"B\"",
        ];
        let mistakes = files.map(|file| Manifest::read(file.as_bytes()).unwrap_err());
        for (mistake, word) in mistakes.iter().zip(["campaigns", "filter and devices", "twice"]) {
            assert!(mistake.contains(word), "{mistake}");
        }
    }

    #[test]
    fn a_mistake_in_toml_is_one_line_with_its_place() {
        let mistake = Manifest::read(b"[[groups]]\nname = \n").unwrap_err();
        assert!(mistake.starts_with("line 2: ") && !mistake.contains('\n'), "{mistake}");
    }

    #[test]
    fn only_what_differs_is_changed() {
        let group = &Manifest::read(FILE.as_bytes()).unwrap().groups[1];
        let found =
            json!({"name": "North", "description": null, "filter": {"tags": {"site": "north"}, "device_type": null}});
        assert_eq!(group.differences(&found), json!({}));
        let other = json!({"name": "South", "filter": {"tags": {"site": "south"}}});
        assert_eq!(group.differences(&other), json!({"name": "North", "filter": {"tags": {"site": "north"}}}));
    }
}
