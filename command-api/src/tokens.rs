//! HS256 bearer tokens: claims `sub`, `tenant_id`, `roles`, `exp` and `kind`. Without `kind` the caller counts as a person who
//! can't approve.

use chrono::{DateTime, Utc};
use domain::{Actor, ActorKind, TenantId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::caller::{Caller, Role};
use crate::http::Problem;

/// How far clocks may differ, in seconds.
const LEEWAY_S: u64 = 5;
/// Longest token, in bytes.
const TOKEN_MAX_BYTES: usize = 4_096;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    tenant_id: String,
    /// Unknown roles give no rights.
    roles: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<ActorKind>,
    exp: i64,
}

/// Signs and verifies tokens.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Tokens {
    pub(crate) fn new(secret: &[u8]) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret), validation }
    }

    /// The caller that a token stands for.
    pub(crate) fn verify(&self, token: &str) -> Result<Caller, Problem> {
        let refused = |reason: &str| Problem::unauthorized(format!("the token is not valid: {reason}"));
        if token.len() > TOKEN_MAX_BYTES {
            return Err(refused("too long"));
        }
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| refused(reason(error.kind())))?;
        // `crit` lists extensions that the verifier must support; this one supports none.
        if data.header.crit.is_some() {
            return Err(refused("its crit is not supported"));
        }
        let tenant = TenantId::new(data.claims.tenant_id).map_err(|_| refused("its tenant_id is not valid"))?;
        let kind = data.claims.kind;
        let actor = actor(kind.unwrap_or_default(), &data.claims.sub);
        let actor = actor.ok_or_else(|| refused("its sub is not an opaque id"))?;
        let roles = data.claims.roles.into_iter().filter_map(|role| serde_json::from_value(role).ok()).collect();
        Ok(Caller { tenant, actor, roles, is_kind_stated: kind.is_some() })
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
        let claims = Claims { sub, tenant_id, roles, kind: Some(kind), exp: expires_at.timestamp() };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(Problem::internal)
    }
}

/// The caller's name in the log, such as `user:{sub}` for a person; none for an empty `sub`.
pub(crate) fn actor(kind: ActorKind, sub: &str) -> Option<Actor> {
    if sub.is_empty() { None } else { Actor::of(kind, sub).ok() }
}

/// A reason that reveals neither the secret nor the expected signature.
fn reason(kind: &jsonwebtoken::errors::ErrorKind) -> &'static str {
    match kind {
        jsonwebtoken::errors::ErrorKind::ExpiredSignature => "it has expired",
        jsonwebtoken::errors::ErrorKind::ImmatureSignature => "it is not valid yet",
        _ => "it can't be verified",
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use runtime::clock;

    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(&[7; 32])
    }

    fn acme() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    #[test]
    fn a_token_leads_to_its_caller() {
        let expires_at = clock::now() + TimeDelta::minutes(1);
        let token = tokens().sign("42", &acme(), vec![Role::Operator], expires_at).unwrap();
        let caller = tokens().verify(&token).unwrap();
        assert_eq!((caller.tenant, caller.actor.as_str()), (acme(), "user:42"));
        assert!(caller.roles.contains(&Role::Operator));
    }

    #[test]
    fn a_token_says_the_kind_of_its_caller() {
        let expires_at = clock::now() + TimeDelta::minutes(1);
        for (kind, actor) in [(ActorKind::Key, "key:42"), (ActorKind::Service, "service:42")] {
            let token = tokens().sign_as(kind, "42", &acme(), vec![Role::Admin], expires_at).unwrap();
            let caller = tokens().verify(&token).unwrap();
            assert_eq!((caller.actor.as_str(), caller.kind()), (actor, kind));
            assert_eq!(caller.person().unwrap_err().status().as_u16(), 403);
        }
        let claims =
            serde_json::json!({"sub": "42", "tenant_id": "acme", "roles": ["admin"], "exp": expires_at.timestamp()});
        let header = Header::new(Algorithm::HS256);
        let without = jsonwebtoken::encode(&header, &claims, &tokens().encoding).unwrap();
        let caller = tokens().verify(&without).unwrap();
        assert_eq!((caller.actor.as_str(), caller.kind()), ("user:42", ActorKind::Person));
        assert_eq!(caller.person().unwrap_err().status().as_u16(), 403, "nothing says that it is a person");
        let person = tokens().sign("42", &acme(), vec![], expires_at).unwrap();
        assert_eq!(tokens().verify(&person).unwrap().person().unwrap().to_string(), "user:42");
        let mut odd = claims;
        odd["kind"] = "wizard".into();
        let odd = jsonwebtoken::encode(&header, &odd, &tokens().encoding).unwrap();
        assert_eq!(tokens().verify(&odd).unwrap_err().status().as_u16(), 401);
    }

    #[test]
    fn unknown_roles_give_no_rights_and_no_role_includes_the_platforms() {
        let expires_at = clock::now() + TimeDelta::minutes(1);
        let roles = |given: Value| {
            let claims =
                serde_json::json!({"sub": "42", "tenant_id": "acme", "roles": given, "exp": expires_at.timestamp()});
            let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &tokens().encoding).unwrap();
            tokens().verify(&token).unwrap()
        };
        let mixed = roles(serde_json::json!(["wizard", 7, {"a": 1}, "viewer"]));
        assert!(mixed.has(Role::Viewer) && !mixed.has(Role::Operator));
        let admin = roles(serde_json::json!(["admin"]));
        assert!(admin.has(Role::Approver) && !admin.has(Role::PlatformAdmin));
        let platform = roles(serde_json::json!(["platform_admin"]));
        assert!(platform.has(Role::PlatformAdmin) && !platform.has(Role::Viewer));
    }

    #[test]
    fn other_tokens_are_refused() {
        let later = clock::now() + TimeDelta::minutes(1);
        let old = tokens().sign("42", &acme(), vec![], clock::now() - TimeDelta::minutes(1)).unwrap();
        let foreign = Tokens::new(&[8; 32]).sign("42", &acme(), vec![], later).unwrap();
        let blank = tokens().sign("a b", &acme(), vec![], later).unwrap();
        // {"alg":"none","typ":"JWT"} with claims and no signature.
        let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiI0MiIsInRlbmFudF9pZCI6ImFjbWUiLCJyb2xlcyI6WyJhZG1pbiJdLCJleHAiOjk5OTk5OTk5OTl9.";
        let nameless = tokens().sign("", &acme(), vec![], later).unwrap();
        for token in [old.as_str(), &foreign, &blank, &nameless, unsigned, "", "x.y.z"] {
            assert_eq!(tokens().verify(token).unwrap_err().status().as_u16(), 401, "{token}");
        }
    }

    #[test]
    fn tokens_that_begin_later_or_want_more_than_is_known_are_refused() {
        let now = clock::now();
        let token = |header: &Header, begins: DateTime<Utc>| {
            let exp = (now + TimeDelta::minutes(1)).timestamp();
            let claims = serde_json::json!({"sub": "42", "tenant_id": "acme", "roles": [], "exp": exp, "nbf": begins.timestamp()});
            jsonwebtoken::encode(header, &claims, &tokens().encoding).unwrap()
        };
        let plain = Header::new(Algorithm::HS256);
        let critical = Header { crit: Some(vec!["b64".to_owned()]), ..plain.clone() };
        let early = now - TimeDelta::minutes(1);
        assert!(tokens().verify(&token(&plain, early)).is_ok());
        for refused in [token(&plain, now + TimeDelta::minutes(1)), token(&critical, early)] {
            assert_eq!(tokens().verify(&refused).unwrap_err().status().as_u16(), 401);
        }
    }
}
