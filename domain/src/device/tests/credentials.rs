//! Credentials: issue, rotate, revoke, and devices that register themselves.

use proptest::prelude::*;

use super::*;
use crate::ids::{Actor, CredentialId, RegistrationTokenId};
use crate::token_hash::TokenHash;
use crate::values::Transport;

const TOKEN: RegistrationTokenId = RegistrationTokenId(Uuid::from_u128(0x70));
const OTHER_TOKEN: RegistrationTokenId = RegistrationTokenId(Uuid::from_u128(0x71));

fn id(number: u8) -> CredentialId {
    CredentialId(Uuid::from_u128(number.into()))
}

fn hash(number: u8) -> TokenHash {
    TokenHash::new([number; 32])
}

fn new(number: u8, expires_at: Option<DateTime<Utc>>) -> NewCredential {
    NewCredential { credential_id: id(number), hash: hash(number), expires_at, by: Actor::new("user:42").unwrap() }
}

fn issue(number: u8) -> DeviceCommand {
    DeviceCommand::IssueCredential { credential: new(number, None) }
}

fn issue_until(number: u8, seconds: i64) -> DeviceCommand {
    DeviceCommand::IssueCredential { credential: new(number, Some(at(seconds))) }
}

fn revoke(number: u8) -> DeviceCommand {
    DeviceCommand::RevokeCredential { credential_id: id(number) }
}

fn comes_with(token: RegistrationTokenId, number: u8) -> DeviceCommand {
    let credential = new(number, None);
    let registration =
        SelfRegistration { registration_token: token, profile: profile(), versions: versions("1.0.0"), credential };
    DeviceCommand::SelfRegister { registration: Box::new(registration) }
}

fn with(commands: &[DeviceCommand]) -> Vec<DeviceCommand> {
    [registered(), commands.to_vec()].concat()
}

/// The credentials whose tokens open the device after that time.
fn open(commands: &[DeviceCommand], seconds: i64) -> Vec<u8> {
    let device = state_of(commands);
    let opens = |number: &u8| device.credential(&hash(*number), at(seconds)).is_some_and(|it| it.id == id(*number));
    (1..=9).filter(opens).collect()
}

#[test]
fn a_device_has_two_live_credentials_so_that_one_can_replace_the_other() {
    given(with(&[issue(1)])).when(issue(2)).then(&["device.credential_issued"]);
    assert_eq!(open(&with(&[issue(1), issue(2)]), 0), [1, 2]);
    let full = state_of(&with(&[issue(1), issue(2)])).decide(at(0), &issue(3)).unwrap_err();
    assert_eq!(full, Rejection::TooManyCredentials { credentials: vec![id(1), id(2)] });
    assert!(full.to_string().contains(&id(1).to_string()), "{full}");
    assert_eq!(open(&with(&[issue(1), issue(2), revoke(1), issue(3)]), 0), [2, 3]);
}

#[test]
fn a_credential_ends_at_its_time_and_makes_room() {
    let past = with(&[issue_until(1, 60), issue(2)]);
    assert_eq!((open(&past, 59), open(&past, 60)), (vec![1, 2], vec![2]));
    given(past.clone()).when_at(59, issue(3)).refused("too_many_credentials");
    let device = given(past.clone()).and(60, issue(3)).state();
    assert_eq!(device.credentials.current().iter().map(|it| it.id).collect::<Vec<_>>(), [id(2), id(3)]);
    given(past).and(60, issue(3)).when_at(60, revoke(1)).then(&[]);
    let both_over = with(&[issue_until(1, 70), issue_until(2, 60)]);
    let device = given(both_over).and(80, issue(3)).state();
    assert_eq!(device.credentials.current().iter().map(|it| it.id).collect::<Vec<_>>(), [id(1), id(3)]);
    assert_eq!(device.credential(&hash(1), at(80)), None);
    for seconds in [-1, 0] {
        given(registered()).when(issue_until(1, seconds)).refused("invalid");
    }
}

#[test]
fn a_revoked_credential_opens_nothing() {
    given(with(&[issue(1)])).when(revoke(1)).then(&["device.credential_revoked"]);
    assert_eq!(open(&with(&[issue(1), revoke(1)]), 0), [0; 0]);
    given(with(&[issue(1), revoke(1)])).when(revoke(1)).then(&[]);
    given(with(&[issue(1)])).when(revoke(2)).refused("credential_unknown");
}

#[test]
fn revoked_credentials_are_remembered_up_to_a_bound() {
    let mut past = registered();
    for number in 1..=ENDED_CREDENTIALS_KEPT_MAX as u8 + 1 {
        past.extend([issue(number), revoke(number)]);
    }
    given(past.clone()).when(revoke(2)).then(&[]);
    given(past).when(revoke(1)).refused("credential_unknown");
}

#[test]
fn decommissioning_ends_all_and_recommissioning_brings_none_back() {
    let gone = with(&[issue(1), issue(2), DeviceCommand::Decommission]);
    assert_eq!(open(&gone, 0), [0; 0]);
    for command in [issue(3), revoke(1), comes_with(TOKEN, 3)] {
        given(gone.clone()).when(command).refused("device_decommissioned");
    }
    let back = [gone, vec![register()]].concat();
    assert_eq!(open(&back, 0), [0; 0]);
    given(back.clone()).when(revoke(1)).then(&[]);
    given(back).when(issue(3)).then(&["device.credential_issued"]);
}

