//! Generated and known bad texts for everything that proves something or comes from the network: nothing panics, and nothing passes that
//! wasn't made here. The generator has a fixed seed.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{DeviceId, FirmwareId, TenantId};
use event_store::PositionToken;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use uuid::Uuid;

use super::{Api, token_rules};
use crate::client_address::{ForwardedHeader, TrustedProxies};
use crate::firmware::filename;
use crate::http::cursor::{self, Binding};
use crate::links::DownloadLinks;
use crate::tokens::Tokens;

/// Cases of each test; in a long test run 20 times as many.
const CASES: u32 = 500;

/// Texts that have broken parsers.
fn known_bad() -> Vec<String> {
    let fixed = [
        "",
        " ",
        ".",
        "..",
        "...",
        "....",
        "\0",
        "\u{feff}",
        "\u{202e}",
        "🦀",
        "é\u{301}",
        "null",
        "{}",
        "[]",
        "%00",
        "%",
        "%zz",
        "%c0%ae",
        "../../etc/passwd",
        "e30.e30.",
        "e30.e30.e30",
        "-",
        "-1",
        "--",
        "0-0-0",
        "18446744073709551616-1",
        "1-18446744073709551616",
        "eyJhbGciOiJub25lIn0.e30.",
        "eyJhbGciOiJOT05FIn0.e30.",
        "a.b.c.d.e",
        "=",
        "====",
        "AAAA=",
        "for=",
        "for=\"",
        "for=[",
        "for=[::",
        "for=]",
        ",",
        ",,,,",
        ";=;",
        "for=1.2.3.4.5",
        "for=::ffff:1.2.3.4",
        "999.999.999.999",
        "1.2.3.4:99999",
        "[::1",
        "::1]",
        "0x7f.1",
        "Bearer",
        "wbd_",
        "wbr_",
        "wbr___",
        "wbr_a_b_c",
    ];
    let long = ["a", ".", "%", "_", "é", "[", "\"", ",", "A="].map(|part| part.repeat(20_000));
    fixed.into_iter().map(str::to_owned).chain(long).collect()
}

fn config() -> ProptestConfig {
    let is_long = std::env::var_os("WAYBILL_TEST_LONG").is_some_and(|value| value == "1");
    let cases = if is_long { 20 * CASES } else { CASES };
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

/// A change of a text: characters replaced, cut off, put in, or taken from another text.
#[derive(Debug, Clone)]
enum Edit {
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, char),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
    Splice(prop::sample::Index),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let index = any::<prop::sample::Index>;
    let letter = || prop_oneof![prop::char::range('!', '~'), any::<char>()];
    let one = prop_oneof![
        (index(), letter()).prop_map(|(at, c)| Edit::Replace(at, c)),
        (index(), letter()).prop_map(|(at, c)| Edit::Insert(at, c)),
        index().prop_map(Edit::Remove),
        index().prop_map(Edit::Cut),
        index().prop_map(Edit::Splice),
    ];
    prop::collection::vec(one, 1..4)
}

