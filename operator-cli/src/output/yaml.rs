//! JSON values as YAML. Texts are quoted where they could be read as something else.

use serde_json::Value;

/// Words that YAML reads as something else than text.
const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// A document.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(_) | Value::Array(_) if !is_empty(value) => block(value, 0, &mut text),
        scalar => {
            text.push_str(&inline(scalar));
            text.push('\n');
        }
    }
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                text.push_str(&format!("{indent}{}:", scalar(name)));
                nested(value, depth + 1, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                text.push_str(&format!("{indent}-"));
                nested(item, depth + 1, text);
            }
        }
        other => text.push_str(&format!("{indent}{}\n", inline(other))),
    }
}

fn nested(value: &Value, depth: usize, text: &mut String) {
    if (value.is_object() || value.is_array()) && !is_empty(value) {
        text.push('\n');
        block(value, depth, text);
    } else {
        text.push_str(&format!(" {}\n", inline(value)));
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        // `[]` and `{}` are the same in YAML.
        other => other.to_string(),
    }
}

fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    // A JSON string is a double-quoted scalar of YAML.
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_stay_what_they_are() {
        let value = json!({"a": "plain", "b": "no", "c": "1.0", "d": [1, {"e": null}], "f": [], "g": {}, "h": "a: b\n", "i": true});
        let wanted =
            "a: plain\nb: \"no\"\nc: \"1.0\"\nd:\n  - 1\n  -\n    e: null\nf: []\ng: {}\nh: \"a: b\\n\"\ni: true\n";
        assert_eq!(document(&value), wanted);
        assert_eq!(document(&json!([])), "[]\n");
    }
}
