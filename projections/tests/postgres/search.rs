//! The search: what it finds by, in which order, for whom, and that indexes serve it.

use domain::TenantId;
use domain::device::{Device, DeviceCommand, Profile};
use domain::group::{Group, GroupCommand, GroupSpec};
use domain::values::Sha256Digest;
use projections::reach::Reach;
use projections::search::{Found, Matched, campaigns, devices, firmware, groups};
use sqlx::Executor as _;

use crate::fleet::{World, device};

/// More than any search here finds.
const ALL: usize = 10;

async fn register(world: &World, id: &str, name: &str, profile: Profile) {
    let profile = Profile { name: Some(name.to_owned().into()), ..profile };
    world.tell::<Device>(&device(id), DeviceCommand::Register { profile, versions: Default::default() }).await.unwrap();
}

fn ids<T>(found: &Found<T>) -> Vec<(&str, Matched)> {
    found.hits.iter().map(|hit| (hit.id.as_str(), hit.matched)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_found_by_the_beginning_of_an_id_or_a_name_and_by_eui() {
    let world = World::start().await;
    let eui = Profile { lorawan_dev_eui: Some("0102030405060708".into()), ..Profile::default() };
    let owned = Profile { owner: Some("lea".into()), ..Profile::default() };
    register(&world, "AB-1", "Prüfstand", eui).await;
    register(&world, "ab-2", "100% ok", owned).await;
    register(&world, "x_1", "Ab initio", Profile::default()).await;
    register(&world, "xy1", "lab", Profile::default()).await;
    world.tell::<Device>(&device("xy1"), DeviceCommand::Decommission).await.unwrap();
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let mut find = async |text: &str, eui: Option<&str>, reach: Option<&Reach>, limit: usize| {
        devices(&mut tx, text, eui, reach, limit).await.unwrap()
    };
    let (id, name) = (Matched::Id, Matched::Name);
    assert_eq!(ids(&find("ab", None, None, ALL).await), [("AB-1", id), ("ab-2", id), ("x_1", name)]);
    assert_eq!(ids(&find("ab-2", None, None, ALL).await), [("ab-2", id)]);
    assert_eq!(ids(&find("pRüF", None, None, ALL).await), [("AB-1", name)]);
    assert_eq!(ids(&find("xy1", None, None, ALL).await), [("xy1", id)], "also out of service");
    for nothing in ["%", "_", "b-", "b initio"] {
        assert_eq!(ids(&find(nothing, None, None, ALL).await), [], "{nothing}");
    }
    let by_eui = find("0102030405060708", Some("0102030405060708"), None, ALL).await;
    assert_eq!(ids(&by_eui), [("AB-1", Matched::Eui)]);
    let (first, exactly) = (find("ab", None, None, 2).await, find("ab-", None, None, 2).await);
    assert_eq!((first.hits.len(), first.more), (2, true));
    assert_eq!((exactly.hits.len(), exactly.more), (2, false));
    let lea = Reach { owner: Some("lea".to_owned()), groups: vec![] };
    assert_eq!(ids(&find("ab", None, Some(&lea), ALL).await), [("ab-2", id)]);
    assert_eq!(ids(&find("0", Some("0102030405060708"), Some(&lea), ALL).await), []);
    drop(tx);
    let mut tx = world.db.read(&TenantId::new("other").unwrap()).await.unwrap();
    assert_eq!(ids(&devices(&mut tx, "ab", Some("0102030405060708"), None, ALL).await.unwrap()), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_firmware_and_groups_are_found_by_what_names_them() {
    let world = World::start().await;
    world.register("d-1").await;
    let image = world.firmware("2.0.0-rc.1").await;
    let campaign = world.campaign(&image, |spec| spec.name = "Q4 rollout".to_owned().into()).await.to_string();
    let spec = GroupSpec { name: "North wing".to_owned().into(), description: None, filter: None };
    world.tell::<Group>(&domain::GroupId::new("Hall-3").unwrap(), GroupCommand::Create { spec }).await.unwrap();
    world.settles().await;
    let image_id = image.firmware_id.to_string();
    let digest = Sha256Digest::of(b"2.0.0-rc.1").to_string();
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    for (text, matched) in [("q4 R", Matched::Name), (&*campaign, Matched::Id), (&campaign[..8], Matched::Id)] {
        assert_eq!(ids(&campaigns(&mut tx, text, None, ALL).await.unwrap()), [(&*campaign, matched)], "{text}");
    }
    // Its target is the whole tenant, not a group.
    assert_eq!(ids(&campaigns(&mut tx, "q4", Some(&[]), ALL).await.unwrap()), []);
    for (text, hex, matched) in [
        ("2.0.0-RC", None, Matched::Version),
        ("f", None, Matched::Name),
        (&image_id[..13], None, Matched::Id),
        (&digest[..8], Some(&digest[..8]), Matched::Digest),
        (&*digest, Some(&*digest), Matched::Digest),
    ] {
        assert_eq!(ids(&firmware(&mut tx, text, hex, ALL).await.unwrap()), [(&*image_id, matched)], "{text}");
    }
    for (text, matched) in [("hall", Matched::Id), ("NORTH", Matched::Name)] {
        assert_eq!(ids(&groups(&mut tx, text, ALL).await.unwrap()), [("Hall-3", matched)], "{text}");
    }
    drop(tx);
    let mut tx = world.db.read(&TenantId::new("other").unwrap()).await.unwrap();
    assert_eq!(ids(&campaigns(&mut tx, "q4", None, ALL).await.unwrap()), []);
    assert_eq!(ids(&firmware(&mut tx, "2", Some(&digest), ALL).await.unwrap()), []);
    assert_eq!(ids(&groups(&mut tx, "hall", ALL).await.unwrap()), []);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_serves_each_beginning_in_its_order_under_row_level_security() {
    let world = World::start().await;
    world.projections.started().await;
    let mut tx = world.admin().await.begin().await.unwrap();
    let settings = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL ROLE waybill_reader; SET LOCAL waybill.tenant = 'acme'";
    tx.execute(settings).await.unwrap();
    for (table, column) in [
        ("devices", "device_id_lower"),
        ("devices", "name_lower"),
        ("campaigns", "campaign_id"),
        ("campaigns", "name_lower"),
        ("firmware", "firmware_id"),
        ("firmware", "name_lower"),
        ("firmware", "version_lower"),
        ("firmware", "sha256"),
        ("groups", "group_id_lower"),
        ("groups", "name_lower"),
    ] {
        let sql = format!(
            "EXPLAIN SELECT 1 FROM {table} t WHERE t.{column} ~>=~ lower('Ab') AND t.{column} ~<~ (lower('Ab') || chr(1114111))
             ORDER BY t.{column} USING ~<~ LIMIT 3"
        );
        let plan: Vec<String> = sqlx::query_scalar(&sql).fetch_all(&mut *tx).await.unwrap();
        let is_served = plan.iter().any(|line| line.contains("Index Cond") && line.contains(column));
        let is_sorted = plan.iter().any(|line| line.contains("Sort"));
        assert!(is_served && !is_sorted, "{table}.{column}: {plan:#?}");
    }
}
