//! Master keys, and their text: one key a line, `ID:KEY`, KEY being 32 bytes in hex.

use std::fmt;
use std::str::FromStr;

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Longest id of a key, in bytes.
pub const KEY_ID_MAX_BYTES: usize = 32;
/// Most keys of one installation. Rotation needs two.
pub const MASTER_KEYS_MAX: usize = 16;
/// Random bytes of the id of a generated key.
const GENERATED_ID_BYTES: usize = 4;

/// Name of a master key, in every value that it sealed: `[A-Za-z0-9][A-Za-z0-9_-]{0,31}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

/// A key with its id. It does not print itself.
#[derive(Clone)]
pub struct MasterKey {
    pub(crate) id: KeyId,
    pub(crate) key: LessSafeKey,
}

/// The master keys of an installation: the first seals, all open.
#[derive(Clone)]
pub struct MasterKeys(Vec<MasterKey>);

/// Why a text has no usable master keys. It never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMasterKeys {
    #[error("there is no master key")]
    Empty,
    #[error("line {line} is not a master key: ID:KEY, such as 2026a:KEY, KEY being what `openssl rand -hex 32` prints")]
    Malformed { line: usize },
    #[error("two master keys have the id {id}")]
    Twice { id: KeyId },
    #[error("there are more than {MASTER_KEYS_MAX} master keys")]
    TooMany,
}

impl KeyId {
    pub(crate) fn new(text: &str) -> Option<Self> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let is_id = begins_well && text.len() <= KEY_ID_MAX_BYTES && text.bytes().all(is_plain);
        is_id.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl MasterKey {
    fn parse(line: &str) -> Option<Self> {
        let (id, key) = line.split_once(':')?;
        let mut bytes = [0; KEY_BYTES];
        hex::decode_to_slice(key, &mut bytes).ok()?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
        Some(Self { id: KeyId::new(id)?, key: LessSafeKey::new(key) })
    }

    /// Text of a new random key with a random id.
    pub fn generate_text() -> String {
        let (id, key): ([u8; GENERATED_ID_BYTES], [u8; KEY_BYTES]) = rand::random();
        format!("k{}:{}", hex::encode(id), hex::encode(key))
    }
}

impl MasterKeys {
    /// The key that seals.
    pub(crate) fn first(&self) -> &MasterKey {
        &self.0[0]
    }

    /// The id of the key that seals.
    pub fn first_id(&self) -> &KeyId {
        &self.first().id
    }

    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.0.iter().map(|key| &key.id)
    }

    pub(crate) fn get(&self, id: &KeyId) -> Option<&MasterKey> {
        self.0.iter().find(|key| key.id == *id)
    }
}

impl FromStr for MasterKeys {
    type Err = InvalidMasterKeys;

    /// Empty lines and lines that begin with `#` are skipped.
    fn from_str(text: &str) -> Result<Self, InvalidMasterKeys> {
        let lines = text.lines().map(str::trim).enumerate();
        let mut keys: Vec<MasterKey> = Vec::new();
        for (index, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let key = MasterKey::parse(line).ok_or(InvalidMasterKeys::Malformed { line: index + 1 })?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(InvalidMasterKeys::Twice { id: key.id });
            }
            if keys.len() == MASTER_KEYS_MAX {
                return Err(InvalidMasterKeys::TooMany);
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(InvalidMasterKeys::Empty) } else { Ok(Self(keys)) }
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn the_first_key_seals_and_all_are_known() {
        let text = format!("# new\nb:{KEY}\n\n  a:{KEY}\r\n");
        let keys: MasterKeys = text.parse().unwrap();
        assert_eq!(keys.first_id().as_str(), "b");
        assert_eq!(keys.ids().map(KeyId::as_str).collect::<Vec<_>>(), ["b", "a"]);
        let shown = format!("{keys:?}");
        assert!(!shown.contains("0001") && shown.contains('b'), "{shown}");
    }

    #[test]
    fn a_generated_key_is_usable() {
        let (one, other) = (MasterKey::generate_text(), MasterKey::generate_text());
        assert!(one != other && one.parse::<MasterKeys>().is_ok());
    }

    #[test]
    fn other_texts_are_refused_and_not_repeated() {
        let many: String = (0..=MASTER_KEYS_MAX).map(|n| format!("k{n}:{KEY}\n")).collect();
        for (text, wanted) in [
            (String::new(), "no master key"),
            ("# only a remark".to_owned(), "no master key"),
            (format!("a:{KEY}\n{KEY}"), "line 2"),
            (format!("a:{}", &KEY[..62]), "line 1"),
            (format!("a:{KEY}00"), "line 1"),
            (format!("-a:{KEY}"), "line 1"),
            (format!("a b:{KEY}"), "line 1"),
            (format!("{}:{KEY}", "a".repeat(33)), "line 1"),
            (format!("a:{KEY}\na:{KEY}"), "the id a"),
            (many, "more than 16"),
        ] {
            let error = text.parse::<MasterKeys>().unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains("0102"), "{text}: {error}");
        }
    }
}
