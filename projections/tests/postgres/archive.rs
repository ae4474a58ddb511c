//! The archive: one table with every record, and a view of the events of the readable ones.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::device::{Device, DeviceCommand, Info, Profile};
use domain::{AggregateKey, Key, TenantId};
use event_store::{Record, log, upcast};
use projections::{ARCHIVE, Projections, archive};
use runtime::lifecycle::Tasks;
use sqlx::{Executor as _, PgPool, Row as _};

use crate::fleet::{ALL, World, device, request};
use crate::trouble::{append, record};
use crate::until::PATIENCE;

const GOLDEN: [&str; 4] = [
    include_str!("../../../event-store/golden/record/full.v1.json"),
    include_str!("../../../event-store/golden/record/linked.v1.json"),
    include_str!("../../../event-store/golden/record/smallest.v1.json"),
    include_str!("../../../event-store/golden/record/sealed_reason.v1.json"),
];

fn key(world: &World, kind: &str, id: &str) -> AggregateKey {
    AggregateKey { tenant: world.tenant.clone(), kind: kind.into(), id: id.into() }
}

/// A row of the view, without its aggregate.
#[derive(Debug, PartialEq)]
struct Event {
    sequence: i64,
    event_type: String,
    event_version: String,
    /// As stored.
    payload: String,
    metadata: BTreeMap<String, String>,
    place: (String, i64, i64),
    time: DateTime<Utc>,
    actor: String,
    correlation_id: String,
    causation_id: Option<String>,
    causation_position: Option<i64>,
}

/// The events of an aggregate as the log has them.
async fn logged(world: &World, key: &AggregateKey) -> Vec<Event> {
    let mut events = Vec::new();
    for raw in world.log.read(key, 1, log::ALL).await.unwrap() {
        let record = Record::decode(raw.position, &raw.body).unwrap();
        for (index, stored) in record.events.iter().enumerate() {
            let meta = stored.metadata(&record.meta);
            let causation_id = meta.causation_id.map(|id| id.to_string());
            let texts = [
                ("command_id", Some(record.command_id.to_string())),
                ("actor", Some(meta.actor.to_string())),
                ("correlation_id", Some(meta.correlation_id.to_string())),
                ("causation_id", causation_id.clone()),
                ("causation_position", meta.causation_position.map(|position| format!("{position}-0"))),
                ("recorded_at", Some(meta.recorded_at.to_rfc3339())),
                ("position", Some(format!("{}-{index}", raw.position))),
                ("traceparent", meta.traceparent),
            ];
            let metadata = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
            events.push(Event {
                sequence: record.version as i64 + index as i64,
                event_type: upcast::type_of(stored, raw.position).unwrap().into_owned(),
                event_version: stored.schema.to_string(),
                payload: stored.event.get().to_owned(),
                metadata: metadata.collect(),
                place: (key.tenant.to_string(), raw.position as i64, index as i64),
                time: meta.recorded_at,
                actor: meta.actor.to_string(),
                correlation_id: meta.correlation_id.to_string(),
                causation_id,
                causation_position: meta.causation_position.map(|position| position as i64),
            });
        }
    }
    events
}

/// The same events in the view.
async fn viewed(admin: &PgPool, key: &AggregateKey) -> Vec<Event> {
    let rows = sqlx::query(
        "SELECT *, payload::text AS payload_text, metadata::text AS metadata_text FROM events
         WHERE aggregate_type = $1 AND aggregate_id = $2 ORDER BY sequence",
    )
    .bind(&key.kind)
    .bind(format!("{}/{}", key.tenant, key.id))
    .fetch_all(admin)
    .await
    .unwrap();
    let event = |row: &sqlx::postgres::PgRow| Event {
        sequence: row.get("sequence"),
        event_type: row.get("event_type"),
        event_version: row.get("event_version"),
        payload: row.get("payload_text"),
        metadata: serde_json::from_str(row.get("metadata_text")).unwrap(),
        place: (row.get("tenant"), row.get("position"), row.get("index")),
        time: row.get("time"),
        actor: row.get("actor"),
        correlation_id: row.get("correlation_id"),
        causation_id: row.get("causation_id"),
        causation_position: row.get("causation_position"),
    };
    rows.iter().map(event).collect()
}

