//! Who sends a webhook: a header has the tenant's secret, or a signature was made with it.
//!
//! `X-Waybill-Signature: t={seconds since 1970},v1={HMAC-SHA256 of "{t}.{body}" in hexadecimal digits}`. ChirpStack itself signs nothing and
//! sends the header; a relay in front of it can sign. While a secret is replaced there may be several `v1`.

use axum::http::{HeaderMap, HeaderValue};
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

/// What a webhook shows, to be checked with the tenant's secret.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown<'a> {
    Signature(&'a HeaderValue),
    Secret(&'a HeaderValue),
}

impl<'a> Shown<'a> {
    /// A signature counts before the header with the secret.
    pub(super) fn of(headers: &'a HeaderMap, secret_header: &str) -> Option<Self> {
        let signature = headers.get(SIGNATURE).map(Self::Signature);
        signature.or_else(|| headers.get(secret_header).map(Self::Secret))
    }

    /// Fails with the reason if it is wrong, or a signature that is too old.
    pub(super) fn check(self, secret: &[u8], body: &[u8], now: DateTime<Utc>) -> Result<(), &'static str> {
        match self {
            Self::Signature(text) => {
                let signature = text.to_str().ok().and_then(Signature::parse);
                signature.ok_or("the signature is not t=…,v1=…")?.check(secret, body, now)
            }
            Self::Secret(shown) if is_equal(shown.as_bytes(), secret) => Ok(()),
            Self::Secret(_) => Err("the secret is wrong"),
        }
    }
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

    fn check(&self, secret: &[u8], body: &[u8], now: DateTime<Utc>) -> Result<(), &'static str> {
        let distance = self.time.parse::<i64>().ok().map(|time| time.abs_diff(now.timestamp()));
        if distance.is_none_or(|distance| distance > WINDOW_S) {
            return Err("the signature is not of the last 300 seconds");
        }
        // A key of any length is accepted.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return Err("no key") };
        for part in [self.time.as_bytes(), b".", body] {
            mac.update(part);
        }
        let is_right = self.values.iter().any(|value| mac.clone().verify_slice(value).is_ok());
        if is_right { Ok(()) } else { Err("the signature is wrong") }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

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

    fn shown_in(headers: &HeaderMap, secret_header: &str) -> Option<Result<(), &'static str>> {
        Shown::of(headers, secret_header).map(|shown| shown.check(SECRET, BODY, now()))
    }

    fn shown(headers: &HeaderMap) -> Option<Result<(), &'static str>> {
        shown_in(headers, "x-waybill-webhook-secret")
    }

    #[test]
    fn the_secret_or_a_signature_made_with_it_is_genuine() {
        assert_eq!(shown(&with("x-waybill-webhook-secret", "a secret of the tenant")), Some(Ok(())));
        assert_eq!(shown_in(&with("x-token", "a secret of the tenant"), "x-token"), Some(Ok(())));
        for seconds in [-300, 0, 300] {
            let text = signed(now().timestamp() + seconds, SECRET, BODY);
            assert_eq!(shown(&with("x-waybill-signature", &text)), Some(Ok(())), "{seconds}");
        }
        let (_, right) =
            signed(now().timestamp(), SECRET, BODY).split_once(',').map(|(t, v)| (t.to_owned(), v.to_owned())).unwrap();
        let both = format!("t={}, v1={}, {right}, v2=x", now().timestamp(), "00".repeat(32));
        assert_eq!(shown(&with("x-waybill-signature", &both)), Some(Ok(())), "while a secret is replaced");
    }

    #[test]
    fn nothing_else_is() {
        assert_eq!(shown(&HeaderMap::new()), None);
        for text in ["", "a secret", "a secret of the tenant ", "A secret of the tenant"] {
            assert!(matches!(shown(&with("x-waybill-webhook-secret", text)), Some(Err(_))), "{text}");
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
            assert!(matches!(shown(&with("x-waybill-signature", text)), Some(Err(_))), "{text}");
        }
        let mut both = with("x-waybill-webhook-secret", "a secret of the tenant");
        both.insert("x-waybill-signature", HeaderValue::from_static("t=1,v1=00"));
        assert!(matches!(shown(&both), Some(Err(_))), "a wrong signature isn't made good by a header");
    }
}
