//! Sealed values: AES-256-GCM under a master key, bound to a purpose and a place. The place of a secret is its tenant and its name.
//!
//! Binary form, version 1: the version, the length of the key's id, the id, 12 random bytes (nonce), the encrypted value, 16 bytes of
//! authentication. Authenticated with it: the purpose, everything before the nonce, and the place. So a sealed value that was moved to
//! another place, such as another tenant, doesn't open.
//!
//! A random nonce must not come twice under one key. After 2^32 values the chance is 2^-33; a secret is sealed when it changes and when
//! keys are rotated.

use domain::{SecretName, TenantId};
use ring::aead::{Aad, NONCE_LEN, Nonce};

use crate::master_key::{KeyId, MasterKeys};
use crate::secret_value::SecretValue;

/// Version of the binary form.
const VERSION: u8 = 1;
/// Bytes of authentication.
const TAG_BYTES: usize = 16;
/// Most bytes that sealing adds to a value.
pub const SEAL_MAX_BYTES: usize = 2 + crate::master_key::KEY_ID_MAX_BYTES + NONCE_LEN + TAG_BYTES;

/// What a value is sealed for. It doesn't open for another purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A secret of a tenant.
    Secret,
    /// A web session of a person.
    Session,
    /// A sign-in that has begun, in the browser's keeping.
    SignIn,
    /// A ticket that opens one stream.
    StreamTicket,
}

impl Purpose {
    /// Never change these: stored values were sealed with them.
    fn word(self) -> &'static [u8] {
        match self {
            Self::Secret => b"waybill-secret",
            Self::Session => b"waybill-session",
            Self::SignIn => b"waybill-sign-in",
            Self::StreamTicket => b"waybill-stream-ticket",
        }
    }
}

/// Why a sealed value can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("it is sealed under master key {0}, which isn't among the given ones")]
    UnknownKey(KeyId),
    #[error(
        "it doesn't open under master key {0}: it was changed, or belongs to another tenant or name, or another key had this id"
    )]
    Refused(KeyId),
    #[error("it has not the form of a sealed value, or one of a newer version")]
    Malformed,
}

/// Id of the key under which a value is sealed. It says nothing about whether the value opens.
pub fn sealing_key(sealed: &[u8]) -> Option<KeyId> {
    parts(sealed).map(|parts| parts.key)
}

impl MasterKeys {
    /// Seals a secret of a tenant under the first key.
    pub fn seal(&self, tenant: &TenantId, name: &SecretName, value: &SecretValue) -> Vec<u8> {
        self.seal_for(Purpose::Secret, &[tenant.as_str(), name.as_str()], value)
    }

    /// The secret, if one of the keys has sealed it for this tenant and name.
    pub fn open(&self, tenant: &TenantId, name: &SecretName, sealed: &[u8]) -> Result<SecretValue, OpenError> {
        self.open_for(Purpose::Secret, &[tenant.as_str(), name.as_str()], sealed)
    }

    /// Seals a value under the first key. Each part of the place has at most 255 bytes.
    pub fn seal_for(&self, purpose: Purpose, place: &[&str], value: &SecretValue) -> Vec<u8> {
        self.seal_with(rand::random(), purpose, place, value)
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], purpose: Purpose, place: &[&str], value: &SecretValue) -> Vec<u8> {
        let key = self.first();
        let id = key.id.as_str().as_bytes();
        let id_bytes = u8::try_from(id.len()).expect("ids of keys are short");
        let header = [&[VERSION, id_bytes], id].concat();
        let mut text = value.reveal().to_vec();
        let place = Aad::from(authenticated(purpose, &header, place));
        let sealed = key.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place, &mut text);
        sealed.expect("AES-GCM takes values up to 64 GiB");
        [&header[..], &nonce, &text].concat()
    }

    /// The value, if one of the keys has sealed it for this purpose and place.
    pub fn open_for(&self, purpose: Purpose, place: &[&str], sealed: &[u8]) -> Result<SecretValue, OpenError> {
        let Parts { header, key: id, nonce, text } = parts(sealed).ok_or(OpenError::Malformed)?;
        let Some(key) = self.get(&id) else { return Err(OpenError::UnknownKey(id)) };
        let mut text = text.to_vec();
        let place = Aad::from(authenticated(purpose, header, place));
        match key.key.open_in_place(Nonce::assume_unique_for_key(nonce), place, &mut text) {
            Ok(value) => Ok(SecretValue::new(&*value)),
            Err(_) => Err(OpenError::Refused(id)),
        }
    }
}

struct Parts<'a> {
    header: &'a [u8],
    key: KeyId,
    nonce: [u8; NONCE_LEN],
    text: &'a [u8],
}

fn parts(sealed: &[u8]) -> Option<Parts<'_>> {
    let [VERSION, id_bytes, rest @ ..] = sealed else { return None };
    let (id, rest) = rest.split_at_checked(usize::from(*id_bytes))?;
    let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
    let key = KeyId::new(std::str::from_utf8(id).ok()?)?;
    Some(Parts { header: &sealed[..2 + id.len()], key, nonce: *nonce, text })
}

