//! The devices that need a firmware to go back to.

use domain::CampaignId;
use domain::campaign::{Campaign, CampaignCommand, RollbackCause};
use domain::device::*;
use domain::firmware::FirmwarePolicy;
use domain::firmware::*;
use domain::values::Sha256Digest;
use projections::firmware::FirmwareFilter;
use projections::rollback_need;
use serde_json::json;
use sqlx::Executor as _;

use crate::fleet::{World, device, request};

/// How many devices could go back to it, and by which campaigns.
async fn to(world: &World, firmware: &FirmwareSnapshot) -> (u32, Vec<CampaignId>) {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let filter = FirmwareFilter { id: Some(firmware.firmware_id.to_string()), ..FirmwareFilter::default() };
    let page = projections::firmware::list(&mut tx, &filter, None, 1, false).await.unwrap();
    let RollbackNeed { devices, more, campaigns } = rollback_need::to(&mut tx, &page.items[0]).await.unwrap();
    assert!(!more);
    (devices, campaigns)
}

async fn orders(world: &World, id: &str, wanted: UpdateRequest) {
    let command = DeviceCommand::RequestUpdate { request: Box::new(wanted) };
    world.tell::<Device>(&device(id), command).await.unwrap();
}

async fn fleet(world: &World, devices: usize) {
    for n in 0..devices {
        world.register(&format!("d-{n}")).await;
        world.boots(&format!("d-{n}"), "b1", "1.0.0").await;
    }
}

