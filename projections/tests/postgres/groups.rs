//! Groups of devices: their members, the devices that they select, and campaigns that target them.

use domain::campaign::{Campaign, CampaignCommand, CampaignSpec, TargetFilters};
use domain::change::Change;
use domain::device::{Device, DeviceCommand};
use domain::group::{Group, GroupCommand as C, GroupKind, GroupPatch, GroupSpec};
use domain::version::VersionRequirement;
use domain::{Actor, ActorKind, CampaignId, DeviceId, GroupId, Person, Sealed};
use projections::devices::{self, DeviceFilter};
use projections::groups::{self, GroupFilter, GroupRow};
use projections::{rollout, selection};
use runtime::clock;
use serde_json::json;

use crate::fleet::{World, device};

/// More members than a page.
const LIMIT: usize = 2;

fn id(text: &str) -> GroupId {
    GroupId::new(text).unwrap()
}

fn named(ids: &[&str]) -> Vec<DeviceId> {
    ids.iter().map(|id| device(id)).collect()
}

async fn create(world: &World, group: &str, filter: Option<TargetFilters>) {
    let spec = GroupSpec { name: group.to_uppercase().into(), description: None, filter };
    world.tell::<Group>(&id(group), C::Create { spec }).await.unwrap();
}

async fn tell(world: &World, group: &str, command: C) {
    world.tell::<Group>(&id(group), command).await.unwrap();
}

async fn tag(world: &World, id: &str, ring: &str) {
    let patch = serde_json::from_value(json!({"tags": {"ring": ring}})).unwrap();
    world.tell::<Device>(&device(id), DeviceCommand::Amend { patch, versions: Default::default() }).await.unwrap();
}

fn ring(name: &str, firmware_version: Option<&str>) -> TargetFilters {
    let tags = [("ring".to_owned(), name.to_owned())].into();
    TargetFilters { tags, firmware_version: firmware_version.map(str::to_owned), ..TargetFilters::default() }
}

async fn row(world: &World, group: &str) -> Option<GroupRow> {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    groups::get(&mut tx, &id(group)).await.unwrap()
}

/// The members of a group, page by page, with their total.
async fn members(world: &World, group: &str) -> Vec<String> {
    let row = row(world, group).await.unwrap();
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = selection::members(&mut tx, &row, after.as_deref(), LIMIT, true).await.unwrap();
        found.extend(page.items.into_iter().map(|member| member.device_id));
        let Some(next) = page.next else {
            assert_eq!(page.total, Some(found.len() as u64));
            return found;
        };
        after = Some(next[0].clone());
    }
}

/// What lists of devices show of a group, by both queries.
async fn listed(world: &World, group: &str, more: DeviceFilter) -> Vec<String> {
    let filter = DeviceFilter { group: row(world, group).await, ..more };
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let page = devices::list(&mut tx, &filter, None, 100, true).await.unwrap();
    let found: Vec<String> = page.items.into_iter().map(|device| device.row.device_id).collect();
    assert_eq!(page.total, Some(found.len() as u64));
    if !filter.decommissioned {
        let (mut ids, mut after) = (Vec::new(), None::<DeviceId>);
        loop {
            let (page, at) = selection::device_ids(&mut tx, &filter, after.as_ref(), LIMIT).await.unwrap();
            assert_eq!(at, world.head().await);
            ids.extend(page.items.iter().map(ToString::to_string));
            after = page.items.last().cloned().filter(|_| page.next.is_some());
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids, found);
    }
    found
}

async fn groups_of(world: &World, device_id: &str) -> Vec<String> {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    devices::get(&mut tx, &world.tenant, device_id).await.unwrap().unwrap().groups
}

