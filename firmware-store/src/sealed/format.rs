//! The form of a sealed object: a head, then chunks. Pure.
//!
//! The head has a magic number, the name of the tenant's key and a random salt. From the key, the salt and the tenant's name HKDF-SHA256 makes
//! a key for this object alone. Each chunk of 64 KiB is sealed by AES-256-GCM. Its nonce is its number and whether it is the last, and the head
//! is associated data. So chunks can be opened alone, and none can be changed, left out, moved, or taken from another object. A nonce comes
//! once for each key. An empty object has one empty chunk.

use std::ops::Range;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

use super::keys::{KeyId, TenantKey};

/// Plain bytes of each chunk but the last.
pub(super) const CHUNK_BYTES: u64 = 64 * 1024;
const TAG_BYTES: u64 = 16;
const SEALED_CHUNK_BYTES: u64 = CHUNK_BYTES + TAG_BYTES;
/// The form of the object.
const MAGIC: &[u8; 4] = b"WBF1";
const ID_BYTES: usize = 16;
const SALT_BYTES: usize = 32;
pub(super) const HEAD_BYTES: u64 = (MAGIC.len() + ID_BYTES + SALT_BYTES) as u64;
/// Separates these keys from any other use of a tenant's key. The tenant's name follows.
const PURPOSE: &[u8] = b"waybill firmware at rest v1\n";

/// Why an object can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    #[error("it isn't a sealed object")]
    Form,
    #[error("it was changed, or sealed with another key")]
    Changed,
    #[error("it can't be sealed")]
    Failed,
}

/// The first bytes of a sealed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) key: KeyId,
    salt: [u8; SALT_BYTES],
}

impl Head {
    /// For a new object.
    pub(super) fn new(key: KeyId) -> Result<Self, OpenError> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).map_err(|_| OpenError::Failed)?;
        Ok(Self { key, salt })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [&MAGIC[..], self.key.as_bytes(), &self.salt].concat()
    }

    /// Another one for each object that was ever sealed.
    pub(super) fn tag(&self) -> String {
        let digits: String = self.salt.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("\"{digits}\"")
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(OpenError::Form)?;
        let (id, salt) = rest.split_at_checked(ID_BYTES).ok_or(OpenError::Form)?;
        let key = Uuid::from_slice(id).map_err(|_| OpenError::Form)?;
        Ok(Self { key, salt: salt.try_into().map_err(|_| OpenError::Form)? })
    }
}

/// Seals and opens the chunks of one object.
pub(super) struct Chunks {
    key: LessSafeKey,
    head: Vec<u8>,
}

/// The length of an AES-256 key.
struct Aes256;

impl KeyType for Aes256 {
    fn len(&self) -> usize {
        AES_256_GCM.key_len()
    }
}

impl Chunks {
    pub(super) fn new(tenant: &str, TenantKey { key, .. }: &TenantKey, head: &Head) -> Result<Self, OpenError> {
        let secret = Salt::new(HKDF_SHA256, &head.salt).extract(key);
        let mut bytes = [0; 32];
        let purpose = [PURPOSE, tenant.as_bytes()];
        let made = secret.expand(&purpose, Aes256).and_then(|made| made.fill(&mut bytes));
        let unbound = made.and_then(|()| UnboundKey::new(&AES_256_GCM, &bytes)).map_err(|_| OpenError::Failed)?;
        Ok(Self { key: LessSafeKey::new(unbound), head: head.bytes() })
    }

    /// Seals a chunk in its place.
    pub(super) fn seal(&self, number: u64, is_last: bool, chunk: &mut Vec<u8>) -> Result<(), OpenError> {
        let sealed = self.key.seal_in_place_append_tag(nonce(number, is_last), Aad::from(&self.head), chunk);
        sealed.map_err(|_| OpenError::Failed)
    }

    /// Opens a chunk in its place.
    pub(super) fn open(&self, number: u64, is_last: bool, chunk: &mut Vec<u8>) -> Result<(), OpenError> {
        let opened = self.key.open_in_place(nonce(number, is_last), Aad::from(&self.head), chunk);
        let length = opened.map_err(|_| OpenError::Changed)?.len();
        chunk.truncate(length);
        Ok(())
    }
}

fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3] = u8::from(is_last);
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Plain bytes of a sealed object with this many; none if no sealed object has.
pub(super) fn plain_size(sealed: u64) -> Option<u64> {
    let body = sealed.checked_sub(HEAD_BYTES)?;
    let chunks = body.div_ceil(SEALED_CHUNK_BYTES);
    let last = body.checked_sub(chunks.checked_sub(1)? * SEALED_CHUNK_BYTES)?;
    // Only an empty object has an empty chunk.
    (last > TAG_BYTES || (last == TAG_BYTES && chunks == 1)).then(|| body - chunks * TAG_BYTES)
}

/// The chunks that have a range of plain bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Covering {
    /// Number of the first one.
    pub(super) first: u64,
    /// Number of the object's last one.
    pub(super) last_of_object: u64,
    /// Where they are in the sealed object.
    pub(super) sealed: Range<u64>,
    /// Plain bytes of the first one that aren't wanted.
    pub(super) skipped: u64,
}