fn edited(text: &str, other: &str, edits: &[Edit]) -> String {
    let (mut chars, other): (Vec<char>, Vec<char>) = (text.chars().collect(), other.chars().collect());
    for edit in edits {
        let length = chars.len().max(1);
        match edit {
            Edit::Insert(at, c) => chars.insert(at.index(chars.len() + 1), *c),
            _ if chars.is_empty() => {}
            Edit::Replace(at, c) => chars[at.index(length)] = *c,
            Edit::Remove(at) => drop(chars.remove(at.index(length))),
            Edit::Cut(at) => chars.truncate(at.index(length)),
            Edit::Splice(at) => {
                let at = at.index(length);
                chars.truncate(at);
                chars.extend(other.iter().skip(at));
            }
        }
    }
    chars.into_iter().collect()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn links() -> DownloadLinks {
    DownloadLinks::new(vec![1; 32], String::new())
}

/// Two valid tokens of links: of a device's update and of another tenant.
fn link_tokens() -> [String; 2] {
    let device = DeviceId::new("d-1").unwrap();
    let token = |tenant: &str, device: Option<(&DeviceId, u32, u16)>| {
        let (tenant, firmware) = (TenantId::new(tenant).unwrap(), FirmwareId(Uuid::from_u128(7)));
        let link = links().link(&tenant, &firmware, device, now() + TimeDelta::hours(1));
        link.strip_prefix("/d/").unwrap().to_owned()
    };
    [token("acme", Some((&device, 3, 1))), token("globex", None)]
}

fn is_link(token: &str) -> bool {
    links().read(token, now()).is_ok()
}

/// Two valid bearer tokens, of other tenants and roles.
fn bearer_tokens() -> [String; 2] {
    [super::token("acme", crate::caller::Role::Viewer), super::token("globex", crate::caller::Role::Admin)]
}

fn is_bearer(tokens: &Tokens, token: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(tokens.verify(token)).is_ok()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_link_passes_that_was_not_made(text in ".{0,200}", edits in edits()) {
        let [one, other] = link_tokens();
        prop_assert!(!is_link(&text));
        for (one, other) in [(&one, &other), (&other, &one)] {
            let changed = edited(one, other, &edits);
            prop_assert!(!is_link(&changed) || [one, other].contains(&&changed), "{changed}");
        }
    }

    #[test]
    fn no_bearer_token_passes_that_was_not_signed(text in "[A-Za-z0-9_.-]{0,200}|.{0,50}", edits in edits()) {
        let tokens = Tokens::new(&token_rules());
        let [one, other] = bearer_tokens();
        prop_assert!(!is_bearer(&tokens, &text));
        for (one, other) in [(&one, &other), (&other, &one)] {
            let changed = edited(one, other, &edits);
            prop_assert!(!is_bearer(&tokens, &changed) || [one, other].contains(&&changed), "{changed}");
        }
    }

    #[test]
    fn no_claims_pass_under_another_signature(header in ".{0,40}", claims in ".{0,80}", signature in prop::collection::vec(any::<u8>(), 0..64)) {
        let tokens = Tokens::new(&token_rules());
        let valid = bearer_tokens()[1].clone();
        let parts: Vec<&str> = valid.split('.').collect();
        let [header, claims, signature] =
            [header.as_bytes(), claims.as_bytes(), &signature].map(|part| URL_SAFE_NO_PAD.encode(part));
        for forged in [
            format!("{header}.{}.{}", parts[1], parts[2]),
            format!("{}.{claims}.{}", parts[0], parts[2]),
            format!("{}.{}.{signature}", parts[0], parts[1]),
            format!("{header}.{claims}.{signature}"),
        ] {
            prop_assert!(!is_bearer(&tokens, &forged), "{forged}");
        }
    }

    #[test]
    fn no_cursor_panics_or_leaves_its_list(text in ".{0,200}", keys in prop::collection::vec(".{0,20}", 0..3), edits in edits()) {
        let [devices, updates] = ["/devices", "/updates"].map(|path| Binding::of(path, vec![]));
        let cursor = cursor::encode(devices, keys.clone());
        prop_assert_eq!(cursor::decode(devices, &cursor), Ok(keys));
        prop_assert!(cursor::decode(updates, &cursor).is_err());
        drop((cursor::decode(devices, &text), cursor::decode(devices, &edited(&cursor, &text, &edits))));
    }

    #[test]
    fn no_position_panics_or_reads_as_another(text in "[0-9.-]{0,40}|.{0,40}") {
        if let Ok(position) = text.parse::<PositionToken>() {
            prop_assert_eq!(position.to_string().parse::<PositionToken>().unwrap(), position);
        }
    }

    #[test]
    fn a_client_can_not_choose_its_address(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "[for=\"\\[\\],;: 0-9a-f.]{0,80}") {
        for sent in [bytes.as_slice(), text.as_bytes()] {
            for (header, name, hop) in [
                (ForwardedHeader::Forwarded, "forwarded", &b", for=203.0.113.9"[..]),
                (ForwardedHeader::XForwardedFor, "x-forwarded-for", b", 203.0.113.9"),
            ] {
                let trusted = TrustedProxies { networks: vec!["10.0.0.0/8".parse().unwrap()], header };
                let client = |connection: &str, lines: &[&[u8]]| {
                    let mut headers = HeaderMap::new();
                    for line in lines {
                        headers.append(name, HeaderValue::from_bytes(line).ok()?);
                    }
                    Some(trusted.client(connection.parse().unwrap(), &headers).to_string())
                };
                let appended = [sent, hop].concat();
                prop_assert!(client("198.51.100.7", &[sent]).is_none_or(|client| client == "198.51.100.7"));
                let is_the_hop = |client: Option<String>| client.is_none_or(|client| client == "203.0.113.9" || client == "10.0.0.1");
                let is_ascii = appended.is_ascii();
                let named = client("10.0.0.1", &[&appended]);
                prop_assert!(is_the_hop(named.clone()), "{named:?}");
                prop_assert!(!is_ascii || named.is_none_or(|client| client == "203.0.113.9"));
                prop_assert!(is_the_hop(client("10.0.0.1", &[sent, &hop[2..]])));
            }
        }
    }

    #[test]
    fn a_file_name_stays_one(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "(filename\\*?=)?(UTF-8'')?[\"'%./\\\\a-f0-9;=]{0,80}") {
        for sent in [bytes.as_slice(), text.as_bytes()] {
            let header = [b"form-data; ".as_slice(), sent].concat();
            for header in [header.clone(), [b"form-data; filename=\"", sent, b"\""].concat()] {
                let Some(name) = filename::uploaded(&header) else { continue };
                prop_assert!(!name.contains(['/', '\\', '"']) && !name.chars().any(char::is_control), "{name:?}");
                prop_assert!(!["", ".", ".."].contains(&name.as_str()) && name.chars().count() <= 200);
                prop_assert!(HeaderValue::from_str(&filename::attachment(Some(&name))).is_ok());
            }
        }
    }
}

#[test]
fn known_bad_texts_prove_nothing() {
    let tokens = Tokens::new(&token_rules());
    let binding = Binding::of("/devices", vec![]);
    for text in known_bad() {
        assert!(!is_link(&text) && !is_bearer(&tokens, &text), "{text}");
        assert!(cursor::decode(binding, &text).is_err(), "{text}");
        assert!(text.parse::<PositionToken>().is_err(), "{text}");
        drop(filename::uploaded(text.as_bytes()));
    }
}

#[tokio::test]
async fn known_bad_texts_are_answered_like_any_other() {
    let api = Api::new();
    for text in known_bad() {
        let shown: String = text.chars().take(30).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("Bearer {text}")) {
            let request = Request::get("/api/v1/devices").header(header::AUTHORIZATION, value);
            assert_eq!(api.send(request.body(Body::empty()).unwrap()).await.status, 401, "{shown}");
            let request =
                Request::post("/api/v1/device-registrations").header(header::AUTHORIZATION, format!("Bearer {text}"));
            assert_eq!(api.send(request.body(Body::empty()).unwrap()).await.status, 401, "{shown}");
        }
        if let Ok(request) = Request::get(format!("/d/{text}")).body(Body::empty()) {
            let status = api.send(request).await.status;
            assert!([400, 403, 404].contains(&status.as_u16()), "{shown}: {status}");
        }
        for name in [
            "If-Match",
            "Idempotency-Key",
            "X-Correlation-Id",
            "Waybill-Min-Position",
            "Range",
            "traceparent",
            "Content-Type",
        ] {
            let Ok(value) = HeaderValue::from_str(&text) else { continue };
            let answer = api
                .call(
                    axum::http::Method::POST,
                    "/devices",
                    &[(name, value.to_str().unwrap_or("x"))],
                    serde_json::json!({}),
                )
                .await;
            assert!(answer.status.is_client_error() || answer.status == 201, "{name}: {shown}: {}", answer.status);
        }
    }
}
