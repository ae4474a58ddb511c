use super::*;
use RegistrationTokenCommand as C;
use RegistrationTokenEvent as E;

const HASH: TokenHash = TokenHash::new([1; 32]);

fn at(days: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + days)
}

fn terms(devices_max: u32) -> RegistrationTerms {
    RegistrationTerms { scope: RegistrationScope::default(), expires_at: at(30), devices_max }
}

fn scoped(scope: RegistrationScope) -> RegistrationToken {
    after(&[C::Issue { hash: HASH, terms: RegistrationTerms { scope, ..terms(9) } }])
}

fn after(commands: &[C]) -> RegistrationToken {
    let mut token = RegistrationToken::default();
    for command in commands {
        let events = token.decide(at(0), command).unwrap_or_else(|no| panic!("{command:?}: {no}"));
        events.iter().for_each(|event| token.apply(event));
    }
    token
}

fn issue(devices_max: u32) -> C {
    C::Issue { hash: HASH, terms: terms(devices_max) }
}

fn applicant(id: &str) -> Applicant {
    let (device_model, device_type) = (Some("wm-200".to_owned()), Some("meter".to_owned()));
    Applicant { device: DeviceId::new(id).unwrap(), device_model, device_type }
}

fn using(id: &str) -> C {
    C::Use { applicant: applicant(id) }
}

fn refused(token: &RegistrationToken, days: i64, command: &C) -> &'static str {
    token.decide(at(days), command).expect_err("refused").code()
}

#[test]
fn a_token_that_was_never_issued_does_nothing() {
    for command in [using("d-1"), C::Revoke] {
        assert_eq!(refused(&RegistrationToken::default(), 0, &command), "registration_token_unknown");
    }
    assert!(!RegistrationToken::default().is_of(&HASH));
}

#[test]
fn a_token_is_issued_once_and_known_by_its_hash() {
    let token = after(&[issue(3)]);
    assert!(token.is_of(&HASH) && !token.is_of(&TokenHash::new([2; 32])));
    assert_eq!(refused(&token, 0, &issue(3)), "registration_token_exists");
}

#[test]
fn a_device_counts_once_however_often_it_comes() {
    let token = after(&[issue(2), using("d-1"), using("d-1"), using("d-2")]);
    assert_eq!((token.devices.len(), token.status(at(0))), (2, RegistrationTokenStatus::UsedUp));
    assert_eq!(refused(&token, 0, &using("d-3")), "registration_token_used_up");
    assert_eq!(token.decide(at(0), &using("d-2")), Ok(vec![]), "it has used the token before");
}

#[test]
fn an_expired_or_revoked_token_admits_nobody() {
    let token = after(&[issue(2), using("d-1")]);
    assert_eq!(token.decide(at(29), &using("d-1")), Ok(vec![]));
    assert_eq!(refused(&token, 30, &using("d-1")), "registration_token_expired");
    assert_eq!(token.status(at(30)), RegistrationTokenStatus::Expired);
    assert_eq!(token.decide(at(0), &C::Revoke), Ok(vec![E::Revoked {}]));
    let revoked = after(&[issue(2), using("d-1"), C::Revoke]);
    assert_eq!(refused(&revoked, 0, &using("d-1")), "registration_token_revoked");
    assert_eq!(revoked.decide(at(0), &C::Revoke), Ok(vec![]));
    assert_eq!(revoked.status(at(99)), RegistrationTokenStatus::Revoked);
}

#[test]
fn only_devices_in_scope_are_admitted() {
    let text = |text: &str| Some(text.to_owned());
    let of_model = |model| scoped(RegistrationScope { device_model: text(model), ..RegistrationScope::default() });
    let of_type = |kind| scoped(RegistrationScope { device_type: text(kind), ..RegistrationScope::default() });
    let of_prefix = |prefix| scoped(RegistrationScope { id_prefix: text(prefix), ..RegistrationScope::default() });
    for token in [of_model("wm-200"), of_type("meter"), of_prefix("SN-"), of_prefix("SN-7")] {
        assert_eq!(token.admits(at(0), &applicant("SN-7")), Ok(()));
    }
    for (token, field) in
        [(of_model("wm-300"), "device_model"), (of_type("lamp"), "device_type"), (of_prefix("sn-"), "id_prefix")]
    {
        let refusal = Rejection::RegistrationOutOfScope { field: field.to_owned() };
        assert_eq!(token.admits(at(0), &applicant("SN-7")), Err(refusal));
    }
    let nameless = Applicant { device_model: None, ..applicant("SN-7") };
    assert!(of_model("wm-200").admits(at(0), &nameless).is_err(), "a device that states no model is of no model");
}

#[test]
fn terms_out_of_bounds_name_their_field() {
    let with = |prefix: &str, days, devices_max| RegistrationTerms {
        scope: RegistrationScope { id_prefix: Some(prefix.to_owned()), ..RegistrationScope::default() },
        expires_at: at(days),
        devices_max,
    };
    let fields = |terms: RegistrationTerms| -> Vec<String> {
        terms.violations(at(0)).into_iter().map(|(field, _)| field).collect()
    };
    assert_eq!(fields(with("SN-", 366, 100_000)), Vec::<String>::new());
    for (terms, field) in [
        (with("a.b", 1, 1), "id_prefix"),
        (with("", 1, 1), "id_prefix"),
        (with("x", 0, 1), "expires_at"),
        (with("x", 367, 1), "expires_at"),
        (with("x", 1, 0), "devices_max"),
        (with("x", 1, 100_001), "devices_max"),
    ] {
        assert_eq!(fields(terms.clone()), [field]);
        assert_eq!(refused(&RegistrationToken::default(), 0, &C::Issue { hash: HASH, terms }), "invalid");
    }
}

#[test]
fn the_hash_is_not_printed() {
    let token = after(&[issue(2)]);
    let shown = format!("{token:?} {:?} {:?}", issue(2), token.decide(at(0), &C::Revoke));
    assert!(!shown.contains("0101") && !shown.contains("[1, 1"), "{shown}");
}
