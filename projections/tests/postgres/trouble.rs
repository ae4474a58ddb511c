//! Records that can't be applied, damaged records, rejected statements, and their effects.

use bytes::Bytes;
use domain::device::{Device, DeviceCommand, Info};
use domain::firmware::Firmware;
use domain::{AggregateKey, Key};
use event_store::{Log, MemoryLog};
use projections::{Db, DbError, ProjectionState, ProjectionStatus, Projections, archive, devices};
use sqlx::Executor as _;

use crate::fleet::{ALL, World, device};
use crate::until::until;

async fn status_of(projections: &Projections, name: &str) -> ProjectionStatus {
    projections.status().await.unwrap().into_iter().find(|status| status.name == name).unwrap()
}

/// Waits until a projection is in a state; returns its status then.
pub(crate) async fn comes_to(projections: &Projections, name: &str, state: ProjectionState) -> ProjectionStatus {
    let look = async || status_of(projections, name).await;
    until(&format!("{name} is {state:?}"), look, |status| status.state == state).await
}

/// Waits until this many aggregates are parked.
async fn parks(world: &World, name: &str, count: usize) {
    let look = async || status_of(&world.projections, name).await;
    until(&format!("{name} has parked {count}"), look, |status| status.parked == count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_that_cant_be_applied_is_parked_and_can_be_unparked() {
    let world = World::start().await;
    world.register("good").await;
    world.register("bad").await;
    world.settles().await;
    let admin = world.admin().await;
    admin
        .execute("ALTER TABLE devices ADD CONSTRAINT poison CHECK (device_id <> 'bad' OR status <> 'online')")
        .await
        .unwrap();
    world.boots("bad", "b1", "1.0.0").await;
    world.boots("good", "b1", "1.0.0").await;
    world.settles().await;
    world.boots("bad", "b2", "1.1.0").await;
    world.boots("good", "b2", "1.1.0").await;
    world.settles().await;
    assert_eq!(status_of(&world.projections, projections::FLEET).await.parked, 1);
    let version = async |id: &str| {
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        devices::get(&mut tx, &world.tenant, id).await.unwrap().unwrap().row.firmware_version.unwrap()
    };
    assert_eq!((version("good").await.as_str(), version("bad").await.as_str()), ("1.1.0", "1.0.0"));
    let still = world.projections.unpark(projections::FLEET).await.unwrap();
    assert_eq!((still.released.len(), still.still_parked.len()), (0, 1), "{still:?}");
    admin.execute("ALTER TABLE devices DROP CONSTRAINT poison").await.unwrap();
    let back = world.projections.unpark(projections::FLEET).await.unwrap();
    assert_eq!(back.released, ["acme/device/bad"]);
    assert_eq!(version("bad").await, "1.1.0");
    world.boots("bad", "b3", "1.2.0").await;
    world.equals_a_replay().await;
    assert_eq!(version("bad").await, "1.2.0");
    parks(&world, projections::FLEET, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_the_database_refuses_parks_no_aggregate() {
    let world = World::start().await;
    world.settles().await;
    let admin = world.admin().await;
    admin.execute("REVOKE INSERT ON devices FROM waybill_projector").await.unwrap();
    world.register("d-1").await;
    comes_to(&world.projections, projections::FLEET, ProjectionState::Unavailable).await;
    admin.execute("GRANT INSERT ON devices TO waybill_projector").await.unwrap();
    world.equals_a_replay().await;
    assert_eq!(status_of(&world.projections, projections::FLEET).await.parked, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn projectors_may_run_long_statements_and_report_a_statement_timeout() {
    let world = World::start().await;
    let admin = world.admin().await;
    admin
        .execute(
            "CREATE FUNCTION cut_off() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'after %', current_setting('statement_timeout') USING ERRCODE = 'query_canceled'; END $$;
             CREATE TRIGGER cut_off BEFORE INSERT ON devices FOR EACH ROW EXECUTE FUNCTION cut_off()",
        )
        .await
        .unwrap();
    world.register("d-1").await;
    let status = comes_to(&world.projections, projections::FLEET, ProjectionState::Unavailable).await;
    let error = status.error.unwrap();
    assert!(error.starts_with("PostgreSQL refused") && error.contains("after 1h"), "{error}");
    admin.execute("DROP TRIGGER cut_off ON devices").await.unwrap();
    world.equals_a_replay().await;
}

pub(crate) async fn append(log: &MemoryLog, key: &AggregateKey, body: String) {
    let last = log.last_sequence(key).await.unwrap();
    log.append(key, last, Bytes::from(body)).await.unwrap();
}

pub(crate) fn record(version: u64, event: &str) -> String {
    format!(
        r#"{{"v":1,"version":{version},"command_id":"{id}","command_hash":"00","meta":{{"actor":"user:1","correlation_id":"{id}","recorded_at":"2026-01-01T00:00:00Z"}},"events":[{{"schema":1,"event":{event}}}]}}"#,
        id = uuid::Uuid::from_u128(7)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_event_halts_projections_and_the_archive_keeps_it() {
    let world = World::start().await;
    world.register("d-1").await;
    let key = Key::<Device>::new(&world.tenant, &device("d-1"));
    append(&world.memory, key.raw(), record(2, r#"{"type":"device.teleported","to":"Mars"}"#)).await;
    world.reaches(&[projections::ARCHIVE]).await;
    for name in ALL.into_iter().filter(|name| *name != projections::ARCHIVE) {
        let halted = comes_to(&world.projections, name, ProjectionState::Halted).await;
        assert!(halted.error.unwrap().contains("device.teleported"));
    }
    let kept = archive::records(&world.db, key.raw()).await.unwrap();
    assert_eq!(kept.len(), 2);
    let admin = world.admin().await;
    let event: String =
        sqlx::query_scalar("SELECT payload->>'to' FROM events WHERE aggregate_id = 'acme/d-1' AND sequence = 2")
            .fetch_one(&admin)
            .await
            .unwrap();
    assert_eq!(event, "Mars");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_keeps_the_bytes_of_a_record_without_an_event_type() {
    let world = World::start().await;
    world.register("d-1").await;
    let key = Key::<Device>::new(&world.tenant, &device("d-1"));
    append(&world.memory, key.raw(), record(2, r#"{"to":"Mars"}"#)).await;
    append(&world.memory, key.raw(), record(u64::MAX, r#"{"type":"device.teleported"}"#)).await;
    world.register("d-2").await;
    world.reaches(&[projections::ARCHIVE]).await;
    assert_eq!(archive::records(&world.db, key.raw()).await.unwrap().len(), 3);
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&world.admin().await).await.unwrap();
    assert_eq!(events, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_parks_its_aggregate_and_is_archived() {
    let world = World::start().await;
    world.register("d-1").await;
    world.register("d-2").await;
    let key = Key::<Device>::new(&world.tenant, &device("d-1"));
    append(&world.memory, key.raw(), "no record at all".to_owned()).await;
    world.boots("d-2", "b1", "1.1.0").await;
    world.settles().await;
    assert_eq!(status_of(&world.projections, projections::FLEET).await.parked, 1);
    assert_eq!(status_of(&world.projections, projections::ARCHIVE).await.parked, 0);
    let still = world.projections.unpark(projections::FLEET).await.unwrap();
    assert_eq!(still.still_parked.len(), 1);
    let bytes: Vec<u8> = sqlx::query_scalar("SELECT body FROM records WHERE position = 3 AND sha256 = sha256(body)")
        .fetch_one(&world.admin().await)
        .await
        .unwrap();
    assert_eq!(bytes, b"no record at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_postgresql_refuses_are_stored_without_harm() {
    let world = World::start().await;
    world.register("d-1").await;
    let attributes = [("a\0".to_owned(), "\0b".to_owned())].into();
    let info = Info { attributes, ..Info::default() };
    world.tell::<Device>(&device("d-1"), info.into()).await.unwrap();
    world.equals_a_replay().await;
    assert!(world.projections.status().await.unwrap().iter().all(|status| status.parked == 0));
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let filter = devices::DeviceFilter { prefix: Some("\0".into()), ..Default::default() };
    assert!(devices::list(&mut tx, &filter, None, 5, false).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_applies_events_that_are_stored_meanwhile() {
    let world = World::start().await;
    for n in 0..50 {
        world.register(&format!("a-{n}")).await;
    }
    let writing = async {
        for n in 0..200 {
            world.register(&format!("b-{n}")).await;
        }
    };
    let rebuilding = async {
        for name in ALL {
            projections::rebuild(&world.db, world.log.clone(), name, |_, _| {}).await.unwrap();
        }
    };
    tokio::join!(writing, rebuilding);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_parks_what_cant_be_applied_and_keeps_the_names_of_indexes() {
    let world = World::start().await;
    let admin = world.admin().await;
    let names =
        "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'public' AND tablename = 'devices' ORDER BY 1";
    let before: Vec<String> = sqlx::query_scalar(names).fetch_all(&admin).await.unwrap();
    for id in ["bad", "good", "broken"] {
        world.register(id).await;
    }
    let key = Key::<Device>::new(&world.tenant, &device("broken"));
    append(&world.memory, key.raw(), "no record at all".to_owned()).await;
    world.settles().await;
    admin
        .execute("ALTER TABLE devices ADD CONSTRAINT poison CHECK (device_id <> 'bad' OR status <> 'online')")
        .await
        .unwrap();
    for version in ["1.1.0", "1.2.0"] {
        world.boots("bad", version, version).await;
        world.boots("good", version, version).await;
    }
    world.settles().await;
    projections::rebuild(&world.db, world.log.clone(), projections::FLEET, |_, _| {}).await.unwrap();
    let parked = "SELECT aggregate || ' ' || position FROM parked_records WHERE projection = 'fleet' ORDER BY position";
    let parked: Vec<String> = sqlx::query_scalar(parked).fetch_all(&admin).await.unwrap();
    assert_eq!(parked, ["acme/device/broken 4", "acme/device/bad 5", "acme/device/bad 7"]);
    let after: Vec<String> = sqlx::query_scalar(names).fetch_all(&admin).await.unwrap();
    assert_eq!(after, before);
    let settings = "SELECT reloptions::text FROM pg_class WHERE oid = 'public.devices'::regclass";
    let settings: Option<String> = sqlx::query_scalar(settings).fetch_one(&admin).await.unwrap();
    assert_eq!(settings.as_deref(), Some("{fillfactor=80}"));
    parks(&world, projections::FLEET, 2).await;
    admin.execute("ALTER TABLE devices DROP CONSTRAINT poison").await.unwrap();
    let back = world.projections.unpark(projections::FLEET).await.unwrap();
    assert_eq!(back.released, ["acme/device/bad"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_with_many_parked_records_is_unparked_page_by_page() {
    let world = World::start().await;
    world.register("bad").await;
    world.settles().await;
    let admin = world.admin().await;
    admin
        .execute("ALTER TABLE devices ADD CONSTRAINT poison CHECK (device_id <> 'bad' OR status <> 'online')")
        .await
        .unwrap();
    for n in 0..150 {
        world.boots("bad", &format!("b{n}"), &format!("1.{n}.0")).await;
    }
    world.settles().await;
    admin.execute("ALTER TABLE devices DROP CONSTRAINT poison").await.unwrap();
    let back = world.projections.unpark(projections::FLEET).await.unwrap();
    assert_eq!(back.released, ["acme/device/bad"]);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_es_replays_aggregates_from_the_archive() {
    let world = World::start().await;
    world.register("d-1").await;
    world.boots("d-1", "b1", "1.0.0").await;
    let firmware = world.firmware("2.0.0").await;
    let command = DeviceCommand::RequestUpdate { request: Box::new(crate::fleet::request(&firmware)) };
    world.tell::<Device>(&device("d-1"), command).await.unwrap();
    world.installs("d-1", "b2", "2.0.0").await;
    world.settles().await;
    let live = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device("d-1"))).await.unwrap();
    let (replayed, events) = archive::replay::<Device>(&world.db, &world.tenant, "d-1").await.unwrap();
    assert_eq!((&replayed, events as u64), (&*live.aggregate, live.version));
    let id = firmware.firmware_id.to_string();
    let (replayed, _) = archive::replay::<Firmware>(&world.db, &world.tenant, &id).await.unwrap();
    assert!(replayed.content.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_used_only_after_every_migration_also_one_that_arrived_late() {
    let world = World::start().await;
    let admin = world.admin().await;
    let read = async || {
        let db = Db::connect(&world.server.url("waybill", &world.database)).unwrap();
        db.read(&world.tenant).await.map(drop)
    };
    read().await.unwrap();
    let last_but_one = "SELECT version FROM _sqlx_migrations ORDER BY version DESC OFFSET 1 LIMIT 1";
    let forget = &format!("DELETE FROM _sqlx_migrations WHERE version = ({last_but_one})");
    assert_eq!(sqlx::query(forget).execute(&admin).await.unwrap().rows_affected(), 1);
    let unmade = read().await.unwrap_err();
    assert!(matches!(unmade, DbError::NotMade(_)), "{unmade:?}");
}
