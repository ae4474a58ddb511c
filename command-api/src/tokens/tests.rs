//! Tokens of a shared secret.

use chrono::TimeDelta;
use runtime::clock;

use super::*;

fn of_secret(byte: u8) -> Tokens {
    Tokens::new(&TokenRules { secret: Some(vec![byte; 32]), ..TokenRules::default() })
}

fn tokens() -> Tokens {
    of_secret(7)
}

fn verify(token: &str) -> Result<Caller, Problem> {
    wait(tokens().verify(token))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

#[test]
fn a_token_leads_to_its_caller() {
    let expires_at = clock::now() + TimeDelta::minutes(1);
    let token = tokens().sign("42", &acme(), vec![Role::Operator], expires_at).unwrap();
    let caller = verify(&token).unwrap();
    assert_eq!((caller.tenant, caller.actor.as_str()), (acme(), "user:42"));
    assert!(caller.roles.contains(&Role::Operator));
}

/// The time of tokens is that of the wall.
#[test]
fn a_token_that_was_accepted_ends_in_time() {
    let tokens = tokens();
    let leeway = TimeDelta::seconds(LEEWAY_S.cast_signed());
    let token =
        tokens.sign("42", &acme(), vec![Role::Operator], clock::now() + TimeDelta::seconds(2) - leeway).unwrap();
    assert!(wait(tokens.verify(&token)).is_ok() && wait(tokens.verify(&token)).is_ok());
    let began = std::time::Instant::now();
    while wait(tokens.verify(&token)).is_ok() {
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "it doesn't end");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_token_says_the_kind_of_its_caller() {
    let expires_at = clock::now() + TimeDelta::minutes(1);
    for (kind, actor) in [(ActorKind::Key, "key:42"), (ActorKind::Service, "service:42")] {
        let token = tokens().sign_as(kind, "42", &acme(), vec![Role::Admin], expires_at).unwrap();
        let caller = verify(&token).unwrap();
        assert_eq!((caller.actor.as_str(), caller.kind()), (actor, kind));
        assert_eq!(caller.person().unwrap_err().status().as_u16(), 403);
    }
    let claims =
        serde_json::json!({"sub": "42", "tenant_id": "acme", "roles": ["admin"], "exp": expires_at.timestamp()});
    let header = Header::new(Algorithm::HS256);
    let without = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&[7; 32])).unwrap();
    let caller = verify(&without).unwrap();
    assert_eq!((caller.actor.as_str(), caller.kind()), ("user:42", ActorKind::Person));
    assert_eq!(caller.person().unwrap_err().status().as_u16(), 403, "nothing says that it is a person");
    let person = tokens().sign("42", &acme(), vec![], expires_at).unwrap();
    assert_eq!(verify(&person).unwrap().person().unwrap().to_string(), "user:42");
    let mut odd = claims;
    odd["kind"] = "wizard".into();
    let odd = jsonwebtoken::encode(&header, &odd, &EncodingKey::from_secret(&[7; 32])).unwrap();
    assert_eq!(verify(&odd).unwrap_err().status().as_u16(), 401);
}

#[test]
fn unknown_roles_give_no_rights_and_no_role_includes_the_platforms() {
    let expires_at = clock::now() + TimeDelta::minutes(1);
    let roles = |given: Value| {
        let claims =
            serde_json::json!({"sub": "42", "tenant_id": "acme", "roles": given, "exp": expires_at.timestamp()});
        let token =
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&[7; 32])).unwrap();
        verify(&token).unwrap()
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
    let foreign = of_secret(8).sign("42", &acme(), vec![], later).unwrap();
    let blank = tokens().sign("a b", &acme(), vec![], later).unwrap();
    // {"alg":"none","typ":"JWT"} with claims and no signature.
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiI0MiIsInRlbmFudF9pZCI6ImFjbWUiLCJyb2xlcyI6WyJhZG1pbiJdLCJleHAiOjk5OTk5OTk5OTl9.";
    let nameless = tokens().sign("", &acme(), vec![], later).unwrap();
    for token in [old.as_str(), &foreign, &blank, &nameless, unsigned, "", "x.y.z"] {
        assert_eq!(verify(token).unwrap_err().status().as_u16(), 401, "{token}");
    }
}

#[test]
fn tokens_that_begin_later_or_want_more_than_is_known_are_refused() {
    let now = clock::now();
    let token = |header: &Header, begins: DateTime<Utc>| {
        let exp = (now + TimeDelta::minutes(1)).timestamp();
        let claims =
            serde_json::json!({"sub": "42", "tenant_id": "acme", "roles": [], "exp": exp, "nbf": begins.timestamp()});
        jsonwebtoken::encode(header, &claims, &EncodingKey::from_secret(&[7; 32])).unwrap()
    };
    let plain = Header::new(Algorithm::HS256);
    let critical = Header { crit: Some(vec!["b64".to_owned()]), ..plain.clone() };
    let early = now - TimeDelta::minutes(1);
    assert!(verify(&token(&plain, early)).is_ok());
    for refused in [token(&plain, now + TimeDelta::minutes(1)), token(&critical, early)] {
        assert_eq!(verify(&refused).unwrap_err().status().as_u16(), 401);
    }
}
