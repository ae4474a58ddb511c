//! Owners of the read models: several processes, broken connections, another log, a database that is unavailable.

use std::sync::Arc;
use std::time::Duration;

use domain::Key;
use domain::device::Device;
use event_store::{Log, MemoryLog};
use projections::{ProjectionState, Projections, WaitError, devices};
use runtime::lifecycle::Tasks;
use sqlx::Executor as _;

use crate::fleet::{ALL, World, device};
use crate::trouble::{append, comes_to, record};
use crate::until::{PATIENCE, until};

/// An unavailable PostgreSQL is noticed within this time: waiting for a connection ends earlier.
const AWAY_NOTICED_MAX: Duration = Duration::from_secs(3);
/// A wait that must not end is observed for this long.
const STILL_WAITING: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn two_owners_and_broken_connections_apply_everything_once() {
    let world = World::start().await;
    let second = Tasks::new();
    let _other = Projections::start(world.db.clone(), world.log.clone(), None, &second);
    let admin = world.admin().await;
    // If two owners both went on, the slower one would move the checkpoint to the same position or back. Notes about a broken connection
    // don't move it.
    admin
        .execute(
            "CREATE TABLE steps_back (name text, before bigint, after bigint);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
             BEGIN
                 IF NEW.epoch = OLD.epoch AND NEW.position <= OLD.position THEN
                     INSERT INTO public.steps_back VALUES (NEW.name, OLD.position, NEW.position);
                 END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER note BEFORE UPDATE OF position ON projection_checkpoints FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await
        .unwrap();
    for n in 0..150 {
        world.register(&format!("d-{n}")).await;
        world.boots(&format!("d-{n}"), "b1", "1.1.0").await;
        if n % 50 == 20 {
            admin
                .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
                .await
                .unwrap();
        }
    }
    world.equals_a_replay().await;
    assert!(second.shutdown(PATIENCE).await);
    let back: i64 = sqlx::query_scalar("SELECT count(*) FROM steps_back").fetch_one(&admin).await.unwrap();
    assert_eq!(back, 0, "both owners went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_processes_runs_and_the_other_shows_the_stored_state() {
    let world = World::start().await;
    world.register("d-1").await;
    world.settles().await;
    let (second, third) = (Tasks::new(), Tasks::new());
    let standby = Projections::start(world.db.clone(), world.log.clone(), None, &second);
    let follower = Projections::follow(world.db.clone(), world.log.clone(), &third);
    for n in 0..20 {
        world.register(&format!("e-{n}")).await;
        world.boots(&format!("e-{n}"), "b1", "1.1.0").await;
    }
    for projections in [&world.projections, &standby, &follower] {
        projections.wait_for(&ALL, world.head().await, PATIENCE).await.unwrap();
    }
    let admin = world.admin().await;
    let epochs = "SELECT max(epoch) FROM projection_checkpoints";
    let taken: i64 = sqlx::query_scalar(epochs).fetch_one(&admin).await.unwrap();
    assert_eq!(taken, 0, "no projection was taken over");

    let key = Key::<Device>::new(&world.tenant, &device("d-1"));
    append(&world.memory, key.raw(), record(2, r#"{"type":"device.teleported"}"#)).await;
    for projections in [&world.projections, &standby, &follower] {
        let halted = comes_to(projections, projections::FLEET, ProjectionState::Halted).await;
        assert!(halted.error.as_ref().unwrap().contains("teleported"), "{halted:?}");
    }
    assert!(second.shutdown(PATIENCE).await && third.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_process_takes_over_when_the_owner_stops() {
    let world = World::start().await;
    world.settles().await;
    let second = Tasks::new();
    let standby = Projections::start(world.db.clone(), world.log.clone(), None, &second);
    assert!(world.tasks.shutdown(PATIENCE).await);
    world.register("d-1").await;
    standby.wait_for(&ALL, world.head().await, PATIENCE).await.unwrap();
    assert!(second.shutdown(PATIENCE).await);
}

/// A log of another incarnation: created in another millisecond.
async fn another_log(world: &World) -> Arc<dyn Log> {
    let known_ms = world.log.info().await.unwrap().incarnation_ms;
    let make = async || {
        let log = MemoryLog::new();
        (log.info().await.unwrap().incarnation_ms, log)
    };
    let (_, log) = until("another millisecond", make, |(made_ms, _)| *made_ms != known_ms).await;
    Arc::new(log)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_halts_until_a_rebuild() {
    let world = World::start().await;
    world.register("d-1").await;
    world.settles().await;
    assert!(world.tasks.shutdown(PATIENCE).await);
    let log = another_log(&world).await;
    let tasks = Tasks::new();
    let projections = Projections::start(world.db.clone(), log.clone(), None, &tasks);
    // The process that stopped may take a moment to release its lock.
    comes_to(&projections, projections::FLEET, ProjectionState::Halted).await;
    let waited = projections.wait_for(&[projections::FLEET], 1, PATIENCE).await;
    let Err(WaitError::Unavailable(reason)) = waited else { panic!("{waited:?}") };
    assert!(reason.contains("rebuild"), "{reason}");
    projections::rebuild(&world.db, log, projections::FLEET, |_, _| {}).await.unwrap();
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    assert!(devices::get(&mut tx, &world.tenant, "d-1").await.unwrap().is_none());
}

/// The rows are of another version than this program writes.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_older_version_are_rebuilt_while_the_old_ones_serve() {
    let world = World::start().await;
    world.register("d-1").await;
    world.settles().await;
    assert!(world.tasks.shutdown(PATIENCE).await);
    let admin = world.admin().await;
    admin
        .execute("UPDATE projection_checkpoints SET version = 0; UPDATE devices SET name = 'as it was once'")
        .await
        .unwrap();
    let tasks = Tasks::new();
    let projections = Projections::start(world.db.clone(), world.log.clone(), None, &tasks);
    tokio::time::timeout(PATIENCE, projections.up_to_date()).await.expect("rebuilt in time");
    projections.wait_for(&ALL, world.head().await, PATIENCE).await.unwrap();
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let row = devices::get(&mut tx, &world.tenant, "d-1").await.unwrap().unwrap().row;
    assert_eq!(row.name.as_deref(), Some("D-1"));
    drop(tx);
    let differences = projections::compare(&world.db, world.log.clone()).await.unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_name_an_unavailable_database_and_wait_for_it() {
    let tasks = Tasks::new();
    let db = projections::Db::connect("postgres://nobody@%2Fnowhere/x").unwrap();
    assert!(db.ping().await.unwrap_err().is_unavailable());
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let projections = Projections::start(db, log, None, &tasks);
    let waited = projections.wait_for(&[projections::FLEET], 1, AWAY_NOTICED_MAX).await;
    assert!(matches!(waited, Err(WaitError::Unavailable(_))), "{waited:?}");
    let begun = tokio::time::timeout(STILL_WAITING, projections.started()).await;
    assert!(begun.is_err(), "no projection begins without tables");
    assert!(tasks.shutdown(PATIENCE).await);
}

/// Waits until somebody waits for a table.
async fn is_waited_for(admin: &sqlx::PgPool, table: &str) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass";
    let count = async || sqlx::query_scalar::<_, i64>(waiting).bind(table).fetch_one(admin).await.unwrap();
    until(&format!("somebody waits for {table}"), count, |count| *count > 0).await;
}

/// A query holds a table that the rebuild swaps late, and waits for one that it has swapped already.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_meets_a_query_half_way_swaps_the_tables_again() {
    let world = World::start().await;
    world.register("d-1").await;
    world.settles().await;
    let admin = world.admin().await;
    let mut query = admin.begin().await.unwrap();
    // PostgreSQL ends the one that finds the circle: the rebuild.
    query.execute("SET LOCAL deadlock_timeout = '1h'; LOCK TABLE devices IN ACCESS SHARE MODE").await.unwrap();
    let mut between = admin.begin().await.unwrap();
    between.execute("LOCK TABLE registration_tokens IN ACCESS SHARE MODE").await.unwrap();
    let rebuild = projections::rebuild(&world.db, world.log.clone(), projections::FLEET, |_, _| {});
    let asks = async {
        is_waited_for(&admin, "registration_tokens").await;
        query.execute("LOCK TABLE tenants IN ACCESS SHARE MODE").await.unwrap();
        query.commit().await.unwrap();
    };
    let gives_way = async {
        is_waited_for(&admin, "tenants").await;
        between.commit().await.unwrap();
    };
    let all = async { tokio::join!(rebuild, asks, gives_way) };
    tokio::time::timeout(PATIENCE, all).await.unwrap().0.unwrap();
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    assert!(devices::get(&mut tx, &world.tenant, "d-1").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rebuild_at_the_same_time_fails_and_names_the_first() {
    let world = World::start().await;
    world.register("d-1").await;
    let runtime = tokio::runtime::Handle::current();
    let mut second = None;
    let first = projections::rebuild(&world.db, world.log.clone(), projections::FLEET, |_, _| {
        second.get_or_insert_with(|| {
            let other = projections::rebuild(&world.db, world.log.clone(), projections::FLEET, |_, _| {});
            tokio::task::block_in_place(|| runtime.block_on(other))
        });
    });
    first.await.unwrap();
    let error = second.unwrap().unwrap_err().to_string();
    let process = format!("waybill rebuilding fleet, process {}", std::process::id());
    assert!(error.contains("somebody else is rebuilding fleet already since 20"), "{error}");
    assert!(error.contains(&process) && error.contains("Wait for its end"), "{error}");
}
