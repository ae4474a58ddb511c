//! Opaque cursors: the end of a page, bound to the path and the filters of its list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest cursor, in bytes.
const CURSOR_MAX_BYTES: usize = 1_024;
/// Bytes of the filters' digest that are kept: it detects mistakes, it isn't for security.
const BINDING_BYTES: usize = 8;

/// The list that a cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding([u8; BINDING_BYTES]);

impl Binding {
    /// Of a path and filters in any order.
    pub(crate) fn of(path: &str, mut filters: Vec<(String, String)>) -> Self {
        filters.sort();
        let mut hash = Sha256::new();
        for part in [path].into_iter().chain(filters.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()])) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut kept = [0; BINDING_BYTES];
        kept.copy_from_slice(&hash.finalize()[..BINDING_BYTES]);
        Self(kept)
    }
}

#[derive(Serialize, Deserialize)]
struct Cursor(Binding, Vec<String>);

/// The text of a cursor after the item with these keys.
pub(crate) fn encode(binding: Binding, keys: Vec<String>) -> String {
    let json = serde_json::to_vec(&Cursor(binding, keys)).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(json)
}

/// The keys in a cursor, or why it can't be used here.
pub(crate) fn decode(binding: Binding, text: &str) -> Result<Vec<String>, &'static str> {
    let malformed = "the cursor is not valid";
    if text.len() > CURSOR_MAX_BYTES {
        return Err(malformed);
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed)?;
    let Cursor(bound, keys) = serde_json::from_slice(&json).map_err(|_| malformed)?;
    if bound == binding { Ok(keys) } else { Err("the cursor belongs to other filters") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_cursor_works_for_its_filters_only() {
        let binding = Binding::of("/devices", filters(&[("a", "1"), ("b", "2")]));
        let text = encode(binding, vec!["d-1".into(), "2".into()]);
        let reordered = Binding::of("/devices", filters(&[("b", "2"), ("a", "1")]));
        assert_eq!(decode(reordered, &text), Ok(vec!["d-1".into(), "2".into()]));
        assert!(decode(Binding::of("/devices", filters(&[("a", "1")])), &text).is_err());
        assert!(decode(Binding::of("/updates", filters(&[("a", "1"), ("b", "2")])), &text).is_err());
    }

    #[test]
    fn garbage_is_no_cursor() {
        let binding = Binding::of("/devices", vec![]);
        for bad in ["zzz", "", "!", &"A".repeat(5_000)] {
            assert!(decode(binding, bad).is_err(), "{bad}");
        }
    }
}
