//! The tokens: `wbd_…` of a device, `wbr_…` for the registration of devices, `wbk_…` (an API key) of a program, `wbs_…` of a web session,
//! `wbt_…` (a ticket) for one stream of live messages.
//!
//! A registration token and an API key name their tenant and their id, so that they can be found, and so that their holder needs nothing
//! but the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ApiKeyId, RegistrationTokenId, TenantId};
use uuid::Uuid;

use crate::secret_text::SecretText;

/// Beginning of every device's token.
const DEVICE: &str = "wbd_";
/// Beginning of every registration token.
const REGISTRATION: &str = "wbr_";
/// Beginning of every API key.
const API_KEY: &str = "wbk_";
/// Beginning of every session's token.
const SESSION: &str = "wbs_";
/// Beginning of every ticket.
const TICKET: &str = "wbt_";
/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;
/// The same in base64url without padding.
const RANDOM_DIGITS: usize = 43;
/// Hex digits of an id in a token.
const ID_DIGITS: usize = 32;
/// Hex digits of an id in the part of an API key that anyone may see.
const PREFIX_DIGITS: usize = 12;

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

/// A key with which a program uses the API: `wbk_{tenant}_{id}_` and 32 random bytes in base64url.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub tenant: TenantId,
    pub id: ApiKeyId,
    text: SecretText,
}

/// The token of a person's web session: `wbs_` and 32 random bytes in base64url.
#[derive(Debug, Clone)]
pub struct SessionToken(SecretText);

/// A ticket that opens one stream of live messages, once: `wbt_` and 32 random bytes in base64url.
#[derive(Debug, Clone)]
pub struct StreamTicket(SecretText);

impl StreamTicket {
    pub fn generate() -> Self {
        Self(SecretText::new(format!("{TICKET}{}", random())))
    }

    /// The ticket, if the text has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        is_random(text.strip_prefix(TICKET)?).then(|| Self(SecretText::new(text)))
    }
}

impl SessionToken {
    pub fn generate() -> Self {
        Self(SecretText::new(format!("{SESSION}{}", random())))
    }

    /// The token, if the text has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        is_random(text.strip_prefix(SESSION)?).then(|| Self(SecretText::new(text)))
    }
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
        let text = named(REGISTRATION, &tenant, id.0);
        Self { tenant, id, text }
    }

    /// The token, if the text has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (tenant, id) = names_in(REGISTRATION, text)?;
        Some(Self { tenant, id: RegistrationTokenId(id), text: SecretText::new(text) })
    }
}

impl ApiKey {
    pub fn generate(tenant: TenantId, id: ApiKeyId) -> Self {
        let text = named(API_KEY, &tenant, id.0);
        Self { tenant, id, text }
    }

    /// The key, if the text has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (tenant, id) = names_in(API_KEY, text)?;
        Some(Self { tenant, id: ApiKeyId(id), text: SecretText::new(text) })
    }

    /// The beginning of a key, by which people recognise it. It is no secret.
    pub fn prefix(tenant: &TenantId, id: ApiKeyId) -> String {
        let digits = id.0.simple().to_string();
        format!("{API_KEY}{tenant}_{}", &digits[..PREFIX_DIGITS])
    }
}

impl AsRef<SecretText> for DeviceToken {
    fn as_ref(&self) -> &SecretText {
        &self.0
    }
}

impl AsRef<SecretText> for SessionToken {
    fn as_ref(&self) -> &SecretText {
        &self.0
    }
}

impl AsRef<SecretText> for StreamTicket {
    fn as_ref(&self) -> &SecretText {
        &self.0
    }
}

impl AsRef<SecretText> for RegistrationToken {
    fn as_ref(&self) -> &SecretText {
        &self.text
    }
}

impl AsRef<SecretText> for ApiKey {
    fn as_ref(&self) -> &SecretText {
        &self.text
    }
}