/// A firmware that devices may not leave.
async fn for_good(world: &World, version: &str) -> FirmwareSnapshot {
    let id = domain::FirmwareId::derive(&world.tenant, "M", "firmware", version);
    let metadata = serde_json::from_value(json!({
        "name": "F", "version": version, "device_model": "M", "component": "firmware", "update_type": "firmware",
        "rollback_allowed": false, "requires_reboot": true,
    }));
    let (md5, sha1, sha256) = ("0".repeat(32), "0".repeat(40), Sha256Digest::of(version.as_bytes()));
    let bytes = FirmwareBytes { size: 3, md5, sha1, sha256, filename: None };
    let command = FirmwareCommand::Register { metadata: metadata.unwrap(), bytes, signatures: vec![] };
    world
        .tell::<Firmware>(&id, command)
        .await
        .unwrap()
        .aggregate
        .snapshot_for_new_work(id, &FirmwarePolicy::default())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firmware_is_the_way_back_from_an_updates_begin_until_something_newer_runs() {
    let world = World::start().await;
    let (first, second) = (world.firmware("1.0.0").await, world.firmware("2.0.0").await);
    let third = world.firmware("3.0.0").await;
    fleet(&world, 2).await;
    assert_eq!(to(&world, &first).await, (0, vec![]), "who runs it needs no way back to it");
    orders(&world, "d-0", request(&second)).await;
    assert_eq!(to(&world, &first).await.0, 1, "it may run the other one at any moment");
    world.installs("d-0", "b2", "v2.0.0").await;
    assert_eq!((to(&world, &first).await.0, to(&world, &second).await.0), (1, 0));
    world.tell::<Firmware>(&first.firmware_id, FirmwareCommand::Deprecate).await.unwrap();
    assert_eq!(to(&world, &first).await.0, 1, "it can still be installed");

    // Superseded: it would go back to what came in between.
    orders(&world, "d-0", request(&third)).await;
    assert_eq!((to(&world, &first).await.0, to(&world, &second).await.0), (1, 1), "nobody knows yet where it ends");
    world.installs("d-0", "b3", "3.0.0").await;
    assert_eq!((to(&world, &first).await.0, to(&world, &second).await.0), (0, 1));

    // After a return the version that was left isn't the way back, and the one before is it again.
    let back = UpdateRequest { kind: UpdateKind::Rollback, allow_downgrade: true, ..request(&second) };
    orders(&world, "d-0", back).await;
    world.installs("d-0", "b4", "2.0.0").await;
    let all = [to(&world, &first).await.0, to(&world, &second).await.0, to(&world, &third).await.0];
    assert_eq!(all, [1, 0, 0]);
    world.tell::<Firmware>(&first.firmware_id, FirmwareCommand::Withdraw).await.unwrap();
    assert_eq!(to(&world, &first).await.0, 0, "no device goes back to a withdrawn one");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_never_go_back_need_no_firmware() {
    let world = World::start().await;
    let (first, second) = (world.firmware("1.0.0").await, world.firmware("2.0.0").await);
    let last = for_good(&world, "3.0.0").await;
    fleet(&world, 3).await;
    for (id, firmware, version) in [("d-0", &second, "2.0.0"), ("d-1", &last, "3.0.0")] {
        orders(&world, id, request(firmware)).await;
        world.installs(id, "b2", version).await;
    }
    orders(&world, "d-2", request(&second)).await;
    world.fails("d-2").await;
    assert_eq!(to(&world, &first).await.0, 1, "one can't go back, and one never left");
    world.tell::<Device>(&device("d-0"), DeviceCommand::Decommission).await.unwrap();
    assert_eq!(to(&world, &first).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_keeps_the_firmware_of_its_devices_until_it_is_rolled_back() {
    let world = World::start().await;
    let (first, second) = (world.firmware("1.0.0").await, world.firmware("2.0.0").await);
    fleet(&world, 4).await;
    let id = world.campaign(&second, |_| {}).await;
    world.tick().await;
    assert_eq!(to(&world, &first).await, (4, vec![id]), "nobody has it yet, and everybody may get it");
    for _ in 0..6 {
        world.tick().await;
        for n in 0..4 {
            world.installs(&format!("d-{n}"), "b2", "2.0.0").await;
        }
    }
    world.tick().await;
    assert_eq!(to(&world, &first).await, (4, vec![id]), "it has ended, and can be rolled back");
    world.tell::<Device>(&device("d-3"), DeviceCommand::Decommission).await.unwrap();
    assert_eq!(to(&world, &first).await, (3, vec![id]));
    world.tell::<Campaign>(&id, CampaignCommand::RollBack { cause: RollbackCause::Operator }).await.unwrap();
    world.tick().await;
    world.tick().await;
    world.installs("d-0", "b3", "1.0.0").await;
    assert_eq!(to(&world, &first).await, (2, vec![id]), "one is back");
    for _ in 0..3 {
        world.tick().await;
        for n in 1..3 {
            world.installs(&format!("d-{n}"), "b3", "1.0.0").await;
        }
    }
    assert_eq!(to(&world, &first).await, (0, vec![]));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_paths_that_updates_took_are_read_from_their_index() {
    let world = World::start().await;
    world.settles().await;
    let mut tx = world.admin().await.begin().await.unwrap();
    tx.execute(
        "INSERT INTO updates SELECT u.* FROM generate_series(1, 2000) n CROSS JOIN LATERAL
         jsonb_populate_record(NULL::updates, jsonb_build_object('tenant', 'acme', 'device_id', 'd-' || n, 'ordinal', 1,
             'kind', 'update', 'component', 'firmware', 'from_version', '1.0.' || n % 7, 'firmware_id', 'f',
             'version', '2.0.0', 'priority', 'normal', 'max_attempts', 3, 'phase', 'confirmed', 'attempt', 1,
             'queued_at', now(), 'wait_until', now(), 'phase_since', now(), 'idle_s', 0, 'limits', '{}'::jsonb,
             'late', '[]'::jsonb, 'open', false, 'seq', n, 'position', n, 'require_digest_report', false,
             'cancel_refused', false, 'window_closed', false)) u",
    )
    .await
    .unwrap();
    tx.execute("SET LOCAL ROLE waybill_reader; SET LOCAL waybill.tenant = 'acme'").await.unwrap();
    let sql =
        rollback_need::UPDATE_PATHS.replace("{limit}", "2001").replace("$1", "'acme'").replace("$2", "'firmware'");
    tx.execute(rollback_need::BY_INDEX).await.unwrap();
    let plan: Vec<String> =
        sqlx::query_scalar(&format!("EXPLAIN (ANALYZE, BUFFERS OFF) {sql}")).fetch_all(&mut *tx).await.unwrap();
    let by_index = plan.iter().filter(|line| line.contains("updates_came_from")).count();
    assert_eq!(by_index, 5, "{plan:#?}");
    let steps = plan.iter().filter(|line| line.contains("Index Cond") && line.contains(" > p.")).count();
    assert_eq!(steps, 3, "each step begins where the last one ended: {plan:#?}");
}
