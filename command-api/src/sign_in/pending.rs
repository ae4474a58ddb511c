//! A sign-in that has begun, sealed in a cookie of the browser where it began. Any process can end it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use event_store::Keyring;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use trust::{Purpose, SecretValue};

use crate::http::Problem;

/// How long a sign-in may take.
pub(super) const LIFETIME: Duration = Duration::from_secs(600);
/// Random bytes of state, nonce and verifier.
const RANDOM_BYTES: usize = 32;
/// Longest cookie value, in bytes.
const SEALED_MAX_BYTES: usize = 4_096;

/// What must fit together when the browser comes back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    /// In the provider's answer, which must come to the same browser.
    pub(super) state: String,
    /// In the ID token, which must be of this sign-in.
    pub(super) nonce: String,
    /// Of PKCE: who has the code alone gets no token.
    pub(super) verifier: String,
    pub(super) return_to: String,
    /// The tenant that was asked for.
    pub(super) tenant: Option<String>,
    expires_at: DateTime<Utc>,
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>())
}

impl Pending {
    pub(super) fn new(return_to: &str, tenant: Option<String>, now: DateTime<Utc>) -> Self {
        let expires_at = now + TimeDelta::from_std(LIFETIME).unwrap_or_default();
        let return_to = return_to.to_owned();
        Self { state: random(), nonce: random(), verifier: random(), return_to, tenant, expires_at }
    }

    /// `code_challenge` of PKCE, method S256.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }

    pub(super) fn has_state(&self, state: &str) -> bool {
        self.state.as_bytes().ct_eq(state.as_bytes()).into()
    }

    pub(super) fn has_nonce(&self, nonce: &str) -> bool {
        self.nonce.as_bytes().ct_eq(nonce.as_bytes()).into()
    }

    pub(super) fn sealed(&self, keyring: &Keyring) -> Result<String, Problem> {
        let text = SecretValue::new(serde_json::to_vec(self).map_err(Problem::internal)?);
        Ok(URL_SAFE_NO_PAD.encode(keyring.current().seal_for(Purpose::SignIn, &[], &text)))
    }

    /// What a cookie has, if it was sealed here and not too long ago.
    pub(super) async fn open(sealed: &str, keyring: &Keyring, now: DateTime<Utc>) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok().filter(|sealed| sealed.len() <= SEALED_MAX_BYTES)?;
        let text = keyring.open(Purpose::SignIn, &[], &sealed).await.ok()?;
        serde_json::from_slice(text.reveal()).ok().filter(|pending: &Self| now < pending.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use runtime::clock;

    use super::*;

    #[tokio::test]
    async fn a_sign_in_reads_back_until_it_expires() {
        let key = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let (keyring, now) = (Keyring::of(key.parse().unwrap()), clock::now());
        let begun = Pending::new("/console/", None, now);
        let sealed = begun.sealed(&keyring).unwrap();
        let read = Pending::open(&sealed, &keyring, now).await.unwrap();
        assert!(read.has_state(&begun.state) && read.has_nonce(&begun.nonce) && !read.has_state(""));
        assert!(Pending::open(&sealed, &keyring, now + LIFETIME).await.is_none());
        assert!(
            Pending::open(&sealed[1..], &keyring, now).await.is_none()
                && Pending::open("", &keyring, now).await.is_none()
        );
        let length = begun.verifier.len();
        assert!((43..=128).contains(&length) && begun.challenge().len() == 43, "{length}");
    }

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_the_digest_of_the_verifier() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
        let pending = Pending { verifier, ..Pending::new("/", None, clock::now()) };
        assert_eq!(pending.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
