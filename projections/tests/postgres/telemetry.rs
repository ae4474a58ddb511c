//! Messages of devices that aren't events, from memory instead of TELEMETRY.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::device::{Device, DeviceCommand, ReportStatus};
use domain::{AggregateKey, TenantId};
use event_store::telemetry::{
    BrokerPlace, TELEMETRY_FORMAT, TelemetryEntry, TelemetryKind, TelemetryLog, TelemetryMessage, TelemetryRecord,
    WatermarkRecord,
};
use event_store::{Delivery, Log, LogInfo, MemoryLog, RawRecord, StoreError, Subscription};
use futures::StreamExt;
use projections::watermark::Watermark;
use projections::{Projections, updates};
use runtime::clock;
use runtime::lifecycle::Tasks;
use serde_json::Value;
use sqlx::Row as _;

use crate::fleet::{World, device, request};
use crate::until::{PATIENCE, until};

const MARKS: &str = "marks";

/// Telemetry in a log in memory: one aggregate per device, and one for the marks.
#[derive(Clone)]
struct LatestTelemetry {
    log: MemoryLog,
    incarnation_ms: u64,
}

impl LatestTelemetry {
    /// Empty, in a stream that was created at a time that the test chooses.
    fn made_at(incarnation_ms: u64) -> Self {
        Self { log: MemoryLog::new(), incarnation_ms }
    }

    async fn say(&self, id: &str, kind: TelemetryKind, data: &str) -> u64 {
        self.say_as(id, kind, data, None).await
    }

    /// The same, with that place in the broker's order.
    async fn say_as(&self, id: &str, kind: TelemetryKind, data: &str, place: Option<BrokerPlace>) -> u64 {
        let data = serde_json::value::RawValue::from_string(data.to_owned()).unwrap();
        let record =
            TelemetryRecord { v: TELEMETRY_FORMAT, kind, received_at: clock::now(), device_time: None, place, data };
        self.store(id, serde_json::to_vec(&record).unwrap()).await
    }

    async fn mark(&self, at: DateTime<Utc>, heard_until: DateTime<Utc>) -> u64 {
        let mark = WatermarkRecord { v: TELEMETRY_FORMAT, at, heard_until };
        self.store(MARKS, serde_json::to_vec(&mark).unwrap()).await
    }

    async fn store(&self, id: &str, body: Vec<u8>) -> u64 {
        let tenant = TenantId::new("acme").unwrap();
        let key = AggregateKey { tenant, kind: "telemetry".to_owned(), id: id.to_owned() };
        let last = self.log.last_sequence(&key).await.unwrap();
        self.log.append(&key, last, Bytes::from(body)).await.unwrap()
    }
}

#[async_trait]
impl TelemetryLog for LatestTelemetry {
    async fn info(&self) -> Result<LogInfo, StoreError> {
        Ok(LogInfo { incarnation_ms: self.incarnation_ms, ..self.log.info().await? })
    }

    fn subscribe(&self, from_sequence: u64) -> Subscription<TelemetryEntry> {
        let entry = |raw: RawRecord| match raw.key.id == MARKS {
            true => TelemetryEntry::Mark { position: raw.position, mark: serde_json::from_slice(&raw.body).ok() },
            false => TelemetryEntry::Message(TelemetryMessage {
                position: raw.position,
                tenant: raw.key.tenant,
                device: device(&raw.key.id),
                stored_at: raw.stored_at,
                body: raw.body,
            }),
        };
        let converted = self.log.subscribe(from_sequence).map(move |delivery| {
            Ok(match delivery? {
                Delivery::Record(raw) => Delivery::Record(entry(raw)),
                Delivery::CaughtUp { position } => Delivery::CaughtUp { position },
            })
        });
        converted.boxed()
    }
}

/// A world with the projection over TELEMETRY.
pub(crate) struct Hearing {
    pub(crate) world: World,
    heard: LatestTelemetry,
    pub(crate) tasks: Tasks,
    projections: Projections,
}

impl Hearing {
    pub(crate) async fn start() -> Self {
        let world = World::start().await;
        world.settles().await;
        assert!(world.tasks.shutdown(PATIENCE).await);
        let heard = LatestTelemetry::made_at(1);
        let (tasks, projections) = Self::listen(&world, &heard);
        Self { world, heard, tasks, projections }
    }

    /// Follows a TELEMETRY that was created again.
    fn starts_over(&mut self) {
        self.heard = LatestTelemetry::made_at(self.heard.incarnation_ms + 1);
        (self.tasks, self.projections) = Self::listen(&self.world, &self.heard);
    }