#[test]
fn only_a_known_device_gets_a_credential_from_an_operator() {
    for command in [issue(1), revoke(1)] {
        given(vec![]).when(command).refused("device_unknown");
    }
}

#[test]
fn an_unknown_device_registers_itself_with_its_first_credential() {
    given(vec![]).when(comes_with(TOKEN, 1)).then(&["device.registered", "device.credential_issued"]);
    let device = state_of(&[comes_with(TOKEN, 1)]);
    assert_eq!((device.profile.device_model.as_deref(), device.profile.transport), (Some("wm-200"), Transport::Mqtt));
    assert!(device.credential(&hash(1), at(0)).is_some());
}

#[test]
fn a_device_that_lost_its_token_comes_again_and_the_older_one_is_replaced() {
    let twice = vec![comes_with(TOKEN, 1), comes_with(TOKEN, 2)];
    assert_eq!(open(&twice, 0), [1, 2]);
    given(twice.clone()).when(comes_with(TOKEN, 3)).then(&["device.credential_revoked", "device.credential_issued"]);
    assert_eq!(open(&[twice, vec![comes_with(TOKEN, 3)]].concat(), 0), [2, 3]);
}

#[test]
fn a_registration_token_takes_over_no_device_that_has_its_credentials_from_elsewhere() {
    given(with(&[issue(1)])).when(comes_with(TOKEN, 2)).refused("device_has_credentials");
    given(vec![comes_with(OTHER_TOKEN, 1)]).when(comes_with(TOKEN, 2)).refused("device_has_credentials");
    let adopted = with(&[comes_with(TOKEN, 1)]);
    assert_eq!(open(&adopted, 0), [1], "a registered device without a credential may come");
    given(with(&[issue_until(1, 60)])).when_at(60, comes_with(TOKEN, 2)).then(&["device.credential_issued"]);
    let again = with(&[comes_with(TOKEN, 1), DeviceCommand::Decommission, register(), issue(2)]);
    given(again).when(comes_with(TOKEN, 3)).refused("device_has_credentials");
}

/// Who stole the registration token of a batch must not shut out a device whose credentials an operator has replaced.
#[test]
fn an_operators_credential_ends_what_a_registration_token_may_do_for_the_device() {
    let replaced = vec![comes_with(TOKEN, 1), issue(2), revoke(1)];
    given(replaced).when(comes_with(TOKEN, 3)).refused("device_has_credentials");
}

#[test]
fn a_known_device_keeps_its_profile_when_it_comes_again() {
    let other = DeviceCommand::Register { profile: Profile::default(), versions: versions("7.0.0") };
    let device = state_of(&[other, comes_with(TOKEN, 1)]);
    assert_eq!((device.profile, device.versions), (Profile::default(), versions("7.0.0")));
}

#[test]
fn neither_commands_nor_events_nor_state_print_a_hash() {
    let past = with(&[issue(7)]);
    let shown = format!("{past:?} {:?} {:?} {:?}", events_of(&past), state_of(&past), comes_with(TOKEN, 7));
    assert!(shown.contains('…') && !shown.contains("7, 7") && !shown.contains("0707"), "{shown}");
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Issue,
    IssueFor(i64),
    /// One of the credentials issued so far, counted back from the latest.
    Revoke(u8),
    Comes(RegistrationTokenId),
    Decommission,
    Register,
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let step = prop_oneof![
        3 => Just(Step::Issue),
        3 => (1..200i64).prop_map(Step::IssueFor),
        3 => (0..4u8).prop_map(Step::Revoke),
        3 => proptest::sample::select(vec![TOKEN, OTHER_TOKEN]).prop_map(Step::Comes),
        1 => Just(Step::Decommission),
        1 => Just(Step::Register),
    ];
    proptest::collection::vec((0..100i64, step), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(500), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn credentials_keep_their_bounds_and_what_has_ended_opens_nothing(steps in steps()) {
        let (mut device, mut now, mut ended) = (Device::default(), 0, std::collections::BTreeSet::new());
        for (number, (pause, step)) in (1u8..).zip(steps) {
            now += pause;
            let command = match step {
                Step::Issue => issue(number),
                Step::IssueFor(seconds) => issue_until(number, now + seconds),
                Step::Revoke(back) => revoke(number.saturating_sub(back)),
                Step::Comes(token) => comes_with(token, number),
                Step::Decommission => DeviceCommand::Decommission,
                Step::Register => register(),
            };
            let before: Vec<CredentialId> = device.credentials.current().iter().map(|it| it.id).collect();
            let Ok(events) = device.decide(at(now), &command) else { continue };
            events.iter().for_each(|event| device.apply(event));
            assert_eq!(device.decide(at(now), &command).unwrap_or_default(), vec![], "{command:?} again");
            let current = device.credentials.current();
            ended.extend(before.into_iter().filter(|id| current.iter().all(|it| it.id != *id)));
            assert!(current.len() <= CREDENTIALS_LIVE_MAX, "after {command:?}");
            assert!(device.lifecycle == Lifecycle::Active || current.is_empty(), "after {command:?}");
            for number in 1..=number {
                let opens = device.credential(&hash(number), at(now)).is_some();
                assert!(!opens || !ended.contains(&id(number)), "{number} after {command:?}");
            }
        }
    }
}