/// The chunks of a range of an object with this many plain bytes. The range is within it.
pub(super) fn covering(range: &Range<u64>, plain_size: u64) -> Covering {
    let last_of_object = plain_size.saturating_sub(1) / CHUNK_BYTES;
    let first = (range.start / CHUNK_BYTES).min(last_of_object);
    let last = range.end.saturating_sub(1).max(range.start) / CHUNK_BYTES;
    let last = last.min(last_of_object);
    let start = HEAD_BYTES + first * SEALED_CHUNK_BYTES;
    let end_of_object = HEAD_BYTES + plain_size + (last_of_object + 1) * TAG_BYTES;
    let end = (HEAD_BYTES + (last + 1) * SEALED_CHUNK_BYTES).min(end_of_object);
    Covering { first, last_of_object, sealed: start..end, skipped: range.start - first * CHUNK_BYTES }
}

/// End of the chunks that have the plain bytes before `end`, in an object that is large enough.
pub(super) fn sealed_end(end: u64) -> u64 {
    let chunks = end.saturating_sub(1) / CHUNK_BYTES + 1;
    HEAD_BYTES.saturating_add(chunks.saturating_mul(SEALED_CHUNK_BYTES))
}

/// Bytes of a chunk as it is stored, by its number.
pub(super) fn sealed_chunk_bytes(number: u64, plain_size: u64) -> u64 {
    let before = number * CHUNK_BYTES;
    (plain_size - before.min(plain_size)).min(CHUNK_BYTES) + TAG_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> TenantKey {
        TenantKey { id: Uuid::from_u128(7), key: [byte; 32] }
    }

    #[test]
    fn sizes_are_those_of_chunks() {
        let sealed = |plain: u64| HEAD_BYTES + plain + plain.div_ceil(CHUNK_BYTES).max(1) * TAG_BYTES;
        for plain in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 << 30, (2 << 30) + 1] {
            assert_eq!(plain_size(sealed(plain)), Some(plain), "{plain}");
        }
        for none in [0, HEAD_BYTES, HEAD_BYTES + 15, sealed(CHUNK_BYTES) + 1, sealed(CHUNK_BYTES) + TAG_BYTES] {
            assert_eq!(plain_size(none), None, "{none}");
        }
    }

    #[test]
    fn a_range_is_covered_by_the_fewest_chunks() {
        let size = 3 * CHUNK_BYTES + 5;
        for (range, first, count, skipped) in [
            (0..size, 0, 4, 0),
            (0..1, 0, 1, 0),
            (CHUNK_BYTES - 1..CHUNK_BYTES + 1, 0, 2, CHUNK_BYTES - 1),
            (CHUNK_BYTES..2 * CHUNK_BYTES, 1, 1, 0),
            (size - 1..size, 3, 1, 4),
        ] {
            let found = covering(&range, size);
            let bytes: u64 = (first..first + count).map(|number| sealed_chunk_bytes(number, size)).sum();
            assert_eq!(
                (found.first, found.skipped, found.sealed.end - found.sealed.start),
                (first, skipped, bytes),
                "{range:?}"
            );
            assert_eq!(found.last_of_object, 3);
            assert!(sealed_end(range.end) >= found.sealed.end, "{range:?}");
        }
        let empty = covering(&(0..0), 0);
        assert_eq!((empty.first, empty.last_of_object, empty.sealed), (0, 0, HEAD_BYTES..HEAD_BYTES + TAG_BYTES));
    }

    #[test]
    fn no_chunk_opens_elsewhere_or_changed() {
        let head = Head::new(key(1).id).unwrap();
        let chunks = Chunks::new("acme", &key(1), &head).unwrap();
        let mut chunk = b"firmware".to_vec();
        chunks.seal(3, false, &mut chunk).unwrap();
        let open = |chunks: &Chunks, number, is_last, bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            chunks.open(number, is_last, &mut bytes).map(|()| bytes)
        };
        assert_eq!(open(&chunks, 3, false, &chunk), Ok(b"firmware".to_vec()));
        let of_other_key = Chunks::new("acme", &key(2), &head).unwrap();
        let of_other_object = Chunks::new("acme", &key(1), &Head::new(key(1).id).unwrap()).unwrap();
        let of_other_tenant = Chunks::new("globex", &key(1), &head).unwrap();
        for (chunks, number, is_last) in [
            (&chunks, 2, false),
            (&chunks, 3, true),
            (&of_other_key, 3, false),
            (&of_other_object, 3, false),
            (&of_other_tenant, 3, false),
        ] {
            assert_eq!(open(chunks, number, is_last, &chunk), Err(OpenError::Changed));
        }
        for index in 0..chunk.len() {
            let mut changed = chunk.clone();
            changed[index] ^= 1;
            assert_eq!(open(&chunks, 3, false, &changed), Err(OpenError::Changed), "{index}");
        }
    }

    #[test]
    fn a_head_is_what_it_was_written_as() {
        let head = Head::new(key(1).id).unwrap();
        assert_eq!(head.bytes().len() as u64, HEAD_BYTES);
        assert_eq!(Head::parse(&head.bytes()), Ok(head.clone()));
        assert_eq!(Head::parse(&head.bytes()[1..]), Err(OpenError::Form));
        assert_eq!(Head::parse(&[head.bytes(), vec![0]].concat()), Err(OpenError::Form));
        assert_ne!(Head::new(key(1).id).unwrap(), head, "another salt");
    }
}
