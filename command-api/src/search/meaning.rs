//! What a text can be. Pure.

use domain::UpdateId;
use event_store::WrittenPosition;
use uuid::Uuid;

/// Fewest digits of a digest that are searched for.
const DIGEST_MIN_DIGITS: usize = 8;
/// Digits of a whole SHA-256.
const DIGEST_MAX_DIGITS: usize = 64;
/// Digits of a DevEUI.
const EUI_DIGITS: usize = 16;

/// A text, and all that it can be beside the beginning of an id or a name.
#[derive(Debug, PartialEq)]
pub(super) struct Meaning<'a> {
    pub(super) text: &'a str,
    pub(super) update: Option<UpdateId>,
    /// In lower case.
    pub(super) digest: Option<String>,
    /// In lower case.
    pub(super) eui: Option<String>,
    pub(super) correlation: Option<Uuid>,
    pub(super) position: Option<WrittenPosition>,
}

impl<'a> Meaning<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let lower = || text.to_ascii_lowercase();
        Self {
            text,
            update: text.parse().ok(),
            digest: is_digest(text).then(lower),
            eui: (text.len() == EUI_DIGITS && is_hexadecimal(text)).then(lower),
            correlation: text.parse().ok(),
            position: text.parse().ok(),
        }
    }
}

/// Whether a text is a SHA-256, or enough of its beginning.
pub(crate) fn is_digest(text: &str) -> bool {
    (DIGEST_MIN_DIGITS..=DIGEST_MAX_DIGITS).contains(&text.len()) && is_hexadecimal(text)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text can be, by the names of the fields.
    fn read(text: &str) -> Vec<&'static str> {
        let Meaning { update, digest, eui, correlation, position, .. } = Meaning::of(text);
        let all = [
            (update.is_some(), "update"),
            (digest.is_some(), "digest"),
            (eui.is_some(), "eui"),
            (correlation.is_some(), "correlation"),
            (position.is_some(), "position"),
        ];
        all.into_iter().filter_map(|(is, name)| is.then_some(name)).collect()
    }

    #[test]
    fn a_text_can_be_several_things() {
        for (text, meant) in [
            ("d-1", vec![]),
            ("d-1~17", vec!["update"]),
            ("d-1~0", vec![]),
            ("0102030405060708", vec!["digest", "eui", "position"]),
            ("DEADBEEF", vec!["digest"]),
            ("deadbee", vec![]),
            (&"a".repeat(64), vec!["digest"]),
            (&"a".repeat(65), vec![]),
            ("0190d3a4-0000-7000-8000-000000000001", vec!["correlation"]),
            ("42", vec!["position"]),
            ("1790000000123-42.1", vec!["position"]),
            ("é".repeat(8).as_str(), vec![]),
        ] {
            assert_eq!(read(text), meant, "{text}");
        }
        assert_eq!(Meaning::of("DEADBEEF").digest.as_deref(), Some("deadbeef"));
    }
}
