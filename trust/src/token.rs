//! The tokens: `wbd_…` of a device, `wbr_…` for the registration of devices.
//!
//! A registration token names its tenant and its id, so that it can be found, and so that firmware needs nothing but the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{RegistrationTokenId, TenantId};
use uuid::Uuid;

use crate::secret_text::SecretText;

/// Beginning of every device's token.
const DEVICE: &str = "wbd_";
/// Beginning of every registration token.
const REGISTRATION: &str = "wbr_";
/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;
/// The same in base64url without padding.
const RANDOM_DIGITS: usize = 43;
/// Hex digits of an id in a token.
const ID_DIGITS: usize = 32;

/// A device's token: its password. `wbd_` and 32 random bytes in base64url.
#[derive(Debug, Clone)]
pub struct DeviceToken(SecretText);

/// A token with which devices register themselves: `wbr_{tenant}_{id}_` and 32 random bytes in base64url.
#[derive(Debug, Clone)]
pub struct RegistrationToken {
    pub tenant: TenantId,
    pub id: RegistrationTokenId,
    text: SecretText,
}

impl DeviceToken {
    pub fn generate() -> Self {
        Self(SecretText::new(format!("{DEVICE}{}", random())))
    }

    /// The token, if the text has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        is_random(text.strip_prefix(DEVICE)?).then(|| Self(SecretText::new(text)))
    }
}

impl RegistrationToken {
    pub fn generate(tenant: TenantId, id: RegistrationTokenId) -> Self {
        let text = SecretText::new(format!("{REGISTRATION}{tenant}_{}_{}", id.0.simple(), random()));
        Self { tenant, id, text }
    }

    /// The token, if the text has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        // A tenant has no underscore; the random part may have some.
        let mut parts = text.strip_prefix(REGISTRATION)?.splitn(3, '_');
        let (tenant, id, random) = (parts.next()?, parts.next()?, parts.next()?);
        let is_id = id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_id || !is_random(random) {
            return None;
        }
        let (tenant, id) = (TenantId::new(tenant).ok()?, RegistrationTokenId(Uuid::try_parse(id).ok()?));
        Some(Self { tenant, id, text: SecretText::new(text) })
    }
}

impl AsRef<SecretText> for DeviceToken {
    fn as_ref(&self) -> &SecretText {
        &self.0
    }
}

impl AsRef<SecretText> for RegistrationToken {
    fn as_ref(&self) -> &SecretText {
        &self.text
    }
}

/// Whether a text begins like a token of a device or for devices, valid or not.
pub fn is_token_of_devices(text: &str) -> bool {
    text.starts_with(DEVICE) || text.starts_with(REGISTRATION)
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>())
}

/// The decoder refuses padding, and a last digit with unused bits: a token has one spelling.
fn is_random(text: &str) -> bool {
    text.len() == RANDOM_DIGITS && URL_SAFE_NO_PAD.decode(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> TenantId {
        TenantId::new("acme-2").unwrap()
    }

    #[test]
    fn a_device_token_reads_back() {
        let token = DeviceToken::generate();
        let text = token.as_ref().reveal();
        assert_eq!((text.len(), &text[..4]), (47, "wbd_"));
        assert_eq!(DeviceToken::parse(text).unwrap().as_ref().reveal(), text);
        assert_ne!(DeviceToken::generate().as_ref().reveal(), text);
    }

    #[test]
    fn a_registration_token_names_its_tenant_and_its_id() {
        let id = RegistrationTokenId(Uuid::from_u128(0x018f_4e2a));
        let token = RegistrationToken::generate(acme(), id);
        let text = token.as_ref().reveal();
        assert!(text.starts_with(&format!("wbr_acme-2_{}_", id.0.simple())), "{text}");
        let read = RegistrationToken::parse(text).unwrap();
        assert_eq!((read.tenant, read.id, read.text.reveal()), (acme(), id, text));
    }

    #[test]
    fn a_random_part_with_underscores_is_read_whole() {
        let random = "_".repeat(42) + "8";
        let text = format!("wbr_acme_{}_{random}", "0".repeat(32));
        assert_eq!(RegistrationToken::parse(&text).unwrap().text.reveal(), text);
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let (random, id) = ("A".repeat(43), "0".repeat(32));
        assert!(DeviceToken::parse(&format!("wbd_{random}")).is_some());
        for text in [
            String::new(),
            format!("wbd_{random}="),
            format!("wbd_{random}A"),
            format!("wbd_{}", "A".repeat(42)),
            format!("wbd_{}B", "A".repeat(42)),
            format!("wbd_{}+", "A".repeat(42)),
            format!("WBD_{random}"),
            format!("wbr_{random}"),
        ] {
            assert!(DeviceToken::parse(&text).is_none(), "{text}");
        }
        assert!(RegistrationToken::parse(&format!("wbr_acme_{id}_{random}")).is_some());
        for text in [
            format!("wbr_Acme_{id}_{random}"),
            format!("wbr_acme_{}_{random}", "A".repeat(32)),
            format!("wbr_acme_{}_{random}", "0".repeat(31)),
            format!("wbr_acme_{id}_"),
            format!("wbr_acme_{id}"),
            format!("wbr_{id}_{random}"),
            format!("wbd_acme_{id}_{random}"),
        ] {
            assert!(RegistrationToken::parse(&text).is_none(), "{text}");
        }
    }

    #[test]
    fn no_token_prints_itself() {
        let device = DeviceToken::generate();
        let registration = RegistrationToken::generate(acme(), RegistrationTokenId(Uuid::nil()));
        let shown = format!("{device:?} {registration:?}");
        assert!(!shown.contains("wbd_") && !shown.contains("wbr_") && shown.contains('…'), "{shown}");
    }

    #[test]
    fn what_begins_like_a_token_of_devices_is_recognised() {
        assert!(is_token_of_devices("wbd_x") && is_token_of_devices("wbr_") && !is_token_of_devices("eyJhbGciOi"));
    }
}