    fn listen(world: &World, heard: &LatestTelemetry) -> (Tasks, Projections) {
        let tasks = Tasks::new();
        let telemetry: Arc<dyn TelemetryLog> = Arc::new(heard.clone());
        let projections = Projections::start(world.db.clone(), world.log.clone(), Some(telemetry), &tasks);
        (tasks, projections)
    }

    /// Sends the message and waits until it is applied.
    pub(crate) async fn hears(&self, id: &str, kind: TelemetryKind, data: &str) {
        let position = self.heard.say(id, kind, data).await;
        self.projections.wait_for(&[projections::PRESENCE], position, PATIENCE).await.unwrap();
    }

    /// The same with a place in the broker's order.
    pub(crate) async fn hears_as(
        &self,
        id: &str,
        kind: TelemetryKind,
        data: &str,
        (incarnation_ms, sequence): (u64, u64),
    ) {
        let place = Some(BrokerPlace { incarnation_ms, sequence });
        let position = self.heard.say_as(id, kind, data, place).await;
        self.projections.wait_for(&[projections::PRESENCE], position, PATIENCE).await.unwrap();
    }

    async fn row(&self, id: &str) -> Presence {
        let admin = self.world.admin().await;
        let row = sqlx::query("SELECT * FROM device_presence WHERE device_id = $1").bind(id).fetch_one(&admin).await;
        let row = row.unwrap();
        Presence {
            session: row.get("session"),
            will_at: row.get("will_at"),
            battery_level: row.get("battery_level"),
            delivery: row.get("delivery"),
        }
    }
}

