//! Public keys of an issuer of tokens (JWKS): fetched when they are needed, kept, and fetched again when the issuer changes them.
//!
//! A key is used only for the one algorithm that fits it, so a token can't turn a public key into a shared secret.

use std::collections::HashSet;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Largest set of keys, in bytes.
pub const KEY_SET_MAX_BYTES: usize = 256 * 1024;
/// Most keys of a set; further ones are ignored.
const KEYS_MAX: usize = 64;
/// After this time the keys are fetched again.
const REFRESH_AFTER: Duration = Duration::from_secs(600);
/// Shortest pause between two fetches, also if tokens name unknown keys.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// How long a key is used while its issuer can't be reached.
const KEPT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Where an issuer publishes its keys.
#[async_trait]
pub trait KeySource: Send + Sync + 'static {
    /// The set of keys (RFC 7517), at most [`KEY_SET_MAX_BYTES`] bytes.
    async fn fetch(&self) -> Result<Vec<u8>, String>;
}

/// Why there is no key for a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The issuer has no such key.
    Unknown,
    /// The issuer's keys were never fetched, or too long ago.
    Unavailable,
}

pub(crate) struct Keys {
    source: Arc<dyn KeySource>,
    known: RwLock<Known>,
    /// One fetch at a time.
    fetching: Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Arc<Vec<Key>>,
    fetched_at: Option<Instant>,
    /// The last fetch, also one that failed.
    tried_at: Option<Instant>,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

impl Keys {
    pub(crate) fn new(source: Arc<dyn KeySource>) -> Self {
        Self { source, known: RwLock::default(), fetching: Mutex::new(()) }
    }

    /// The key of a token's header.
    pub(crate) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<DecodingKey>, NoKey> {
        let known = self.known();
        let age = known.age().filter(|age| *age < KEPT_MAX);
        let turn = match (known.find(id, algorithm), age) {
            (Some(key), Some(age)) if age < REFRESH_AFTER => return Ok(key),
            // One request renews the keys. The others don't wait for it.
            (Some(key), Some(_)) => match self.fetching.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(key),
            },
            _ => self.fetching.lock().await,
        };
        self.refresh(known.tried_at).await;
        drop(turn);
        let known = self.known();
        match (known.age().filter(|age| *age < KEPT_MAX), known.find(id, algorithm)) {
            (Some(_), Some(key)) => Ok(key),
            (Some(_), None) => Err(NoKey::Unknown),
            (None, _) => Err(NoKey::Unavailable),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Fetches the keys, unless somebody has since `seen`, or just now. One caller at a time.
    async fn refresh(&self, seen: Option<Instant>) {
        let tried_at = self.known().tried_at;
        if tried_at != seen || tried_at.is_some_and(|at| at.elapsed() < FETCH_PAUSE) {
            return;
        }
        // Before the fetch: a request that is given up in the middle doesn't let the next one fetch at once.
        self.change(|known| known.tried_at = Some(Instant::now()));
        match self.source.fetch().await.and_then(|bytes| parse(&bytes)) {
            Ok(keys) => {
                self.change(|known| (known.keys, known.fetched_at) = (Arc::new(keys), Some(Instant::now())));
            }
            Err(error) => tracing::warn!(error, "The keys of the issuer of tokens can't be fetched."),
        }
    }
}

impl Known {
    fn age(&self) -> Option<Duration> {
        self.fetched_at.map(|at| at.elapsed())
    }

    /// A token that names no key is checked with the only key of its algorithm.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let mut of_algorithm = self.keys.iter().filter(|key| key.algorithm == algorithm);
        let found = match id {
            Some(id) => of_algorithm.find(|key| key.id.as_deref() == Some(id)),
            None => of_algorithm.next().filter(|_| of_algorithm.next().is_none()),
        };
        found.map(|key| Arc::clone(&key.key))
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Key>, String> {
    if bytes.len() > KEY_SET_MAX_BYTES {
        return Err(format!("the set of keys has more than {KEY_SET_MAX_BYTES} bytes"));
    }
    let set: JwkSet = serde_json::from_slice(bytes).map_err(|error| format!("no set of keys: {error}"))?;
    let keys: Vec<Key> = set.keys.iter().take(KEYS_MAX).filter_map(usable).collect();
    let ids: HashSet<_> = keys.iter().filter_map(|key| key.id.as_deref()).collect();
    if ids.len() < keys.iter().filter(|key| key.id.is_some()).count() {
        return Err("two keys have the same kid".to_owned());
    }
    Ok(keys)
}

/// A key for signatures that this program can check; none for other keys, shared secrets above all.
fn usable(jwk: &Jwk) -> Option<Key> {
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let is_for_it = jwk.common.key_algorithm.is_none_or(|given| given == named);
    let is_to_sign = jwk.common.public_key_use.as_ref().is_none_or(|given| *given == PublicKeyUse::Signature);
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_it && is_to_sign)?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key: Arc::new(key) })
}

#[cfg(test)]
mod tests;
