//! Who sends a webhook: a header has the tenant's secret, or a signature was made with it.
//!
//! `X-Waybill-Signature: t={seconds since 1970},v1={HMAC-SHA256 of "{t}.{body}" in hexadecimal digits}`. ChirpStack itself signs nothing and
//! sends the header; a relay in front of it can sign. While a secret is replaced there may be several `v1`.

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header of signatures.
pub(super) const SIGNATURE: &str = "x-waybill-signature";
/// How far the time of a signature may be from now, in seconds, before and after.
pub(super) const WINDOW_S: u64 = 300;
/// Most signatures in a header that are looked at.
const SIGNATURES_MAX: usize = 4;

/// What a webhook shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The secret or a valid signature.
    Genuine,
    /// Neither.
    Nothing,
    /// A wrong one, or a signature that is too old.
    Wrong(&'static str),
}

/// Checks what a request shows against the tenant's secret. A signature counts before the header with the secret.
pub(super) fn check(headers: &HeaderMap, secret_header: &str, secret: &[u8], body: &[u8], now: DateTime<Utc>) -> Shown {
    if let Some(signature) = headers.get(SIGNATURE) {
        return match signature.to_str().ok().and_then(Signature::parse) {
            Some(signature) => signature.check(secret, body, now),
            None => Shown::Wrong("the signature is not t=…,v1=…"),
        };
    }
    match headers.get(secret_header) {
        Some(shown) if is_equal(shown.as_bytes(), secret) => Shown::Genuine,
        Some(_) => Shown::Wrong("the secret is wrong"),
        None => Shown::Nothing,
    }
}

/// Whether a request shows anything that could be checked.
pub(super) fn shows_something(headers: &HeaderMap, secret_header: &str) -> bool {
    headers.contains_key(SIGNATURE) || headers.contains_key(secret_header)
}

/// The time that this takes depends on neither content.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    Sha256::digest(one).ct_eq(&Sha256::digest(other)).into()
}

struct Signature<'a> {
    time: &'a str,
    values: Vec<Vec<u8>>,
}

impl<'a> Signature<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (mut time, mut values) = (None, Vec::new());
        for part in text.split(',') {
            match part.trim().split_once('=')? {
                ("t", value) if time.is_none() => time = Some(value),
                ("v1", value) if values.len() < SIGNATURES_MAX => values.push(hex::decode(value).ok()?),
                // Others may come with later versions.
                ("t" | "v1", _) => return None,
                _ => {}
            }
        }
        let time = time.filter(|time| !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()))?;
        (!values.is_empty()).then_some(Self { time, values })
    }

    fn check(&self, secret: &[u8], body: &[u8], now: DateTime<Utc>) -> Shown {
        let distance = self.time.parse::<i64>().ok().map(|time| time.abs_diff(now.timestamp()));
        if distance.is_none_or(|distance| distance > WINDOW_S) {
            return Shown::Wrong("the signature is not of the last 300 seconds");
        }
        // A key of any length is accepted.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return Shown::Wrong("no key") };
        for part in [self.time.as_bytes(), b".", body] {
            mac.update(part);
        }
        let is_right = self.values.iter().any(|value| mac.clone().verify_slice(value).is_ok());
        if is_right { Shown::Genuine } else { Shown::Wrong("the signature is wrong") }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const BODY: &[u8] = br#"{"devEUI":"0102030405060708"}"#;
    const SECRET: &[u8] = b"a secret of the tenant";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    fn signed(time: i64, secret: &[u8], body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(body);
        format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
    }

    fn shown(headers: &HeaderMap) -> Shown {
        check(headers, "x-waybill-webhook-secret", SECRET, BODY, now())
    }

    #[test]
    fn the_secret_or_a_signature_made_with_it_is_genuine() {
        assert_eq!(shown(&with("x-waybill-webhook-secret", "a secret of the tenant")), Shown::Genuine);
        assert_eq!(check(&with("x-token", "a secret of the tenant"), "x-token", SECRET, BODY, now()), Shown::Genuine);
        for seconds in [-300, 0, 300] {
            let text = signed(now().timestamp() + seconds, SECRET, BODY);
            assert_eq!(shown(&with("x-waybill-signature", &text)), Shown::Genuine, "{seconds}");
        }
        let (_, right) =
            signed(now().timestamp(), SECRET, BODY).split_once(',').map(|(t, v)| (t.to_owned(), v.to_owned())).unwrap();
        let both = format!("t={}, v1={}, {right}, v2=x", now().timestamp(), "00".repeat(32));
        assert_eq!(shown(&with("x-waybill-signature", &both)), Shown::Genuine, "while a secret is replaced");
    }

    #[test]
    fn nothing_else_is() {
        assert_eq!(shown(&HeaderMap::new()), Shown::Nothing);
        for text in ["", "a secret", "a secret of the tenant ", "A secret of the tenant"] {
            assert!(matches!(shown(&with("x-waybill-webhook-secret", text)), Shown::Wrong(_)), "{text}");
        }
        let now = now().timestamp();
        let of_other_body = signed(now, SECRET, b"{}");
        for text in [
            "",
            "t=1",
            "v1=00",
            "t=1,t=2,v1=00",
            "t=x,v1=00",
            "t=-1,v1=00",
            "t=99999999999999999999,v1=00",
            &format!("t={now},v1=0"),
            &format!("t={now},v1={}", "00".repeat(32)),
            &format!("t={now},v1="),
            &signed(now - 301, SECRET, BODY),
            &signed(now + 301, SECRET, BODY),
            &signed(now, b"another", BODY),
            &of_other_body,
            &signed(now - 1, SECRET, BODY).replace(&format!("t={}", now - 1), &format!("t={now}")),
        ] {
            assert!(matches!(shown(&with("x-waybill-signature", text)), Shown::Wrong(_)), "{text}");
        }
        let mut both = with("x-waybill-webhook-secret", "a secret of the tenant");
        both.insert("x-waybill-signature", HeaderValue::from_static("t=1,v1=00"));
        assert!(matches!(shown(&both), Shown::Wrong(_)), "a wrong signature isn't made good by a header");
    }
}