/// A new token with names in it.
fn named(kind: &str, tenant: &TenantId, id: Uuid) -> SecretText {
    SecretText::new(format!("{kind}{tenant}_{}_{}", id.simple(), random()))
}

/// The names in a token, if the text has the form of one.
fn names_in(kind: &str, text: &str) -> Option<(TenantId, Uuid)> {
    // A tenant has no underscore; the random part may have some.
    let mut parts = text.strip_prefix(kind)?.splitn(3, '_');
    let (tenant, id, random) = (parts.next()?, parts.next()?, parts.next()?);
    let is_id = id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !is_id || !is_random(random) {
        return None;
    }
    Some((TenantId::new(tenant).ok()?, Uuid::try_parse(id).ok()?))
}

/// Whether a text begins like an API key, valid or not.
pub fn is_api_key(text: &str) -> bool {
    text.starts_with(API_KEY)
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
    fn an_api_key_names_its_tenant_and_its_id() {
        let id = ApiKeyId(Uuid::from_u128(0x018f_4e2a_7f00_7000_8000_0000_0000_0001));
        let key = ApiKey::generate(acme(), id);
        let text = key.as_ref().reveal();
        assert!(text.starts_with(&format!("wbk_acme-2_{}_", id.0.simple())), "{text}");
        let prefix = ApiKey::prefix(&acme(), id);
        assert!(prefix == "wbk_acme-2_018f4e2a7f00" && text.starts_with(&prefix), "{prefix}");
        let read = ApiKey::parse(text).unwrap();
        assert_eq!((read.tenant, read.id, read.text.reveal()), (acme(), id, text));
        assert!(is_api_key(text) && !is_token_of_devices(text) && !is_api_key("wbr_x") && !is_api_key("eyJhbGciOi"));
    }

    #[test]
    fn tokens_of_one_kind_are_none_of_another() {
        let api_key = ApiKey::generate(acme(), ApiKeyId(Uuid::nil()));
        let registration = RegistrationToken::generate(acme(), RegistrationTokenId(Uuid::nil()));
        assert!(RegistrationToken::parse(api_key.as_ref().reveal()).is_none());
        assert!(ApiKey::parse(registration.as_ref().reveal()).is_none());
    }

    #[test]
    fn a_session_token_reads_back_and_is_no_other_token() {
        let token = SessionToken::generate();
        let text = token.as_ref().reveal();
        assert_eq!((text.len(), &text[..4]), (47, "wbs_"));
        assert_eq!(SessionToken::parse(text).unwrap().as_ref().reveal(), text);
        assert!(DeviceToken::parse(text).is_none() && SessionToken::parse(&format!("{text}A")).is_none());
        assert!(!format!("{token:?}").contains("wbs_"));
    }

    #[test]
    fn a_ticket_reads_back_and_is_no_other_token() {
        let ticket = StreamTicket::generate();
        let text = ticket.as_ref().reveal();
        assert_eq!((text.len(), &text[..4]), (47, "wbt_"));
        assert_eq!(StreamTicket::parse(text).unwrap().as_ref().reveal(), text);
        assert!(SessionToken::parse(text).is_none() && StreamTicket::parse(&format!("{text}A")).is_none());
        assert!(!format!("{ticket:?}").contains("wbt_"));
    }

    #[test]
    fn no_token_prints_itself() {
        let device = DeviceToken::generate();
        let registration = RegistrationToken::generate(acme(), RegistrationTokenId(Uuid::nil()));
        let api_key = ApiKey::generate(acme(), ApiKeyId(Uuid::nil()));
        let shown = format!("{device:?} {registration:?} {api_key:?}");
        assert!(!shown.contains("wbd_") && !shown.contains("wbr_") && !shown.contains("wbk_"), "{shown}");
        assert!(shown.contains('…'), "{shown}");
    }

    #[test]
    fn what_begins_like_a_token_of_devices_is_recognised() {
        assert!(is_token_of_devices("wbd_x") && is_token_of_devices("wbr_") && !is_token_of_devices("eyJhbGciOi"));
    }
}
