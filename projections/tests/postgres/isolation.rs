//! Tenants see only their own rows, with any owner of the tables.

use domain::TenantId;
use domain::device::{Device, DeviceCommand, Profile};
use projections::devices;
use sqlx::Executor as _;

use crate::fleet::{World, device};

async fn two_tenants(world: &World) -> TenantId {
    let other = TenantId::new("other").unwrap();
    let register = || DeviceCommand::Register { profile: Profile::default(), versions: Default::default() };
    world.tell_in::<Device>(&world.tenant, &device("mine"), register()).await.unwrap();
    world.tell_in::<Device>(&other, &device("theirs"), register()).await.unwrap();
    world.settles().await;
    other
}

async fn sees(world: &World, tenant: &TenantId) -> Vec<String> {
    let mut tx = world.db.read(tenant).await.unwrap();
    let page = devices::list(&mut tx, &Default::default(), None, 10, true).await.unwrap();
    assert_eq!(page.total, Some(page.items.len() as u64));
    page.items.into_iter().map(|device| device.row.device_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_rows_only_also_after_a_rebuild() {
    let world = World::start().await;
    let other = two_tenants(&world).await;
    for round in 0..2 {
        assert_eq!(sees(&world, &world.tenant).await, ["mine"], "round {round}");
        assert_eq!(sees(&world, &other).await, ["theirs"]);
        projections::rebuild(&world.db, world.log.clone(), projections::FLEET, |_, _| {}).await.unwrap();
        world.settles().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readers_role_sees_nothing_without_a_tenant_and_writes_nothing() {
    let world = World::start().await;
    two_tenants(&world).await;
    let mut reader = world.admin().await.acquire().await.unwrap();
    reader.execute("SET ROLE waybill_reader").await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
         WHERE c.relkind IN ('r', 'v') AND c.relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut *reader)
    .await
    .unwrap();
    assert!(tables.len() >= 15, "{tables:?}");
    for table in tables {
        let rows: i64 =
            sqlx::query_scalar(&format!("SELECT count(*) FROM {table}")).fetch_one(&mut *reader).await.unwrap();
        assert_eq!(rows, 0, "{table}");
        assert!(reader.execute(&*format!("DELETE FROM {table}")).await.is_err(), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_tables_needs_no_special_rights() {
    let first = World::start().await;
    let admin = first.admin().await;
    admin.execute("CREATE ROLE plain_owner LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS").await.unwrap();
    // Roles of the server that another owner has created.
    admin.execute("GRANT waybill_projector, waybill_reader TO plain_owner WITH ADMIN OPTION").await.unwrap();
    let world = World::owned_by("plain_owner").await;
    let other = two_tenants(&world).await;
    assert_eq!(sees(&world, &other).await, ["theirs"]);
    world.equals_a_replay().await;
    projections::rebuild(&world.db, world.log.clone(), projections::ARCHIVE, |_, _| {}).await.unwrap();
    world.settles().await;
    let (_, events) = projections::archive::replay::<Device>(&world.db, &world.tenant, "mine").await.unwrap();
    assert_eq!(events, 1);
    // The comparison sees rows: it finds one that was changed directly.
    world.admin().await.execute("UPDATE devices SET name = 'forged' WHERE device_id = 'mine'").await.unwrap();
    let differences = projections::compare(&world.db, world.log.clone()).await.unwrap();
    assert_eq!(differences.len(), 2, "{differences:?}");
}
