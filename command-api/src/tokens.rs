//! Bearer tokens: claims `sub`, `tenant_id`, `roles`, `exp` and `kind`. Without `kind` the caller counts as a person who can't approve.
//!
//! They are signed with a shared secret (HS256) or by an issuer that publishes its keys (RS256, ES256, EdDSA). The algorithm of a token only
//! selects among the keys that are for this algorithm.

mod keys;
mod verified;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use domain::{Actor, ActorKind, TenantId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::keys::{KEY_SET_MAX_BYTES, KeySource};
pub(crate) use self::keys::{Keys, NoKey};
use crate::caller::{Caller, Role};
use crate::http::Problem;
use verified::VerifiedTokens;

/// How far clocks may differ, in seconds.
pub(crate) const LEEWAY_S: u64 = 5;
/// Longest token, in bytes.
const TOKEN_MAX_BYTES: usize = 4_096;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    tenant_id: String,
    /// Unknown roles give no rights. Members of the tenant need none.
    #[serde(default)]
    roles: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<ActorKind>,
    exp: i64,
    /// In tokens that are signed here. In others they are checked before the claims are read.
    #[serde(default, skip_serializing_if = "Option::is_none", skip_deserializing)]
    iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", skip_deserializing)]
    aud: Option<String>,
}

/// Whose tokens are accepted.
#[derive(Clone, Default)]
pub struct TokenRules {
    /// Secret of HS256 tokens; none if such tokens are refused.
    pub secret: Option<Vec<u8>>,
    /// The claim `iss` that tokens must have, if set.
    pub issuer: Option<String>,
    /// What must be in the claim `aud` of tokens, if set.
    pub audience: Option<String>,
    /// Public keys of the issuer, for RS256, ES256 and EdDSA.
    pub keys: Option<Arc<dyn KeySource>>,
}

/// Signs and verifies tokens.
pub(crate) struct Tokens {
    encoding: Option<EncodingKey>,
    decoding: Option<Arc<DecodingKey>>,
    keys: Option<Keys>,
    issuer: Option<String>,
    audience: Option<String>,
    verified: VerifiedTokens,
}

