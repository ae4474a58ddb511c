//! The digest of a request: distinguishes a repeated request from another one with the same key.

use event_store::CommandHash;
use serde_json::Value;

use super::problem::Problem;

/// Digest of a path and JSON, with the reason of the query. A body that isn't JSON counts as null; it is refused elsewhere.
pub(super) fn digest(path: &str, bytes: &[u8], reason: Option<&str>) -> Result<CommandHash, Problem> {
    let mut json = if bytes.is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_slice(bytes).unwrap_or(Value::Null)
    };
    match (reason, &mut json) {
        (Some(reason), Value::Object(fields)) if fields.get("reason").is_none_or(Value::is_null) => {
            fields.insert("reason".to_owned(), Value::from(reason));
        }
        _ => {}
    }
    CommandHash::of(&(path, json)).map_err(Problem::internal)
}
