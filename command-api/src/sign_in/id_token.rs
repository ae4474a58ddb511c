//! Checks an ID token (OpenID Connect Core 1.0, section 3.1.3.7) with the provider's keys. A client secret is no key, so HS256 is refused.

use domain::{Actor, ActorKind};
use jsonwebtoken::Validation;
use runtime::clock;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::parts::SignIn;
use super::pending::Pending;
use super::provider::unavailable;
use crate::http::Problem;
use crate::tokens::{LEEWAY_S, NoKey, actor};

/// Longest ID token, in bytes. Some list hundreds of groups.
const ID_TOKEN_MAX_BYTES: usize = 32 * 1024;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Value,
    nonce: Option<String>,
    azp: Option<String>,
    iat: i64,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Who has signed in. Names and e-mail addresses are only in `claims`, which end with the sign-in.
pub(super) struct Identity {
    pub(super) actor: Actor,
    claims: Map<String, Value>,
}

impl Identity {
    /// A claim by its name, or by its path with dots, such as `realm_access.roles`.
    pub(super) fn claim(&self, name: &str) -> Option<&Value> {
        let path = || {
            let (first, rest) = name.split_once('.')?;
            rest.split('.').try_fold(self.claims.get(first)?, |value, part| value.get(part))
        };
        self.claims.get(name).or_else(path)
    }

    /// With further claims. What the ID token says counts.
    pub(super) fn with(mut self, others: Map<String, Value>) -> Self {
        for (name, value) in others {
            self.claims.entry(name).or_insert(value);
        }
        self
    }
}

pub(super) fn refused(reason: &str) -> Problem {
    tracing::warn!(reason, "An ID token is refused.");
    Problem::forbidden_as("id_token_invalid", format!("the ID token of the provider is not valid: {reason}"))
}

impl SignIn {
    /// The person for whom the provider has made an ID token in this sign-in.
    pub(super) async fn identity(&self, token: &str, pending: &Pending) -> Result<Identity, Problem> {
        if token.len() > ID_TOKEN_MAX_BYTES {
            return Err(refused("too long"));
        }
        let unreadable = |_| refused("it can't be verified");
        let header = jsonwebtoken::decode_header(token).map_err(unreadable)?;
        if header.crit.is_some() {
            return Err(refused("its crit is not supported"));
        }
        // Only keys of RS256, ES256 and EdDSA are known, each for one algorithm.
        let key = self.provider()?.keys.find(header.kid.as_deref(), header.alg).await.map_err(|error| match error {
            NoKey::Unknown => refused("its key or its algorithm is not known"),
            NoKey::Unavailable => unavailable(),
        })?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.client_id]);
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        let data = jsonwebtoken::decode::<Claims>(token, &key, &validation);
        self.of_this_sign_in(data.map_err(|error| refused(crate::tokens::reason(error.kind())))?.claims, pending)
    }

    fn of_this_sign_in(&self, claims: Claims, pending: &Pending) -> Result<Identity, Problem> {
        let Claims { sub, aud, nonce, azp, iat, others } = claims;
        let is_for_several = aud.as_array().is_some_and(|all| all.len() > 1);
        if azp.as_ref().map_or(is_for_several, |azp| *azp != self.config.client_id) {
            return Err(refused("it is for another party"));
        }
        if !nonce.is_some_and(|nonce| pending.has_nonce(&nonce)) {
            return Err(refused("it is of another sign-in"));
        }
        if iat > clock::now().timestamp() + LEEWAY_S.cast_signed() {
            return Err(refused("it is not valid yet"));
        }
        let actor = actor(ActorKind::Person, &sub).ok_or_else(|| refused("its sub is not an opaque id"))?;
        Ok(Identity { actor, claims: others })
    }
}