/// Each part is preceded by its length, so that two places never give the same bytes.
fn authenticated(purpose: Purpose, header: &[u8], place: &[&str]) -> Vec<u8> {
    let mut bytes = [purpose.word(), header].concat();
    for part in place {
        bytes.push(u8::try_from(part.len()).expect("parts of a place are short"));
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    /// "geheim" of tenant acme, name api, sealed under key k1 with the nonce `nonce()`; made by another implementation of AES-GCM.
    const SEALED: &str = "01026b316465666768696a6b6c6d6e6f2f7eb60310842563043ef2c04124597840ed413b1a4e";

    fn keys(text: &str) -> MasterKeys {
        text.parse().unwrap()
    }

    fn place(tenant: &str, name: &str) -> (TenantId, SecretName) {
        (TenantId::new(tenant).unwrap(), SecretName::new(name).unwrap())
    }

    fn nonce() -> [u8; NONCE_LEN] {
        std::array::from_fn(|n| 100 + n as u8)
    }

    /// Never change this: the bucket has values of this form.
    #[test]
    fn the_form_is_fixed() {
        let (tenant, name) = place("acme", "api");
        let keys = keys(&format!("k1:{KEY}"));
        let sealed = keys.seal_with(nonce(), Purpose::Secret, &["acme", "api"], &SecretValue::new(*b"geheim"));
        assert_eq!(hex::encode(&sealed), SEALED);
        assert_eq!(keys.open(&tenant, &name, &sealed).unwrap().reveal(), b"geheim");
        assert_eq!(sealing_key(&sealed).unwrap().as_str(), "k1");
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let (tenant, name) = place("acme", "api");
        let keys = keys(&format!("k1:{KEY}\nk2:{OTHER_KEY}\nj1:{KEY}"));
        let sealed = hex::decode(SEALED).unwrap();
        for at in 0..sealed.len() {
            for change in 1..=u8::MAX {
                let mut changed = sealed.clone();
                changed[at] ^= change;
                assert!(keys.open(&tenant, &name, &changed).is_err(), "byte {at} ^ {change}");
            }
            assert!(keys.open(&tenant, &name, &sealed[..at]).is_err(), "the first {at} bytes");
        }
        assert!(keys.open(&tenant, &name, &[&sealed[..], &[0]].concat()).is_err());
        assert!(keys.open(&tenant, &name, &sealed).is_ok());
    }

    #[test]
    fn a_value_opens_only_in_its_place() {
        let keys = keys(&format!("k1:{KEY}"));
        let sealed = hex::decode(SEALED).unwrap();
        for (tenant, name) in [("acme", "ap"), ("acm", "api"), ("acme", "api2"), ("api", "acme"), ("acmeapi", "a")] {
            let (tenant, name) = place(tenant, name);
            assert!(matches!(keys.open(&tenant, &name, &sealed), Err(OpenError::Refused(_))), "{tenant}/{name}");
        }
    }

    #[test]
    fn a_value_opens_only_for_its_purpose() {
        let keys = keys(&format!("k1:{KEY}"));
        let value = SecretValue::new(*b"geheim");
        let purposes = [Purpose::Secret, Purpose::Session, Purpose::SignIn, Purpose::StreamTicket];
        for sealed_for in purposes {
            let sealed = keys.seal_for(sealed_for, &["a"], &value);
            for purpose in purposes {
                assert_eq!(keys.open_for(purpose, &["a"], &sealed).is_ok(), purpose == sealed_for);
            }
        }
    }

    #[test]
    fn a_key_that_is_missing_or_another_one_is_named() {
        let (tenant, name) = place("acme", "api");
        let sealed = hex::decode(SEALED).unwrap();
        let missing = keys(&format!("k2:{KEY}")).open(&tenant, &name, &sealed).unwrap_err();
        assert!(missing.to_string().contains("master key k1, which isn't among the given ones"), "{missing}");
        let wrong = keys(&format!("k1:{OTHER_KEY}")).open(&tenant, &name, &sealed).unwrap_err();
        assert!(wrong.to_string().contains("doesn't open under master key k1"), "{wrong}");
        assert_eq!(keys(&format!("k1:{KEY}")).open(&tenant, &name, b"geheim"), Err(OpenError::Malformed));
    }

    #[test]
    fn the_same_value_is_never_sealed_to_the_same_bytes() {
        let (tenant, name) = place("acme", "api");
        let (keys, value) = (keys(&format!("k1:{KEY}")), SecretValue::new(vec![7; 100]));
        let (one, other) = (keys.seal(&tenant, &name, &value), keys.seal(&tenant, &name, &value));
        assert_ne!(one, other);
        assert!(one.len() <= 100 + SEAL_MAX_BYTES);
        assert_eq!(format!("{value:?}"), "…");
    }
}
