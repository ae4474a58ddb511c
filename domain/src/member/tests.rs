use super::*;
use MemberCommand as C;

fn actor() -> Actor {
    Actor::new("user:42").unwrap()
}

fn grant(json: &str) -> Grant {
    serde_json::from_str(json).unwrap()
}

fn granting(grants: Vec<Grant>) -> C {
    C::Grant { member: actor(), grants }
}

fn after(commands: &[C]) -> Member {
    let mut member = Member::default();
    for command in commands {
        let events = member.decide(DateTime::UNIX_EPOCH, command).unwrap_or_else(|no| panic!("{command:?}: {no}"));
        events.iter().for_each(|event| member.apply(event));
    }
    member
}

#[test]
fn grants_replace_those_before_and_end_with_the_removal() {
    let (viewer, operator) =
        (grant(r#"{"role":"viewer"}"#), grant(r#"{"role":"operator","groups":["hall-3"],"own":true}"#));
    assert!(!viewer.is_limited() && operator.is_limited());
    let member = after(&[granting(vec![viewer]), granting(vec![operator.clone()])]);
    assert_eq!((member.member.as_ref(), &member.grants), (Some(&actor()), &vec![operator.clone()]));
    assert_eq!(member.decide(DateTime::UNIX_EPOCH, &granting(vec![operator.clone()])), Ok(vec![]));
    let removed = after(&[granting(vec![operator.clone()]), C::Remove, C::Remove]);
    assert!(!removed.is_active() && removed.exists());
    assert!(after(&[granting(vec![operator.clone()]), C::Remove, granting(vec![operator])]).is_active());
}

#[test]
fn nobody_is_removed_who_never_was_a_member() {
    assert_eq!(Member::default().decide(DateTime::UNIX_EPOCH, &C::Remove), Err(Rejection::MemberUnknown));
}

#[test]
fn grants_have_limits() {
    let many = |count: usize| vec![grant(r#"{"role":"viewer"}"#); count];
    for (grants, field) in [
        (many(GRANTS_MAX + 1), "grants"),
        (vec![grant(r#"{"role":"Viewer"}"#)], "grants[0].role"),
        (vec![grant(r#"{"role":""}"#)], "grants[0].role"),
        (
            vec![Grant {
                groups: (0..=GRANT_GROUPS_MAX).map(|n| GroupId::new(format!("g{n}")).unwrap()).collect(),
                ..grant(r#"{"role":"viewer"}"#)
            }],
            "grants[0].groups",
        ),
    ] {
        let found = Member::default().decide(DateTime::UNIX_EPOCH, &granting(grants));
        assert!(matches!(&found, Err(Rejection::Invalid { field: named, .. }) if named == field), "{found:?}");
    }
    assert_eq!(violations(&[])[0].0, "grants");
    assert!(Member::default().decide(DateTime::UNIX_EPOCH, &granting(many(GRANTS_MAX))).is_ok());
}
