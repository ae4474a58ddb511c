//! Tokens whose signature was checked, so that it isn't calculated again for each request.
//!
//! Invariants: only a token that was verified gets in, under the SHA-256 of all of its text, and no token is kept; an entry counts only with the
//! very key by which it was verified, and until the token ends. So a key that its issuer withdraws, or replaces, ends its tokens as before.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{DecodingKey, Header};
use moka::sync::Cache;
use runtime::clock;
use sha2::{Digest, Sha256};

use super::LEEWAY_S;
use crate::caller::Caller;

/// Most tokens that are remembered; a further one makes one be forgotten.
const TOKENS_MAX: u64 = 10_000;
/// How long a token is remembered that isn't used.
const KEPT_UNUSED: Duration = Duration::from_secs(600);

type TokenDigest = [u8; 32];

/// What a token was found to be.
pub(super) struct VerifiedToken {
    pub(super) header: Header,
    key: Arc<DecodingKey>,
    pub(super) caller: Caller,
    pub(super) expires_at: DateTime<Utc>,
}

pub(super) struct VerifiedTokens(Cache<TokenDigest, Arc<VerifiedToken>>);

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(TOKENS_MAX).time_to_idle(KEPT_UNUSED).build())
    }
}

impl VerifiedTokens {
    pub(super) fn digest(token: &str) -> TokenDigest {
        Sha256::digest(token).into()
    }

    pub(super) fn get(&self, digest: &TokenDigest) -> Option<Arc<VerifiedToken>> {
        self.0.get(digest).filter(|token| token.lasts())
    }

    pub(super) fn put(
        &self,
        digest: TokenDigest,
        header: Header,
        key: Arc<DecodingKey>,
        caller: &Caller,
        expires_at: DateTime<Utc>,
    ) {
        self.0.insert(digest, Arc::new(VerifiedToken { header, key, caller: caller.clone(), expires_at }));
    }
}

impl VerifiedToken {
    /// Whether it was verified with this key, not only one of the same name.
    pub(super) fn is_by(&self, key: &Arc<DecodingKey>) -> bool {
        Arc::ptr_eq(&self.key, key)
    }

    /// As the check of `exp` counts: in whole seconds.
    fn lasts(&self) -> bool {
        let leeway = TimeDelta::seconds(LEEWAY_S.cast_signed());
        self.expires_at.timestamp() >= (clock::now() - leeway).timestamp()
    }
}
