use super::*;
use ApiKeyCommand as C;
use ApiKeyEvent as E;

const HASH: TokenHash = TokenHash::new([1; 32]);

fn at(days: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + days)
}

fn terms(roles: &[&str]) -> ApiKeyTerms {
    ApiKeyTerms { roles: roles.iter().map(|role| (*role).to_owned()).collect(), label: None, expires_at: Some(at(30)) }
}

fn issue() -> C {
    C::Issue { hash: HASH, terms: terms(&["operator"]) }
}

fn after(commands: &[C]) -> ApiKey {
    let mut key = ApiKey::default();
    for command in commands {
        let events = key.decide(at(0), command).unwrap_or_else(|no| panic!("{command:?}: {no}"));
        events.iter().for_each(|event| key.apply(event));
    }
    key
}

#[test]
fn a_key_is_issued_once_and_known_by_its_hash() {
    let key = after(&[issue()]);
    assert!(key.is_of(&HASH) && !key.is_of(&TokenHash::new([2; 32])));
    assert!(!ApiKey::default().is_of(&HASH));
    assert_eq!(key.decide(at(0), &issue()), Err(Rejection::ApiKeyExists));
    assert_eq!(key.terms(), Some(&terms(&["operator"])));
}

#[test]
fn a_key_expires() {
    let key = after(&[issue()]);
    assert_eq!((key.status(at(29)), key.status(at(30))), (ApiKeyStatus::Active, ApiKeyStatus::Expired));
    let endless = C::Issue { hash: HASH, terms: ApiKeyTerms { expires_at: None, ..terms(&["viewer"]) } };
    assert_eq!(after(&[endless]).status(at(100_000)), ApiKeyStatus::Active);
}

#[test]
fn a_key_is_revoked_once_also_after_its_end() {
    assert_eq!(ApiKey::default().decide(at(0), &C::Revoke), Err(Rejection::ApiKeyUnknown));
    assert_eq!(after(&[issue()]).decide(at(99), &C::Revoke), Ok(vec![E::Revoked {}]));
    let revoked = after(&[issue(), C::Revoke]);
    assert_eq!(revoked.decide(at(0), &C::Revoke), Ok(vec![]));
    assert_eq!(revoked.status(at(99)), ApiKeyStatus::Revoked);
    assert_eq!(revoked.decide(at(0), &issue()), Err(Rejection::ApiKeyExists), "it never comes back");
}

#[test]
fn terms_are_checked() {
    let many: Vec<String> = (0..=ROLES_MAX).map(|n| "r".repeat(n + 1)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let label = |text: String| ApiKeyTerms { label: Some(Sealed::Plain(text)), ..terms(&["viewer"]) };
    let ends = |expires_at| ApiKeyTerms { expires_at: Some(expires_at), ..terms(&["viewer"]) };
    for (field, wrong) in [
        ("roles", terms(&[])),
        ("roles", terms(&many)),
        ("roles", terms(&["Admin"])),
        ("roles", terms(&[""])),
        ("label", label(String::new())),
        ("label", label("x".repeat(SHORT_TEXT_MAX_CHARS + 1))),
        ("expires_at", ends(at(0))),
        ("expires_at", ends(at(LIFE_MAX_DAYS + 1))),
    ] {
        let violations = wrong.violations(at(0));
        assert_eq!(violations.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), [field], "{wrong:?}");
        let refused = ApiKey::default().decide(at(0), &C::Issue { hash: HASH, terms: wrong });
        assert!(matches!(&refused, Err(Rejection::Invalid { field: named, .. }) if named == field), "{refused:?}");
    }
    assert_eq!(label("x".repeat(SHORT_TEXT_MAX_CHARS)).violations(at(0)), []);
}
