//! Devices that are asked for at the same time.

use domain::TenantId;
use domain::device::{Device, DeviceCommand, Profile};
use futures::future::join_all;
use projections::devices::{self, DeviceReads, DeviceView};
use sqlx::Executor as _;

use crate::fleet::{World, device};
use crate::until::until;

/// Devices of each tenant, the same ids in both.
const DEVICES: usize = 100;
/// Transactions for one tenant at the same time, as documented.
const READERS: i64 = 2;

async fn register(world: &World, tenant: &TenantId) {
    for n in 0..DEVICES {
        let profile = Profile { name: Some(format!("{tenant} {n}").into()), ..Profile::default() };
        let command = DeviceCommand::Register { profile, versions: Default::default() };
        world.tell_in::<Device>(tenant, &device(&format!("d-{n}")), command).await.unwrap();
    }
}

async fn alone(world: &World, tenant: &TenantId, id: &str) -> Option<DeviceView> {
    devices::get(&mut world.db.read(tenant).await.unwrap(), tenant, id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_asked_for_at_once_are_read_in_few_transactions_each_of_one_tenant() {
    let world = World::start().await;
    let tenants = [world.tenant.clone(), TenantId::new("other").unwrap()];
    for tenant in &tenants {
        register(&world, tenant).await;
    }
    world.settles().await;
    let reads = DeviceReads::new(world.db.clone(), world.tasks.clone());
    let admin = world.admin().await;
    let mut lock = admin.begin().await.unwrap();
    lock.execute("LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let ids: Vec<_> = (0..=DEVICES).map(|n| device(&format!("d-{n}"))).collect();
    let asked: Vec<_> = tenants.iter().flat_map(|tenant| ids.iter().map(move |id| (tenant, id))).collect();
    let all = join_all(asked.iter().map(|(tenant, id)| reads.get(tenant, id)));
    // Requests whose callers go away change nothing for the others.
    let given_up = join_all(ids.iter().map(|id| reads.get(&world.tenant, id)));
    let waiting = async {
        let count =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let look = async || sqlx::query_scalar::<_, i64>(count).fetch_one(&admin).await.unwrap();
        until("readers of both tenants wait", look, |waiting| *waiting == 2 * READERS).await;
        tokio::select! { biased; _ = given_up => panic!("answered behind a lock"), () = std::future::ready(()) => {} }
        assert_eq!(look().await, 2 * READERS);
        lock.rollback().await.unwrap();
    };
    let (answers, ()) = tokio::join!(all, waiting);
    for ((tenant, id), answer) in asked.into_iter().zip(answers) {
        let view = answer.unwrap();
        assert_eq!(view.is_some(), id.as_str() != format!("d-{DEVICES}"), "{tenant} {id}");
        assert_eq!(view, alone(&world, tenant, id.as_str()).await, "{tenant} {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_reaches_all_who_asked_and_the_next_request_is_read_again() {
    let world = World::start().await;
    register(&world, &world.tenant).await;
    world.settles().await;
    let reads = DeviceReads::new(world.db.clone(), world.tasks.clone());
    let admin = world.admin().await;
    let ids: Vec<_> = (0..DEVICES).map(|n| device(&format!("d-{n}"))).collect();
    admin.execute("REVOKE SELECT ON devices FROM waybill_reader").await.unwrap();
    for answer in join_all(ids.iter().map(|id| reads.get(&world.tenant, id))).await {
        assert!(answer.is_err());
    }
    admin.execute("GRANT SELECT ON devices TO waybill_reader").await.unwrap();
    for answer in join_all(ids.iter().map(|id| reads.get(&world.tenant, id))).await {
        assert!(answer.unwrap().is_some());
    }
}
