use proptest::prelude::*;

use super::*;
use GroupCommand as C;
use GroupEvent as E;

fn device(id: &str) -> DeviceId {
    DeviceId::new(id).unwrap()
}

fn devices(ids: &[&str]) -> Vec<DeviceId> {
    ids.iter().map(|id| device(id)).collect()
}

fn filter(model: &str) -> TargetFilters {
    TargetFilters { device_model: Some(model.to_owned()), ..TargetFilters::default() }
}

fn spec(filter: Option<TargetFilters>) -> GroupSpec {
    GroupSpec { name: "Hall 3".to_owned().into(), description: None, filter }
}

fn after(events: &[E]) -> Group {
    let mut group = Group::default();
    events.iter().for_each(|event| group.apply(event));
    group
}

fn of_static(members: &[&str]) -> Group {
    let mut group = after(&[E::Created { spec: spec(None) }]);
    if !members.is_empty() {
        group.apply(&E::MembersAdded { devices: devices(members) });
    }
    group
}

fn of_dynamic() -> Group {
    after(&[E::Created { spec: spec(Some(filter("M"))) }])
}

fn decide(group: &Group, command: C) -> Result<Vec<E>, Rejection> {
    group.decide(DateTime::UNIX_EPOCH, &command)
}

fn all_commands() -> Vec<C> {
    vec![
        C::Create { spec: spec(None) },
        C::Amend { patch: GroupPatch { name: Some("Hall 4".to_owned().into()), ..GroupPatch::default() } },
        C::AddMembers { devices: devices(&["d-2"]) },
        C::RemoveMembers { devices: devices(&["d-1"]) },
        C::Delete,
    ]
}

#[test]
fn a_group_that_is_absent_or_deleted_can_only_be_created() {
    let deleted = after(&[E::Created { spec: spec(None) }, E::Deleted {}]);
    for group in [Group::default(), deleted] {
        let mut outcomes = all_commands().into_iter().map(|command| decide(&group, command));
        assert_eq!(outcomes.next().unwrap(), Ok(vec![E::Created { spec: spec(None) }]));
        assert!(outcomes.all(|outcome| outcome == Err(Rejection::GroupUnknown)));
    }
}

#[test]
fn a_static_group_takes_and_loses_members() {
    let group = of_static(&["d-1"]);
    let types = |outcome: Result<Vec<E>, Rejection>| -> Vec<&'static str> {
        outcome.unwrap().iter().map(E::type_name).collect()
    };
    let outcomes: Vec<_> = all_commands().into_iter().map(|command| types(decide(&group, command))).collect();
    let expected: [&[&str]; 5] =
        [&[], &["group.amended"], &["group.members_added"], &["group.members_removed"], &["group.deleted"]];
    assert_eq!(outcomes, expected);
    let filtered = GroupPatch { filter: Some(filter("M")), ..GroupPatch::default() };
    assert_eq!(decide(&group, C::Amend { patch: filtered }), Err(Rejection::GroupIsStatic));
    assert_eq!(decide(&group, C::Create { spec: spec(Some(filter("M"))) }), Err(Rejection::GroupExists));
}

#[test]
fn a_dynamic_group_has_a_filter_and_no_members_of_its_own() {
    let group = of_dynamic();
    for command in [C::AddMembers { devices: devices(&["d-1"]) }, C::RemoveMembers { devices: devices(&["d-1"]) }] {
        assert_eq!(decide(&group, command), Err(Rejection::GroupIsDynamic));
    }
    let patch = GroupPatch { filter: Some(filter("N")), ..GroupPatch::default() };
    let amended = decide(&group, C::Amend { patch: patch.clone() }).unwrap();
    assert_eq!(amended, [E::Amended { patch: patch.clone() }]);
    let mut group = group;
    group.apply(&amended[0]);
    assert_eq!(group.spec.as_ref().unwrap().filter, Some(filter("N")));
    assert_eq!(decide(&group, C::Amend { patch }), Ok(vec![]), "the same again changes nothing");
    assert_eq!(decide(&group, C::Delete), Ok(vec![E::Deleted {}]));
}

#[test]
fn only_what_changes_is_recorded_and_each_device_once() {
    let group = of_static(&["d-1", "d-2"]);
    let added = decide(&group, C::AddMembers { devices: devices(&["d-3", "d-1", "d-0", "d-3"]) });
    assert_eq!(added, Ok(vec![E::MembersAdded { devices: devices(&["d-0", "d-3"]) }]));
    let removed = decide(&group, C::RemoveMembers { devices: devices(&["d-9", "d-2"]) });
    assert_eq!(removed, Ok(vec![E::MembersRemoved { devices: devices(&["d-2"]) }]));
    assert_eq!(decide(&group, C::AddMembers { devices: devices(&["d-1"]) }), Ok(vec![]));
    assert_eq!(decide(&group, C::RemoveMembers { devices: devices(&["d-9"]) }), Ok(vec![]));
}

