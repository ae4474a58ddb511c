//! The members of a plan are written beside the events that follow its chunks.

use std::collections::BTreeMap;

use domain::CampaignId;
use domain::campaign::{Campaign, CampaignCommand, PlanSummary};
use domain::device::{Device, DeviceCommand, OfflineCause};
use domain::plan::{PlanChunk, PlanChunkId, PlanCommand};
use domain::planning::{PlanCandidate, plan};
use projections::{Db, Projections, rollout};
use runtime::clock;
use runtime::lifecycle::Tasks;
use sqlx::{Executor as _, PgPool};
use uuid::Uuid;

use crate::campaigns::{check_counts, fleet};
use crate::fleet::{World, device, spec};
use crate::until::{PATIENCE, until};

const DEVICES: usize = 60;
const CHUNK_DEVICES: usize = 10;
const CHUNKS: usize = DEVICES / CHUNK_DEVICES;

/// Notes the position of the projection whenever members are written, each time taking a moment.
const NOTE_PAGES: &str = "
CREATE TABLE pages (number serial, position bigint, plan text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF EXISTS (SELECT FROM written) THEN
        INSERT INTO public.pages (position, plan)
        SELECT position, (SELECT min(plan) FROM written) FROM public.projection_checkpoints WHERE name = 'fleet';
        PERFORM pg_sleep(0.02);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON rollout_members REFERENCING NEW TABLE AS written
FOR EACH STATEMENT EXECUTE FUNCTION note()";

/// A campaign that is in planning while no projection runs, and pages that are noted.
struct Planning {
    world: World,
    id: CampaignId,
    ids: Vec<String>,
    admin: PgPool,
}

impl Planning {
    async fn start() -> Self {
        let world = World::start().await;
        let ids = fleet(&world, DEVICES).await;
        let firmware = world.firmware("2.0.0").await;
        let id = world.campaign(&firmware, |_| {}).await;
        world.settles().await;
        assert!(world.tasks.shutdown(PATIENCE).await);
        let admin = world.admin().await;
        admin.execute(NOTE_PAGES).await.unwrap();
        Self { world, id, ids, admin }
    }

    fn plan_id(&self, number: u128) -> Uuid {
        Uuid::from_u128(self.id.0.as_u128() ^ number)
    }

    /// Writes a plan over all devices. Returns its summary and the position of its last chunk.
    async fn write_chunks(&self, number: u128) -> (PlanSummary, u64) {
        let candidate = |id: &String| PlanCandidate {
            device: device(id),
            excluded: None,
            from_version: Some("1.0.0".to_owned()),
            lorawan: false,
        };
        let spec = spec(domain::FirmwareId(Uuid::nil()));
        let entries = plan("seed", self.ids.iter().map(candidate).collect(), &spec);
        let id = self.plan_id(number);
        let mut position = 0;
        for (index, entries) in (0..).zip(entries.chunks(CHUNK_DEVICES)) {
            let command = PlanCommand::Write { campaign: self.id, plan: id, index, entries: entries.to_vec() };
            let written = self.world.tell::<PlanChunk>(&PlanChunkId { plan: id, index }, command).await.unwrap();
            position = written.position;
        }
        let of_wave = |wave: usize| entries.iter().filter(|entry| usize::from(entry.wave) == wave).count() as u32;
        let summary = PlanSummary {
            plan: id,
            chunks: CHUNKS as u32,
            devices: DEVICES as u32,
            excluded: BTreeMap::new(),
            waves: (1..=spec.waves.len()).map(of_wave).collect(),
            seed: "seed".into(),
            algorithm: "sha256-rank-v1".into(),
            at_position: position,
            plan_hash: String::new(),
            drift: None,
        };
        (summary, position)
    }

    /// Names the plan; returns the position of that.
    async fn name(&self, summary: PlanSummary) -> u64 {
        let command = CampaignCommand::RecordPlan { summary: Box::new(summary) };
        self.world.tell::<Campaign>(&self.id, command).await.unwrap().position
    }

    async fn goes_offline(&self, id: &str) {
        let command = DeviceCommand::MarkOffline { cause: OfflineCause::Silence };
        self.world.tell::<Device>(&device(id), command).await.unwrap();
    }

    fn run(&self, tasks: &Tasks) -> Projections {
        Projections::start(self.world.db.clone(), self.world.log.clone(), None, tasks)
    }

    /// Positions of the projection when members were written.
    async fn pages(&self) -> Vec<i64> {
        sqlx::query_scalar("SELECT position FROM pages ORDER BY number").fetch_all(&self.admin).await.unwrap()
    }

    async fn is_written(&self, position: u64) -> bool {
        let World { db, tenant, .. } = &self.world;
        rollout::is_plan_written(db, tenant, &self.id, position).await.unwrap()
    }

    async fn members(&self) -> usize {
        let mut tx = self.world.db.read(&self.world.tenant).await.unwrap();
        let (id, now) = (self.id.to_string(), clock::now());
        rollout::members(&mut tx, &id, &Default::default(), now, None, 1_000, false).await.unwrap().items.len()
    }

    async fn equals_a_replay(&self) {
        let differences = projections::compare(&self.world.db, self.world.log.clone()).await.unwrap();
        assert!(differences.is_empty(), "{differences:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_after_a_plan_do_not_wait_for_its_members() {
    let planning = Planning::start().await;
    let (summary, last_chunk) = planning.write_chunks(1).await;
    // Members are written with what their devices do meanwhile.
    planning.goes_offline(&planning.ids[3]).await;
    planning.world.tell::<Device>(&device(&planning.ids[4]), DeviceCommand::Hold { until: None }).await.unwrap();
    let head = planning.world.head().await;
    let tasks = Tasks::new();
    let projections = planning.run(&tasks);
    projections.wait_for(&[projections::FLEET], head, PATIENCE).await.unwrap();
    assert_eq!(planning.members().await, 0, "the campaign is in planning");
    until("the plan is written", async || planning.is_written(last_chunk).await, |is_written| *is_written).await;
    assert_eq!(planning.pages().await, [head as i64; CHUNKS], "after the events that followed");
    planning.equals_a_replay().await;

    let named = planning.name(summary).await;
    projections.wait_for(&[projections::FLEET], named, PATIENCE).await.unwrap();
    assert_eq!(planning.members().await, DEVICES);
    check_counts(&planning.world, &planning.id, 4).await;
    planning.equals_a_replay().await;
    assert!(tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_plan_does_not_wait_for_a_large_one() {
    let planning = Planning::start().await;
    planning.write_chunks(1).await;
    let firmware = planning.world.firmware("2.1.0").await;
    let other = planning.world.campaign(&firmware, |_| {}).await;
    let plan = Uuid::from_u128(other.0.as_u128() ^ 1);
    let candidate =
        PlanCandidate { device: device(&planning.ids[0]), excluded: None, from_version: None, lorawan: false };
    let entries = domain::planning::plan("seed", vec![candidate], &spec(firmware.firmware_id));
    let command = PlanCommand::Write { campaign: other, plan, index: 0, entries };
    planning.world.tell::<PlanChunk>(&PlanChunkId { plan, index: 0 }, command).await.unwrap();
    let tasks = Tasks::new();
    let _projections = planning.run(&tasks);
    until("all are written", async || planning.pages().await.len(), |pages| *pages == CHUNKS + 1).await;
    let plans: Vec<String> =
        sqlx::query_scalar("SELECT plan FROM pages ORDER BY number").fetch_all(&planning.admin).await.unwrap();
    assert_eq!(plans[0], plan.to_string(), "{plans:?}");
    planning.equals_a_replay().await;
    assert!(tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_names_its_plan_at_once_shows_all_of_its_members() {
    let planning = Planning::start().await;
    let (summary, _) = planning.write_chunks(1).await;
    let named = planning.name(summary).await;
    planning.goes_offline(&planning.ids[3]).await;
    let tasks = Tasks::new();
    let projections = planning.run(&tasks);
    projections.wait_for(&[projections::FLEET], named, PATIENCE).await.unwrap();
    assert_eq!(planning.members().await, DEVICES);
    let pages = planning.pages().await;
    assert!(pages.len() == CHUNKS && pages.iter().all(|position| *position < named as i64), "{pages:?} {named}");
    projections.wait_for(&[projections::FLEET], planning.world.head().await, PATIENCE).await.unwrap();
    check_counts(&planning.world, &planning.id, 4).await;
    planning.equals_a_replay().await;
    assert!(tasks.shutdown(PATIENCE).await);
}

/// A kill of the process: its connections break in the middle of what they do.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_whole_after_a_kill_at_each_page() {
    let planning = Planning::start().await;
    let (summary, _) = planning.write_chunks(1).await;
    planning.goes_offline(&planning.ids[3]).await;
    // The second half is written because the campaign needs it, and a further plan is never named.
    planning.write_chunks(2).await;
    let named = planning.name(summary).await;
    planning.goes_offline(&planning.ids[4]).await;
    let url = planning.world.server.url("waybill", &planning.world.database);
    let mut kills = 0;
    while planning.pages().await.len() < 2 * CHUNKS {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (url, log, before) = (url.clone(), planning.world.log.clone(), planning.pages().await.len());
        runtime.spawn(async move {
            let (db, tasks) = (Db::connect(&url).unwrap(), Tasks::new());
            let _projections = Projections::start(db, log, None, &tasks);
            std::future::pending::<()>().await;
        });
        until("a page is written", async || planning.pages().await.len(), |pages| *pages > before).await;
        runtime.shutdown_background();
        kills += 1;
    }
    assert!(kills >= CHUNKS, "{kills} kills hit few pages");
    let tasks = Tasks::new();
    let projections = planning.run(&tasks);
    projections.wait_for(&[projections::FLEET], named, PATIENCE).await.unwrap();
    assert_eq!(planning.members().await, DEVICES);
    assert_eq!(planning.pages().await.len(), 2 * CHUNKS, "each page once");
    projections.wait_for(&[projections::FLEET], planning.world.head().await, PATIENCE).await.unwrap();
    check_counts(&planning.world, &planning.id, 4).await;
    planning.equals_a_replay().await;
    assert!(tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_cancelled_in_planning_equals_a_replay() {
    let planning = Planning::start().await;
    planning.write_chunks(1).await;
    planning.world.tell::<Campaign>(&planning.id, CampaignCommand::Cancel).await.unwrap();
    // A planner that is late.
    planning.write_chunks(2).await;
    planning.goes_offline(&planning.ids[3]).await;
    let tasks = Tasks::new();
    let projections = planning.run(&tasks);
    projections.wait_for(&[projections::FLEET], planning.world.head().await, PATIENCE).await.unwrap();
    assert_eq!(planning.members().await, 0);
    planning.equals_a_replay().await;
    assert!(tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_cant_be_applied_is_parked_and_the_others_are_written() {
    let planning = Planning::start().await;
    let sql = "ALTER TABLE rollout_members ADD CONSTRAINT poison CHECK (device_id <> 'd-05')";
    planning.admin.execute(sql).await.unwrap();
    let (summary, last_chunk) = planning.write_chunks(1).await;
    planning.goes_offline(&planning.ids[3]).await;
    let tasks = Tasks::new();
    let projections = planning.run(&tasks);
    until("the plan is written", async || planning.is_written(last_chunk).await, |is_written| *is_written).await;
    let parked: Vec<String> =
        sqlx::query_scalar("SELECT aggregate FROM parked_records").fetch_all(&planning.admin).await.unwrap();
    assert!(parked.len() == 1 && parked[0].contains("campaign_plan"), "{parked:?}");
    let named = planning.name(summary).await;
    projections.wait_for(&[projections::FLEET], named, PATIENCE).await.unwrap();
    assert_eq!(planning.members().await, DEVICES - CHUNK_DEVICES);
    assert!(tasks.shutdown(PATIENCE).await);
}