#[tokio::test(flavor = "multi_thread")]
async fn static_groups_list_their_members_and_devices_their_groups() {
    let world = World::start().await;
    for id in ["d-1", "d-2", "d-3", "d-4", "d-5"] {
        world.register(id).await;
    }
    create(&world, "hall-3", None).await;
    create(&world, "spare", None).await;
    tell(&world, "hall-3", C::AddMembers { devices: named(&["d-3", "d-1", "d-5", "d-4"]) }).await;
    tell(&world, "spare", C::AddMembers { devices: named(&["d-1"]) }).await;
    tell(&world, "hall-3", C::RemoveMembers { devices: named(&["d-4"]) }).await;
    world.tell::<Device>(&device("d-5"), DeviceCommand::Decommission).await.unwrap();
    assert_eq!(members(&world, "hall-3").await, ["d-1", "d-3", "d-5"]);
    assert_eq!(row(&world, "hall-3").await.unwrap().members, 3);
    assert_eq!(listed(&world, "hall-3", DeviceFilter::default()).await, ["d-1", "d-3"], "in service");
    let all = DeviceFilter { decommissioned: true, ..DeviceFilter::default() };
    assert_eq!(listed(&world, "hall-3", all).await, ["d-1", "d-3", "d-5"]);
    let third = DeviceFilter { prefix: Some("D-3".into()), ..DeviceFilter::default() };
    assert_eq!(listed(&world, "hall-3", third).await, ["d-3"], "filters apply within the group");
    let matching = Some(TargetFilters { device_model: Some("N".into()), ..TargetFilters::default() });
    let none = DeviceFilter { matching, ..DeviceFilter::default() };
    assert_eq!(listed(&world, "hall-3", none).await, Vec::<String>::new());
    assert_eq!(groups_of(&world, "d-1").await, ["hall-3", "spare"]);
    assert_eq!(groups_of(&world, "d-4").await, Vec::<String>::new());

    let patch = GroupPatch { name: Some("Hall 4".to_owned().into()), ..GroupPatch::default() };
    tell(&world, "hall-3", C::Amend { patch }).await;
    let amended = row(&world, "hall-3").await.unwrap();
    assert_eq!((amended.name.as_deref(), amended.kind), (Some("Hall 4"), GroupKind::Static));
    world.equals_a_replay().await;

    tell(&world, "hall-3", C::Delete).await;
    assert_eq!(row(&world, "hall-3").await, None);
    assert_eq!(groups_of(&world, "d-1").await, ["spare"]);
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let ids = async |tx: &mut projections::ReadTx, filter: GroupFilter| {
        let page = groups::list(tx, &filter, None, 10, true).await.unwrap();
        page.items.into_iter().map(|row| row.group_id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&mut tx, GroupFilter::default()).await, ["spare"]);
    assert_eq!(ids(&mut tx, GroupFilter { deleted: true, ..GroupFilter::default() }).await, ["hall-3", "spare"]);
    let dynamic = GroupFilter { kind: Some(GroupKind::Dynamic), ..GroupFilter::default() };
    assert_eq!(ids(&mut tx, dynamic).await, Vec::<String>::new());
    drop(tx);
    create(&world, "hall-3", None).await;
    tell(&world, "hall-3", C::AddMembers { devices: named(&["d-2"]) }).await;
    assert_eq!(members(&world, "hall-3").await, ["d-2"], "it begins empty");
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_that_is_deleted_and_created_within_one_batch_are_right() {
    let world = World::start().await;
    world.register("d-1").await;
    world.settles().await;
    for _ in 0..3 {
        create(&world, "g", None).await;
        tell(&world, "g", C::AddMembers { devices: named(&["d-1", "d-2"]) }).await;
        tell(&world, "g", C::RemoveMembers { devices: named(&["d-1"]) }).await;
        tell(&world, "g", C::AddMembers { devices: named(&["d-1", "d-3"]) }).await;
        tell(&world, "g", C::Delete).await;
    }
    create(&world, "g", None).await;
    tell(&world, "g", C::AddMembers { devices: named(&["d-3"]) }).await;
    assert_eq!(members(&world, "g").await, ["d-3"]);
    // The replay applies all records in one batch.
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dynamic_group_has_the_devices_that_match_now() {
    let world = World::start().await;
    for (id, version) in [("d-1", "1.0.0"), ("d-2", "1.5.0"), ("d-3", "2.0.0"), ("d-4", "1.0.0")] {
        world.register(id).await;
        world.boots(id, "b1", version).await;
    }
    for id in ["d-1", "d-2", "d-3"] {
        tag(&world, id, "beta").await;
    }
    create(&world, "beta", Some(ring("beta", Some("<2.0.0")))).await;
    assert_eq!(members(&world, "beta").await, ["d-1", "d-2"]);
    assert_eq!(listed(&world, "beta", DeviceFilter::default()).await, ["d-1", "d-2"]);
    assert_eq!(groups_of(&world, "d-1").await, Vec::<String>::new(), "only static groups are listed with a device");

    tag(&world, "d-4", "beta").await;
    world.tell::<Device>(&device("d-1"), DeviceCommand::Decommission).await.unwrap();
    world.boots("d-2", "b2", "2.0.0").await;
    assert_eq!(members(&world, "beta").await, ["d-4"]);
    let patch = GroupPatch { filter: Some(ring("beta", None)), ..GroupPatch::default() };
    tell(&world, "beta", C::Amend { patch }).await;
    assert_eq!(members(&world, "beta").await, ["d-2", "d-3", "d-4"]);
    world.equals_a_replay().await;
}

/// The devices that a campaign would have.
async fn planned(world: &World, change: impl FnOnce(&mut CampaignSpec)) -> Vec<String> {
    world.settles().await;
    let firmware = world.firmware("9.0.0").await;
    let mut spec = crate::fleet::spec(firmware.firmware_id);
    spec.target_all = false;
    change(&mut spec);
    world.settles().await;
    let found = rollout::plan_candidates(&world.db, &world.tenant, &spec, &firmware, world.head().await, clock::now());
    let (candidates, at_position) = found.await.unwrap().unwrap();
    assert_eq!(at_position, world.head().await);
    candidates.into_iter().map(|candidate| candidate.device.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_targets_the_members_that_its_groups_have_when_it_is_planned() {
    let world = World::start().await;
    for (id, version) in [("d-1", "1.0.0"), ("d-2", "1.5.0"), ("d-3", "2.0.0"), ("d-4", "1.0.0"), ("d-5", "1.0.0")] {
        world.register(id).await;
        world.boots(id, "b1", version).await;
    }
    tag(&world, "d-2", "beta").await;
    tag(&world, "d-3", "beta").await;
    create(&world, "hall", None).await;
    create(&world, "empty", None).await;
    create(&world, "beta", Some(ring("beta", Some("<2.0.0")))).await;
    create(&world, "all-beta", Some(ring("beta", None))).await;
    tell(&world, "hall", C::AddMembers { devices: named(&["d-1", "d-5"]) }).await;
    let with = |groups: &'static [&'static str], devices: &'static [&'static str]| {
        move |spec: &mut CampaignSpec| {
            spec.target_groups = groups.iter().map(|group| id(group)).collect();
            spec.target_devices = named(devices);
        }
    };
    assert_eq!(planned(&world, with(&["hall"], &[])).await, ["d-1", "d-5"]);
    assert_eq!(planned(&world, with(&["beta"], &[])).await, ["d-2"]);
    assert_eq!(
        planned(&world, with(&["hall", "all-beta"], &["d-4", "d-1"])).await,
        ["d-1", "d-2", "d-3", "d-4", "d-5"]
    );
    assert_eq!(planned(&world, with(&["empty"], &[])).await, Vec::<String>::new());
    assert_eq!(planned(&world, with(&["gone"], &[])).await, Vec::<String>::new(), "never the whole tenant");
    let filtered = |spec: &mut CampaignSpec| {
        with(&["hall", "all-beta"], &[])(spec);
        spec.target_filters.firmware_version = Some("1.*".into());
    };
    assert_eq!(planned(&world, filtered).await, ["d-1", "d-2", "d-5"], "filters apply to members");

    world.tell::<Device>(&device("d-5"), DeviceCommand::Decommission).await.unwrap();
    tell(&world, "hall", C::RemoveMembers { devices: named(&["d-1"]) }).await;
    tell(&world, "hall", C::AddMembers { devices: named(&["d-4"]) }).await;
    tag(&world, "d-3", "stable").await;
    assert_eq!(planned(&world, with(&["hall", "all-beta"], &[])).await, ["d-2", "d-4"]);
    tell(&world, "hall", C::Delete).await;
    assert_eq!(planned(&world, with(&["hall", "beta"], &[])).await, ["d-2"], "a deleted group has no members");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reading_of_a_version_filter_finds_a_device_however_many_versions_there_are() {
    let world = World::start().await;
    world.register("d-1").await;
    world.boots("d-1", "b1", "9.0.0").await;
    tag(&world, "d-1", "beta").await;
    create(&world, "beta", Some(ring("beta", Some(">=9.0.0")))).await;
    world.settles().await;
    let versions = "INSERT INTO device_version_counts (tenant, component, version, active, decommissioned)
                    SELECT 'acme', 'firmware', '1.0.' || n, 1, 0 FROM generate_series(1, 20000) n";
    sqlx::query(versions).execute(&world.admin().await).await.unwrap();
    assert_eq!(members(&world, "beta").await, ["d-1"]);
    let matching = Some(TargetFilters { firmware_version: Some(">=9.0.0".into()), ..TargetFilters::default() });
    let filtered = DeviceFilter { matching, ..DeviceFilter::default() };
    assert_eq!(listed(&world, "beta", filtered).await, ["d-1"]);
    let requirement = DeviceFilter {
        firmware_version: Some(VersionRequirement::parse(">=9.0.0").unwrap()),
        ..DeviceFilter::default()
    };
    assert_eq!(listed(&world, "beta", requirement).await, ["d-1"]);
    assert_eq!(planned(&world, |spec| spec.target_groups = vec![id("beta")]).await, ["d-1"]);
    let by_filter = |spec: &mut CampaignSpec| spec.target_filters.firmware_version = Some(">=9.0.0".into());
    assert_eq!(planned(&world, by_filter).await, ["d-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_name_stays_unknown_when_something_else_is_changed() {
    let world = World::start().await;
    let name = Sealed::Sealed { sealed: "abc".into() };
    let spec = GroupSpec { name, description: None, filter: None };
    world.tell::<Group>(&id("g"), C::Create { spec }).await.unwrap();
    let patch = GroupPatch { description: Change::Set("text".to_owned().into()), ..GroupPatch::default() };
    tell(&world, "g", C::Amend { patch }).await;
    let shown = row(&world, "g").await.unwrap();
    assert_eq!((shown.name, shown.description.as_deref()), (None, Some("text")));
    tell(&world, "g", C::Amend { patch: GroupPatch { description: Change::Clear, ..GroupPatch::default() } }).await;
    assert_eq!(row(&world, "g").await.unwrap().description, None);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_under_way_that_target_a_group_are_found() {
    let world = World::start().await;
    world.register("d-1").await;
    create(&world, "g", None).await;
    tell(&world, "g", C::AddMembers { devices: named(&["d-1"]) }).await;
    let firmware = world.firmware("2.0.0").await;
    let campaign = world.campaign(&firmware, |spec| spec.target_groups = vec![id("g"), id("h")]).await;
    world.campaign(&firmware, |spec| spec.target_groups = vec![id("other")]).await;
    let found = async |group: &str| {
        world.settles().await;
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        groups::campaigns_under_way(&mut tx, &id(group), 10).await.unwrap()
    };
    assert_eq!(found("g").await, [campaign]);
    assert_eq!(found("none").await, []);
    for _ in 0..2 {
        world.tell::<Campaign>(&campaign, CampaignCommand::Cancel).await.unwrap();
        world.tick().await;
        world.tick().await;
    }
    assert_eq!(found("g").await, []);

    let rejected = CampaignId(clock::new_id());
    let mut spec = crate::fleet::spec(firmware.firmware_id);
    (spec.target_groups, spec.requires_approval) = (vec![id("g")], true);
    let command = CampaignCommand::Create { id: rejected, spec: Box::new(spec) };
    world.tell::<Campaign>(&rejected, command).await.unwrap();
    let start = CampaignCommand::Start { plan: uuid::Uuid::nil(), firmware: Box::new(firmware), expected: None };
    world.tell::<Campaign>(&rejected, start).await.unwrap();
    assert_eq!(found("g").await, [rejected], "it waits for its approval");
    let by = Person::try_from(Actor::of(ActorKind::Person, "2").unwrap()).unwrap();
    let creator = Actor::new("user:1").unwrap();
    world.tell::<Campaign>(&rejected, CampaignCommand::Reject { by, creator }).await.unwrap();
    assert_eq!(found("g").await, []);
}