#[test]
fn a_deleted_group_that_is_created_again_begins_without_members() {
    let group = after(&[
        E::Created { spec: spec(None) },
        E::MembersAdded { devices: devices(&["d-1"]) },
        E::Deleted {},
        E::Created { spec: spec(Some(filter("M"))) },
    ]);
    assert!(group.is_active() && group.members.is_empty());
}

#[test]
fn a_group_has_a_largest_size() {
    let many = |from: usize, count: usize| (from..from + count).map(|n| device(&format!("d-{n}"))).collect::<Vec<_>>();
    let mut group = of_static(&[]);
    for first in (0..MEMBERS_MAX).step_by(CHANGE_DEVICES_MAX) {
        let events = decide(&group, C::AddMembers { devices: many(first, CHANGE_DEVICES_MAX) }).unwrap();
        events.iter().for_each(|event| group.apply(event));
    }
    assert_eq!(group.members.len(), MEMBERS_MAX);
    let full = Rejection::GroupFull { members: MEMBERS_MAX as u32 + 1, members_max: MEMBERS_MAX as u32 };
    assert_eq!(decide(&group, C::AddMembers { devices: many(MEMBERS_MAX, 1) }), Err(full));
    assert_eq!(decide(&group, C::AddMembers { devices: many(0, 1) }), Ok(vec![]), "a member is no further one");
    let too_many = decide(&group, C::AddMembers { devices: many(0, CHANGE_DEVICES_MAX + 1) });
    assert!(matches!(too_many, Err(Rejection::Invalid { field, .. }) if field == "device_ids"));
}

#[test]
fn the_largest_change_fits_a_record() {
    let event = E::MembersAdded { devices: vec![device(&"x".repeat(64)); CHANGE_DEVICES_MAX] };
    let bytes = serde_json::to_vec(&event).unwrap().len();
    assert!(bytes < 500_000, "{bytes}");
}

#[test]
fn what_operators_say_of_a_group_is_checked() {
    let fields = |spec: GroupSpec| spec.violations().into_iter().map(|(field, _)| field).collect::<Vec<_>>();
    assert_eq!(fields(spec(None)), Vec::<String>::new());
    let wrong = GroupSpec {
        name: String::new().into(),
        description: Some("x".repeat(LONG_TEXT_MAX_CHARS + 1).into()),
        filter: Some(TargetFilters { firmware_version: Some("<<1".to_owned()), ..filter("") }),
    };
    assert_eq!(fields(wrong.clone()), ["name", "description", "filter.device_model", "filter.firmware_version"]);
    assert!(matches!(decide(&Group::default(), C::Create { spec: wrong }), Err(Rejection::Invalid { .. })));
    assert_eq!(fields(spec(Some(TargetFilters::default()))), ["filter"], "it would match every device");
    let patch = GroupPatch { name: Some(String::new().into()), ..GroupPatch::default() };
    assert!(matches!(decide(&of_static(&[]), C::Amend { patch }), Err(Rejection::Invalid { .. })));
}

fn any_command() -> impl Strategy<Value = C> {
    let some = || proptest::collection::vec(0..12_u8, 0..6);
    let named = |numbers: Vec<u8>| numbers.into_iter().map(|number| device(&format!("d-{number}"))).collect();
    prop_oneof![
        2 => proptest::bool::ANY.prop_map(|dynamic| C::Create { spec: spec(dynamic.then(|| filter("M"))) }),
        2 => "[a-c]".prop_map(|name| C::Amend { patch: GroupPatch { name: Some(name.into()), ..GroupPatch::default() } }),
        5 => some().prop_map(move |numbers| C::AddMembers { devices: named(numbers) }),
        4 => some().prop_map(move |numbers| C::RemoveMembers { devices: named(numbers) }),
        1 => Just(C::Delete),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::cases(128)))]

    /// A command that is sent again changes nothing, a dynamic group never has members, and events name only what they change.
    #[test]
    fn any_history_of_commands_is_consistent(commands in proptest::collection::vec(any_command(), 1..40)) {
        let (mut group, mut events) = (Group::default(), Vec::new());
        for command in commands {
            let Ok(decided) = decide(&group, command.clone()) else { continue };
            for event in &decided {
                let before = group.members.clone();
                group.apply(event);
                match event {
                    E::MembersAdded { devices } => prop_assert!(devices.iter().all(|device| !before.contains(device))),
                    E::MembersRemoved { devices } => prop_assert!(devices.iter().all(|device| before.contains(device))),
                    E::Created { .. } | E::Amended { .. } | E::Deleted {} => {}
                }
            }
            if command != C::Delete {
                prop_assert_eq!(decide(&group, command), Ok(vec![]));
            }
            let is_dynamic = group.spec.as_ref().is_some_and(|spec| spec.kind() == GroupKind::Dynamic);
            prop_assert!(group.members.is_empty() || !is_dynamic);
            events.extend(decided);
        }
        prop_assert_eq!(after(&events), group);
    }
}
