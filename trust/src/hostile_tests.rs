//! Generated and known bad texts: nothing panics, and only texts of the exact form are tokens or names. The generator has a fixed seed.

use domain::RegistrationTokenId;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use uuid::Uuid;

use crate::login::CLIENT_SUFFIX_MAX_BYTES;
use crate::{DeviceLogin, DeviceToken, RegistrationToken, TokenHasher};

/// Cases of each test; in a long test run 20 times as many.
const CASES: u32 = 1_000;

fn config() -> ProptestConfig {
    let is_long = std::env::var_os("WAYBILL_TEST_LONG").is_some_and(|value| value == "1");
    let cases = if is_long { 20 * CASES } else { CASES };
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn device_token_has_its_form(text: &str) -> bool {
    text.len() == 47 && text.starts_with("wbd_") && is_base64url(text)
}

fn near_token() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,80}",
        "(wbd_|wbr_)[A-Za-z0-9_=+/-]{40,46}",
        "wbr_[a-z0-9_.-]{0,34}_[0-9a-fA-F]{31,33}_[A-Za-z0-9_=-]{42,44}",
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn only_the_exact_form_is_a_token(text in near_token()) {
        if let Some(token) = DeviceToken::parse(&text) {
            prop_assert!(device_token_has_its_form(&text), "{text}");
            prop_assert_eq!(token.as_ref().reveal(), text.as_str());
        }
        if let Some(token) = RegistrationToken::parse(&text) {
            prop_assert!(text.starts_with(&format!("wbr_{}_{}_", token.tenant, token.id.0.simple())), "{text}");
            prop_assert!(is_base64url(&text));
        }
    }

    #[test]
    fn another_token_has_another_hash(at in 4_usize..47, letter in "[A-Za-z0-9_-]") {
        let hasher = TokenHasher::new(vec![1; 32]);
        let token = DeviceToken::generate();
        let mut text = token.as_ref().reveal().to_owned();
        text.replace_range(at..=at, &letter);
        let is_same = text == token.as_ref().reveal();
        prop_assert!(DeviceToken::parse(&text).is_none_or(|other| (hasher.hash(&other) == hasher.hash(&token)) == is_same));
    }

    #[test]
    fn a_name_belongs_to_one_device(text in ".{0,80}|[a-z0-9./*>#+-]{0,20}/[A-Za-z0-9_:./*>#+-]{0,70}", client_id in "[ -~]{0,90}") {
        let Ok(login) = text.parse::<DeviceLogin>() else { return Ok(()) };
        prop_assert_eq!(login.to_string(), text.clone());
        prop_assert!(!text.contains(['.', '*', '>', '#', '+', ' ', '$']), "{text}");
        for client_id in [client_id.clone(), format!("{text}{client_id}"), format!("{text}/{client_id}")] {
            if login.may_use(&client_id) {
                let rest = client_id.strip_prefix(&text).unwrap();
                prop_assert!(rest.is_empty() || rest.starts_with('/'), "{client_id}");
                prop_assert!(rest.len() <= 1 + CLIENT_SUFFIX_MAX_BYTES && !rest.contains(['.', '*', '>', ' ']), "{client_id}");
            }
        }
    }
}

#[test]
fn known_bad_texts_are_nothing() {
    let random = "A".repeat(43);
    let id = RegistrationTokenId(Uuid::nil());
    let valid = format!("wbr_acme_{}_{random}", id.0.simple());
    assert!(RegistrationToken::parse(&valid).is_some());
    for text in [
        String::new(),
        "wbd_".to_owned(),
        "wbr_".to_owned(),
        "wbr___".to_owned(),
        format!("wbd_{random}\n"),
        format!(" wbd_{random}"),
        format!("wbd_{}", "é".repeat(21)),
        format!("wbd_{}\0", "A".repeat(42)),
        valid.replace("acme", ""),
        valid.replace("acme", "a.b"),
        valid.replace("acme", "*"),
        valid.replace("acme", ">"),
        valid.replace("acme", &"a".repeat(33)),
        valid.replace("acme", &"a".repeat(100_000)),
        format!("{valid}="),
        format!("{valid}{valid}"),
    ] {
        let shown: String = text.chars().take(80).collect();
        assert!(DeviceToken::parse(&text).is_none() && RegistrationToken::parse(&text).is_none(), "{shown}");
    }
    for name in [
        "",
        "/",
        "acme",
        "acme/",
        "/d-1",
        "acme/d-1/",
        "acme//d-1",
        "acme/d.1",
        "acme/*",
        "*/d-1",
        "acme/>",
        "$SYS/x",
        "acme/d\0",
    ] {
        assert!(name.parse::<DeviceLogin>().is_err(), "{name}");
    }
}