#[derive(Debug)]
struct Presence {
    session: Option<String>,
    will_at: Option<DateTime<Utc>>,
    battery_level: Option<i64>,
    delivery: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn measurements_do_not_change_the_presence_of_a_device() {
    let hearing = Hearing::start().await;
    hearing.hears("d-1", TelemetryKind::Contact, r#"{"status":"online","session":"s1","delivery":5}"#).await;
    for data in [
        r#"{"delivery":18446744073709551615}"#,
        r#"{"delivery":9223372036854775807,"session":"s9","boot_id":"b9"}"#,
        r#"{"status":"offline","battery_level":9223372036854775807,"signal_strength":-1e300}"#,
        r#"{"battery_level":40.6,"t":21.5}"#,
    ] {
        hearing.hears("d-1", TelemetryKind::Measurements, data).await;
    }
    let row = hearing.row("d-1").await;
    assert_eq!((row.session.as_deref(), row.will_at, row.battery_level, row.delivery), (Some("s1"), None, Some(41), 5));
    hearing.hears("d-1", TelemetryKind::Contact, r#"{"status":"offline","session":"s1","delivery":6}"#).await;
    assert!(hearing.row("d-1").await.will_at.is_some());
    hearing.hears("d-2", TelemetryKind::Contact, r#"{"status":"online","delivery":18446744073709551615}"#).await;
    assert_eq!(hearing.row("d-2").await.delivery, i64::MAX);
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

/// Each topic has its own queue, so a device's messages overtake one another.
#[tokio::test(flavor = "multi_thread")]
async fn an_overtaken_message_counts_for_values_that_only_it_has() {
    let hearing = Hearing::start().await;
    let contact = |data: &'static str| hearing.hears("d-1", TelemetryKind::Contact, data);
    contact(r#"{"status":"online","session":"s1","battery_level":90,"delivery":1}"#).await;
    contact(r#"{"delivery":9}"#).await;
    contact(r#"{"status":"online","session":"s2","battery_level":80,"delivery":7}"#).await;
    let row = hearing.row("d-1").await;
    assert_eq!((row.session.as_deref(), row.battery_level, row.delivery), (Some("s2"), Some(80), 9));
    contact(r#"{"status":"online","session":"s1","battery_level":90,"delivery":1}"#).await;
    contact(r#"{"status":"offline","session":"s2","delivery":8}"#).await;
    let row = hearing.row("d-1").await;
    assert_eq!(
        (row.session.as_deref(), row.battery_level, row.will_at),
        (Some("s2"), Some(80), None),
        "it spoke later"
    );
    contact(r#"{"status":"offline","session":"s2","delivery":10}"#).await;
    contact(r#"{"battery_level":70,"delivery":6}"#).await;
    assert!(hearing.row("d-1").await.will_at.is_some(), "the session that was overtaken can end");
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_telemetry_stream_is_followed() {
    let mut hearing = Hearing::start().await;
    for number in 1..=5 {
        let contact = format!(r#"{{"status":"online","session":"s{number}","broker_ms":1000,"delivery":{number}}}"#);
        hearing.hears("d-1", TelemetryKind::Contact, &contact).await;
    }
    assert!(hearing.tasks.shutdown(PATIENCE).await);
    hearing.starts_over();
    hearing.heard.say("d-1", TelemetryKind::Contact, r#"{"status":"online","session":"new","delivery":1}"#).await;
    let row = async || hearing.row("d-1").await;
    until("its session is seen", row, |row| row.session.as_deref() == Some("new")).await;
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_a_new_store_is_followed_and_messages_of_the_old_store_are_late() {
    let hearing = Hearing::start().await;
    let session = async |data: &str| {
        hearing.hears("d-1", TelemetryKind::Contact, data).await;
        hearing.row("d-1").await.session.unwrap()
    };
    assert_eq!(session(r#"{"session":"a","broker_ms":1000,"delivery":90}"#).await, "a");
    assert_eq!(session(r#"{"session":"b","broker_ms":2000,"delivery":1}"#).await, "b");
    assert_eq!(session(r#"{"session":"late","broker_ms":1000,"delivery":91}"#).await, "b");
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

/// A broker that starts with its clock set back makes no message late.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_a_new_store_and_its_clock_set_back_is_followed() {
    let hearing = Hearing::start().await;
    let session = async |data: &str| {
        hearing.hears("d-1", TelemetryKind::Contact, data).await;
        hearing.row("d-1").await.session.unwrap()
    };
    assert_eq!(session(r#"{"session":"a","broker_ms":2000,"delivery":90}"#).await, "a");
    assert_eq!(session(r#"{"session":"b","broker_ms":1000,"delivery":1}"#).await, "b");
    assert_eq!(session(r#"{"session":"late","broker_ms":2000,"delivery":91}"#).await, "b");
    assert_eq!(session(r#"{"session":"c","broker_ms":1000,"delivery":2}"#).await, "c");
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_values_are_those_that_the_device_sent_last() {
    use TelemetryKind::{Measurements, Progress};
    let hearing = Hearing::start().await;
    let admin = hearing.world.admin().await;
    let measured = async || -> Value {
        sqlx::query_scalar("SELECT data->'t' FROM telemetry_latest").fetch_one(&admin).await.unwrap()
    };
    let progress =
        async || -> i64 { sqlx::query_scalar("SELECT progress FROM update_progress").fetch_one(&admin).await.unwrap() };
    let at = |percent: i64| format!(r#"{{"ordinal":1,"attempt":1,"status":"downloading","progress":{percent}}}"#);
    hearing.hears_as("d-1", Measurements, r#"{"t":30,"battery_level":30}"#, (1000, 30)).await;
    hearing.hears_as("d-1", Measurements, r#"{"t":20,"battery_level":20}"#, (1000, 20)).await;
    assert_eq!((measured().await, hearing.row("d-1").await.battery_level), (Value::from(30), Some(30)));
    hearing.hears_as("d-1", Progress, &at(80), (1000, 50)).await;
    hearing.hears_as("d-1", Progress, &at(40), (1000, 40)).await;
    assert_eq!(progress().await, 80);
    hearing.hears_as("d-1", Measurements, r#"{"t":1}"#, (900, 1)).await;
    hearing.hears_as("d-1", Measurements, r#"{"t":40}"#, (1000, 60)).await;
    hearing.hears_as("d-1", Progress, &at(90), (1000, 61)).await;
    assert_eq!((measured().await, progress().await), (Value::from(1), 80), "late messages of the previous store");
    hearing.hears("d-1", Measurements, r#"{"t":2}"#).await;
    assert_eq!(measured().await, Value::from(2), "without a place it is the latest");
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cant_be_applied_does_not_stop_others() {
    let hearing = Hearing::start().await;
    let admin = hearing.world.admin().await;
    sqlx::query("ALTER TABLE telemetry_latest ADD CONSTRAINT poison CHECK (NOT data ? 'poison')")
        .execute(&admin)
        .await
        .unwrap();
    for (id, data) in [("d-1", r#"{"t":1}"#), ("d-2", r#"{"poison":1}"#), ("d-3", r#"{"t":3}"#)] {
        hearing.heard.say(id, TelemetryKind::Measurements, data).await;
    }
    hearing.hears("d-2", TelemetryKind::Measurements, r#"{"t":2}"#).await;
    let rows: Vec<(String, Value)> =
        sqlx::query_as("SELECT device_id, data->'t' FROM telemetry_latest ORDER BY 1").fetch_all(&admin).await.unwrap();
    let heard: Vec<String> = rows.iter().map(|(id, value)| format!("{id}:{value}")).collect();
    assert_eq!(heard, ["d-1:1", "d-2:2", "d-3:3"]);
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

/// Telemetry reports the progress of an update; reports give its phase.
#[tokio::test(flavor = "multi_thread")]
async fn progress_belongs_to_the_phase_that_it_was_reported_for() {
    let hearing = Hearing::start().await;
    let world = &hearing.world;
    world.register("d-1").await;
    let firmware = world.firmware("2.0.0").await;
    let command = DeviceCommand::RequestUpdate { request: Box::new(request(&firmware)) };
    world.tell::<Device>(&device("d-1"), command).await.unwrap();
    world.boots("d-1", "b1", "1.0.0").await;
    let shown = async || {
        hearing.projections.wait_for(&[projections::FLEET], world.head().await, PATIENCE).await.unwrap();
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        let page = updates::list(&mut tx, &Default::default(), clock::now(), None, 1, false).await.unwrap();
        (page.items[0].progress, page.items[0].bytes)
    };
    let says = async |status: &str, progress: i64| {
        let data = format!(r#"{{"ordinal":1,"attempt":1,"status":"{status}","progress":{progress},"bytes":7}}"#);
        hearing.hears("d-1", TelemetryKind::Progress, &data).await;
    };
    world.reports("d-1", ReportStatus::Downloading, None).await;
    says("downloading", 40).await;
    assert_eq!(shown().await, (Some(40), Some(7)));
    world.reports("d-1", ReportStatus::Deferred, None).await;
    world.reports("d-1", ReportStatus::Downloading, None).await;
    assert_eq!(shown().await.0, None, "it starts again");
    says("downloading", 5).await;
    assert_eq!(shown().await.0, Some(5));
    world.reports("d-1", ReportStatus::Verifying, None).await;
    assert_eq!(shown().await, (None, Some(7)), "the progress of this phase is not known");
    says("verifying", 10).await;
    assert_eq!(shown().await, (Some(10), Some(7)));
    says("completed", 100).await;
    assert_eq!(shown().await.0, None);
    world.reports("d-1", ReportStatus::Rebooting, None).await;
    says("rebooting", 50).await;
    assert_eq!(shown().await.0, Some(50));
    world.boots("d-1", "b2", "2.0.0").await;
    assert_eq!(shown().await.0, None, "it has ended");
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_follows_the_marks_in_telemetry() {
    let mut hearing = Hearing::start().await;
    let start = clock::now();
    let at = |second: i64| DateTime::from_timestamp_millis(start.timestamp_millis() + 1_000 * second).unwrap();
    let marked = async |hearing: &Hearing, second: i64, heard_until: i64| {
        let position = hearing.heard.mark(at(second), at(heard_until)).await;
        hearing.projections.wait_for(&[projections::PRESENCE], position, PATIENCE).await.unwrap();
        Watermark::read(&hearing.world.db).await.unwrap()
    };
    hearing.hears("d-1", TelemetryKind::Contact, r#"{"status":"online","delivery":5}"#).await;
    assert_eq!(Watermark::read(&hearing.world.db).await.unwrap(), Watermark::Unknown);
    let known = |until: i64, since: i64| Watermark::Until { until: at(until), since: at(since) };
    assert_eq!(marked(&hearing, 0, -600).await, known(-600, 0), "a backlog of ten minutes");
    assert_eq!(marked(&hearing, 20, 20).await, known(20, 0));
    assert_eq!(marked(&hearing, 22, 10).await, known(20, 0), "the watermark never falls");
    hearing.heard.store(MARKS, b"of another program".to_vec()).await;
    assert_eq!(marked(&hearing, 620, 30).await, known(30, 620), "an outage of ten minutes");

    assert!(hearing.tasks.shutdown(PATIENCE).await);
    assert_eq!(Watermark::read(&hearing.world.db).await.unwrap(), known(30, 620), "kept over a restart");
    hearing.starts_over();
    // The position of the previous TELEMETRY stays until the new one is read.
    hearing.heard.mark(at(5), at(5)).await;
    let heeded = async || Watermark::read(&hearing.world.db).await.unwrap();
    until("another TELEMETRY may lack what was said", heeded, |heeded| *heeded == known(5, 5)).await;
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}