impl Tokens {
    pub(crate) fn new(rules: &TokenRules) -> Self {
        Self {
            encoding: rules.secret.as_deref().map(EncodingKey::from_secret),
            decoding: rules.secret.as_deref().map(DecodingKey::from_secret).map(Arc::new),
            keys: rules.keys.clone().map(Keys::new),
            issuer: rules.issuer.clone(),
            audience: rules.audience.clone(),
            verified: VerifiedTokens::default(),
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        // Without an audience of its own, Waybill ignores that of tokens.
        validation.validate_aud = self.audience.is_some();
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// The key that a token must be signed with.
    async fn key(&self, header: &Header) -> Result<Arc<DecodingKey>, Problem> {
        let unaccepted = || refused("its algorithm is not accepted");
        match (header.alg, &self.keys) {
            (Algorithm::HS256, _) => self.decoding.clone().ok_or_else(unaccepted),
            (algorithm @ (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA), Some(keys)) => {
                keys.find(header.kid.as_deref(), algorithm).await.map_err(|error| match error {
                    NoKey::Unknown => refused("its key is not known"),
                    NoKey::Unavailable => {
                        let detail = "the keys of the issuer of tokens can't be fetched";
                        Problem::unavailable("token_keys_unavailable", detail)
                    }
                })
            }
            _ => Err(unaccepted()),
        }
    }

    /// The caller that a token stands for.
    #[cfg(test)]
    pub(crate) async fn verify(&self, token: &str) -> Result<Caller, Problem> {
        self.verify_until(token).await.map(|(caller, _)| caller)
    }

    /// The caller that a token stands for, and the end of the token.
    pub(crate) async fn verify_until(&self, token: &str) -> Result<(Caller, DateTime<Utc>), Problem> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(refused("too long"));
        }
        let digest = VerifiedTokens::digest(token);
        if let Some(known) = self.verified.get(&digest)
            && known.is_by(&self.key(&known.header).await?)
        {
            return Ok((known.caller.clone(), known.expires_at));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| refused(reason(error.kind())))?;
        // `crit` lists extensions that the verifier must support; this one supports none.
        if header.crit.is_some() {
            return Err(refused("its crit is not supported"));
        }
        let key = self.key(&header).await?;
        let data = jsonwebtoken::decode::<Claims>(token, &key, &self.validation(header.alg))
            .map_err(|error| refused(reason(error.kind())))?;
        let tenant = TenantId::new(data.claims.tenant_id).map_err(|_| refused("its tenant_id is not valid"))?;
        let kind = data.claims.kind;
        let actor = actor(kind.unwrap_or_default(), &data.claims.sub);
        let actor = actor.ok_or_else(|| refused("its sub is not an opaque id"))?;
        let roles = data.claims.roles.into_iter().filter_map(|role| serde_json::from_value(role).ok()).collect();
        let expires_at = DateTime::from_timestamp(data.claims.exp, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let caller = Caller { tenant, actor, roles, limited: vec![], limits: None, is_kind_stated: kind.is_some() };
        self.verified.put(digest, header, key, &caller, expires_at);
        Ok((caller, expires_at))
    }

    /// A token for a user.
    #[cfg(test)]
    pub(crate) fn sign(
        &self,
        user: &str,
        tenant: &TenantId,
        roles: Vec<Role>,
        expires_at: DateTime<Utc>,
    ) -> Result<String, Problem> {
        self.sign_as(ActorKind::Person, user, tenant, roles, expires_at)
    }

    /// A token for a caller of any kind.
    pub(crate) fn sign_as(
        &self,
        kind: ActorKind,
        id: &str,
        tenant: &TenantId,
        roles: Vec<Role>,
        expires_at: DateTime<Utc>,
    ) -> Result<String, Problem> {
        let (sub, tenant_id) = (id.to_owned(), tenant.to_string());
        let roles = roles.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(Problem::internal)?;
        let (iss, aud) = (self.issuer.clone(), self.audience.clone());
        let claims = Claims { sub, tenant_id, roles, kind: Some(kind), exp: expires_at.timestamp(), iss, aud };
        let key = self.encoding.as_ref().ok_or_else(|| Problem::internal("HS256 tokens are off"))?;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key).map_err(Problem::internal)
    }
}

/// The tenant that a token names, verified or not.
pub(crate) fn claimed_tenant(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claimed {
        tenant_id: String,
    }
    let payload = token.split('.').nth(1).filter(|payload| payload.len() <= TOKEN_MAX_BYTES)?;
    let claims = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&claims).ok().map(|claimed: Claimed| claimed.tenant_id)
}

/// The caller's name in the log, such as `user:{sub}` for a person; none for an empty `sub`.
pub(crate) fn actor(kind: ActorKind, sub: &str) -> Option<Actor> {
    if sub.is_empty() { None } else { Actor::of(kind, sub).ok() }
}

fn refused(reason: &str) -> Problem {
    Problem::unauthorized(format!("the token is not valid: {reason}"))
}

/// A reason that reveals neither the secret nor the expected signature.
pub(crate) fn reason(kind: &jsonwebtoken::errors::ErrorKind) -> &'static str {
    match kind {
        jsonwebtoken::errors::ErrorKind::ExpiredSignature => "it has expired",
        jsonwebtoken::errors::ErrorKind::ImmatureSignature => "it is not valid yet",
        jsonwebtoken::errors::ErrorKind::InvalidIssuer => "it has another issuer",
        jsonwebtoken::errors::ErrorKind::InvalidAudience => "it is for another audience",
        jsonwebtoken::errors::ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
        _ => "it can't be verified",
    }
}

#[cfg(test)]
mod tests;