/// A device with an update, links between its events, and a text that PostgreSQL can't store.
async fn busy_device(world: &World) -> AggregateKey {
    world.register("d-1").await;
    let attributes = [("a\0b".to_owned(), "\\u0000 \\u001E\\u001F \\u001E\0".to_owned())].into();
    world.tell::<Device>(&device("d-1"), Info { attributes, ..Info::default() }.into()).await.unwrap();
    let firmware = world.firmware("2.0.0").await;
    let command = DeviceCommand::RequestUpdate { request: Box::new(request(&firmware)) };
    world.tell::<Device>(&device("d-1"), command).await.unwrap();
    world.installs("d-1", "b2", "2.0.0").await;
    key(world, "device", "d-1")
}

/// The state of a device by the library that reads the view.
async fn replayed(world: &World, id: &str) -> (Device, u64) {
    let (device, events) = archive::replay::<Device>(&world.db, &world.tenant, id).await.unwrap();
    (device, events as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_shows_the_events_of_the_log_also_after_a_rebuild() {
    let world = World::start().await;
    let mut keys = vec![busy_device(&world).await];
    for (number, text) in GOLDEN.into_iter().enumerate() {
        keys.push(key(&world, "claim", &format!("golden-{number}")));
        append(&world.memory, &keys[number + 1], text.to_owned()).await;
    }
    world.settles().await;
    let admin = world.admin().await;
    let live = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device("d-1"))).await.unwrap();
    for round in 0..2 {
        for key in &keys {
            assert_eq!(viewed(&admin, key).await, logged(&world, key).await, "round {round}, {key}");
        }
        let (state, version) = replayed(&world, "d-1").await;
        assert_eq!((&state, version), (&*live.aggregate, live.version));
        projections::rebuild(&world.db, world.log.clone(), ARCHIVE, |_, _| {}).await.unwrap();
        world.settles().await;
    }
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_records_are_archived_and_not_in_the_view() {
    let world = World::start().await;
    world.register("d-1").await;
    let key = key(&world, "device", "d-1");
    let unknown = |more: &str| record(2, &format!(r#"{{"type":"device.teleported","to":{more}}}"#));
    let bodies: [Vec<u8>; 8] = [
        b"no record at all".to_vec(),
        b"\xff\xfe".to_vec(),
        record(2, r#"{"to":"Mars"}"#).into(),
        record(2, r#"{"type":"device.\u0000"}"#).into(),
        record(u64::MAX, r#"{"type":"device.teleported"}"#).into(),
        unknown(r#""\ud800""#).into(),
        unknown(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).into(),
        unknown("1").replacen(r#"{"v":1"#, r#"{"v":9"#, 1).into(),
    ];
    let count = bodies.len() as i64;
    for body in bodies {
        let last = world.log.last_sequence(&key).await.unwrap();
        world.log.append(&key, last, Bytes::from(body)).await.unwrap();
    }
    append(&world.memory, &key, unknown(r#""Mars\u0000""#)).await;
    world.reaches(&[ARCHIVE]).await;
    let admin = world.admin().await;
    let kept = "SELECT count(*) FROM records WHERE aggregate_type = 'device' AND aggregate_id = 'acme/d-1'";
    let unread = "SELECT count(*) FROM records WHERE version IS NULL AND actor IS NULL AND body IS NOT NULL";
    for (sql, wanted) in [(kept, count + 2), (unread, count), ("SELECT count(payload::text) FROM events", 2)] {
        let found: i64 = sqlx::query_scalar(sql).fetch_one(&admin).await.unwrap();
        assert_eq!(found, wanted, "{sql}");
    }
    let payload = &viewed(&admin, &key).await[1].payload;
    assert_eq!(payload, r#"{"type":"device.teleported","to":"Mars\u0000"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_finds_its_own_events_by_an_index() {
    let world = World::start().await;
    let other = TenantId::new("other").unwrap();
    for tenant in [&world.tenant, &other] {
        let command = DeviceCommand::Register { profile: Profile::default(), versions: Default::default() };
        world.tell_in::<Device>(tenant, &device("d-1"), command).await.unwrap();
    }
    world.settles().await;
    let admin = world.admin().await;
    admin
        .execute(
            "INSERT INTO records (position, stored_at, tenant, subject, headers, sha256, body, version)
             SELECT 1000 + n, now(), 'acme', 'ev.1.acme.device.e-' || n % 10000, '{}', '', '{\"events\": []}', 1
             FROM generate_series(1, 20000) n;
             ANALYZE records",
        )
        .await
        .unwrap();
    let mut reader = admin.acquire().await.unwrap();
    reader.execute("SET ROLE waybill_reader; SET waybill.tenant = 'other'").await.unwrap();
    let seen = "SELECT array_agg(aggregate_id::text) FROM events";
    let seen: Vec<String> = sqlx::query_scalar(seen).fetch_one(&mut *reader).await.unwrap();
    assert_eq!(seen, ["other/d-1"]);
    reader.execute("SET waybill.tenant = 'acme'").await.unwrap();
    // The query of postgres-es.
    let plan = "EXPLAIN SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
                FROM events WHERE aggregate_type = 'device' AND aggregate_id = 'acme/e-7' ORDER BY sequence";
    let plan: Vec<String> = sqlx::query_scalar(plan).fetch_all(&mut *reader).await.unwrap();
    assert!(plan.iter().any(|line| line.contains("records_aggregate")), "{plan:#?}");
    reader.execute("RESET waybill.tenant").await.unwrap();
    let unnamed: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&mut *reader).await.unwrap();
    assert_eq!(unnamed, 0, "without a tenant nothing is seen");
    reader.close().await.unwrap();
}

/// Restores the form of the archive before the migration that removed the copy of the events, and applies that migration.
async fn as_before_the_upgrade(admin: &PgPool) {
    let statements = [
        "CREATE TABLE kept_events AS SELECT * FROM events",
        "SELECT waybill_drop_events()",
        "ALTER TABLE records RENAME TO kept_records",
        "ALTER INDEX records_pkey RENAME TO kept_records_pkey",
        "DROP FUNCTION waybill_drop_events; DROP FUNCTION waybill_create_events",
        include_str!("../../../migrations/0009_archive.sql"),
        include_str!("../../../migrations/0033_archived_causes.sql"),
        "INSERT INTO records SELECT tenant, position, subject, stored_at, headers, body, sha256 FROM kept_records",
        "INSERT INTO events SELECT * FROM kept_events",
        "DROP TABLE kept_records, kept_events",
        "UPDATE projection_checkpoints SET version = 1 WHERE name = 'archive'",
        include_str!("../../../migrations/0040_archive_once.sql"),
    ];
    for statement in statements {
        admin.execute(statement).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_the_old_form_serves_until_it_is_rebuilt() {
    let world = World::start().await;
    let key = busy_device(&world).await;
    world.settles().await;
    assert!(world.tasks.shutdown(PATIENCE).await);
    let admin = world.admin().await;
    let before = replayed(&world, "d-1").await;
    as_before_the_upgrade(&admin).await;
    let form = "SELECT relkind::text FROM pg_class WHERE oid = 'events'::regclass";
    let indexes = "SELECT indexname::text FROM pg_indexes WHERE tablename = 'records' ORDER BY schemaname, 1";
    let schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE '%archive%'";
    let look = async |sql: &str| -> Vec<String> { sqlx::query_scalar(sql).fetch_all(&admin).await.unwrap() };
    let serves = async || {
        assert_eq!(replayed(&world, "d-1").await, before);
        assert_eq!(archive::records(&world.db, &key).await.unwrap().last().unwrap().record.last_version(), before.1);
        assert_eq!(viewed(&admin, &key).await, logged(&world, &key).await);
    };
    assert_eq!(look(form).await, ["r"]);
    serves().await;

    let tasks = Tasks::new();
    let projections = Projections::start(world.db.clone(), world.log.clone(), None, &tasks);
    tokio::time::timeout(PATIENCE, projections.up_to_date()).await.expect("rebuilt in time");
    projections.wait_for(&ALL, world.head().await, PATIENCE).await.unwrap();
    assert_eq!(look(form).await, ["v"]);
    assert_eq!(look(indexes).await, ["records_aggregate", "records_correlation", "records_pkey"]);
    assert_eq!(look(schemas).await, Vec::<String>::new());
    serves().await;
    world.boots("d-1", "b9", "2.0.0").await;
    projections.wait_for(&ALL, world.head().await, PATIENCE).await.unwrap();
    assert_eq!(viewed(&admin, &key).await, logged(&world, &key).await);
    let differences = projections::compare(&world.db, world.log.clone()).await.unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(tasks.shutdown(PATIENCE).await);
}
