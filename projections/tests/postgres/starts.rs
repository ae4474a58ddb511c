//! Campaigns that wait for an approval or their scheduled start, and devices that begin spread over a time.

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{Campaign, CampaignCommand, CampaignSpec, PauseCause, PlanSummary};
use domain::device::{Device, DeviceCommand};
use domain::firmware::{Firmware, FirmwareCommand};
use domain::plan::{ExpectedPlan, OnDrift, PlanCounts, PlanDrift, PreviewedPlan, Unexplained};
use domain::{Actor, ActorKind, CampaignId, Person, TenantId};
use projections::campaigns::{CampaignFilter, CampaignRow};
use projections::schedule::{self, Due};
use projections::{campaigns, previews, rollout};
use runtime::clock;
use uuid::Uuid;

use crate::fleet::{World, device};

fn person(id: &str) -> Person {
    Person::try_from(Actor::of(ActorKind::Person, id).unwrap()).unwrap()
}

async fn row(world: &World, id: &CampaignId) -> CampaignRow {
    world.settles().await;
    let filter = CampaignFilter { id: Some(id.to_string()), ..CampaignFilter::default() };
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    campaigns::list(&mut tx, &filter, None, 1, false).await.unwrap().items.remove(0)
}

async fn due(world: &World, at: DateTime<Utc>) -> Vec<(CampaignId, Due)> {
    world.settles().await;
    let due = schedule::due(&world.db, at, 100).await.unwrap();
    due.into_iter().map(|due| (due.campaign, due.due)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_campaigns_are_due_at_their_time_at_their_end_and_when_their_firmware_is_withdrawn() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    let now = clock::now();
    let hours = |hours: i64| now + TimeDelta::hours(hours);
    let scheduled = async |start: i64, end: Option<i64>| {
        let change = |spec: &mut CampaignSpec| {
            (spec.scheduled_start, spec.ends_at) = (Some(hours(start)), end.map(hours));
        };
        world.campaign(&firmware, change).await
    };
    let (first, second) = (scheduled(1, None).await, scheduled(2, Some(3)).await);
    assert_eq!(row(&world, &first).await.status, "scheduled");
    assert_eq!(due(&world, now).await, []);
    assert_eq!(
        schedule::next_start(&world.db, now).await.unwrap(),
        Some(row(&world, &first).await.spec.scheduled_start.unwrap())
    );
    assert_eq!(due(&world, hours(1)).await, [(first, Due::Start)]);
    assert_eq!(due(&world, hours(4)).await, [(first, Due::Start), (second, Due::End)]);

    let pause = CampaignCommand::Pause { cause: PauseCause::Operator };
    for id in [first, second] {
        world.tell::<Campaign>(&id, pause.clone()).await.unwrap();
    }
    assert_eq!(due(&world, hours(4)).await, [(second, Due::End)], "a pause keeps it from starting, not from ending");
    assert_eq!(schedule::next_start(&world.db, now).await.unwrap(), None);
    for id in [first, second] {
        world.tell::<Campaign>(&id, CampaignCommand::Resume { accept_failures: false }).await.unwrap();
    }
    world.tell::<Firmware>(&firmware.firmware_id, FirmwareCommand::Withdraw).await.unwrap();
    assert_eq!(due(&world, now).await, [(first, Due::Withdrawn), (second, Due::Withdrawn)]);
    world.tell::<Campaign>(&first, CampaignCommand::Cancel).await.unwrap();
    let draft = CampaignSpec { scheduled_start: None, ..row(&world, &second).await.spec };
    let amend = CampaignCommand::Amend { spec: Box::new(draft), by: person("2").into() };
    world.tell::<Campaign>(&second, amend).await.unwrap();
    assert_eq!(due(&world, hours(4)).await, [], "neither is scheduled any more");
    assert_eq!(row(&world, &second).await.status, "draft");
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_shown_until_the_next_edit() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    let id = world.campaign(&firmware, |spec| spec.requires_approval = true).await;
    assert_eq!((row(&world, &id).await.status.as_str(), row(&world, &id).await.decision), ("awaiting_approval", None));
    let (by, creator) = (person("7"), person("1").into());
    world.tell::<Campaign>(&id, CampaignCommand::Approve { by, creator }).await.unwrap();
    let approved = row(&world, &id).await;
    let decision = approved.decision.unwrap();
    assert_eq!((approved.status.as_str(), decision.approved, decision.by.as_str()), ("approved", true, "user:7"));
    world.tick().await;
    assert_eq!(row(&world, &id).await.status, "approved", "it waits for its start");
    let spec = Box::new(CampaignSpec { soak_minutes: 7, ..approved.spec });
    world.tell::<Campaign>(&id, CampaignCommand::Amend { spec, by: person("2").into() }).await.unwrap();
    let edited = row(&world, &id).await;
    assert_eq!((edited.status.as_str(), edited.decision), ("draft", None));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_wave_are_ready_one_after_the_other() {
    let world = World::start().await;
    crate::campaigns::fleet(&world, 8).await;
    let firmware = world.firmware("2.0.0").await;
    let change = |spec: &mut CampaignSpec| {
        spec.waves.drain(..1).for_each(drop);
        (spec.max_concurrent_updates, spec.jitter_seconds) = (3, Some(800));
    };
    let id = world.campaign(&firmware, change).await;
    world.tick().await;
    world.settles().await;
    let ready = async |seconds: i64| -> Vec<u32> {
        let at = clock::now() + TimeDelta::seconds(seconds);
        let slots = rollout::ready(&world.db, &world.tenant, &id, at, 500).await.unwrap();
        let view = rollout::view(&world.db, &world.tenant, &id, at).await.unwrap().unwrap();
        assert_eq!(view.rollout.total().ready as usize, slots.len());
        slots.iter().map(|slot| slot.rank).collect()
    };
    assert_eq!(ready(0).await, [0]);
    assert_eq!(ready(150).await, [0, 1]);
    assert_eq!(ready(350).await.len(), 4);
    assert_eq!(ready(801).await, (0..8).collect::<Vec<_>>());
    world.tick().await;
    let granted =
        rollout::progress(&mut world.db.read(&world.tenant).await.unwrap(), &world.tenant, &id).await.unwrap();
    assert_eq!(granted[0].counts.in_use, 1, "the others hold no slot");
    assert_eq!(ready(350).await, [1, 2, 3]);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_in_a_pause_keeps_the_clocks_of_a_wave_in_the_past() {
    let world = World::start().await;
    let ids = crate::campaigns::fleet(&world, 2).await;
    let firmware = world.firmware("2.0.0").await;
    let change = |spec: &mut CampaignSpec| {
        spec.waves.drain(..1).for_each(drop);
        (spec.jitter_seconds, spec.gate_min_settled) = (Some(2), 100);
    };
    let id = world.campaign(&firmware, change).await;
    world.tick().await;
    let now = clock::now();
    let hours = |hours: i64| now + TimeDelta::hours(hours);
    let tell = async |at, command| drop(world.tell_at::<Campaign>(at, &id, command).await);
    tell(hours(1), CampaignCommand::Pause { cause: PauseCause::Operator }).await;
    tell(hours(60), CampaignCommand::Retry).await;
    tell(hours(61), CampaignCommand::Resume { accept_failures: false }).await;
    world.settles().await;
    let view = rollout::view(&world.db, &world.tenant, &id, hours(61)).await.unwrap().unwrap();
    assert_eq!(view.waits_from, [Some(hours(61))], "the clocks begin again at the end of the pause");
    let at = hours(61) + TimeDelta::seconds(3);
    assert_eq!(rollout::ready(&world.db, &world.tenant, &id, at, 10).await.unwrap().len(), ids.len());
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_campaign_that_moved_to_another_firmware_still_pins_it() {
    let world = World::start().await;
    let (first, second) = (world.firmware("2.0.0").await, world.firmware("3.0.0").await);
    let start = clock::now() + TimeDelta::hours(1);
    let id = world.campaign(&first, |spec| spec.scheduled_start = Some(start)).await;
    let spec = CampaignSpec { firmware_id: second.firmware_id, ..row(&world, &id).await.spec };
    let pin = FirmwareCommand::Pin { campaign: id };
    world.tell::<Firmware>(&second.firmware_id, pin).await.unwrap();
    let amend = CampaignCommand::Amend { spec: Box::new(spec), by: person("2").into() };
    world.tell::<Campaign>(&id, amend).await.unwrap();
    world.tell::<Firmware>(&first.firmware_id, FirmwareCommand::Unpin { campaign: id }).await.unwrap();
    world.tell::<Campaign>(&id, CampaignCommand::Cancel).await.unwrap();
    world.settles().await;
    let admin = world.admin().await;
    let starts: Option<DateTime<Utc>> =
        sqlx::query_scalar("SELECT starts_at FROM rollout_campaigns").fetch_one(&admin).await.unwrap();
    assert_eq!(starts, None, "it doesn't start any more");
    let at_work = async || rollout::at_work(&world.db, None, 10).await.unwrap();
    assert_eq!(at_work().await.iter().map(|row| (row.campaign, row.pinned)).collect::<Vec<_>>(), [(id, true)]);
    world.tick().await;
    assert_eq!(at_work().await, [], "its firmware is unpinned");
    world.equals_a_replay().await;
}

fn previewed(at_position: u64) -> PreviewedPlan {
    let counts = PlanCounts { devices: 2, excluded: Default::default(), waves: vec![1, 1] };
    PreviewedPlan { at_position, at: clock::now(), specification: "ab".into(), counts }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_shows_the_plan_that_it_expects_and_the_one_that_it_was_refused_for() {
    let world = World::start().await;
    crate::campaigns::fleet(&world, 2).await;
    let firmware = world.firmware("2.0.0").await;
    let (id, starts_at) = (CampaignId(clock::new_id()), clock::now() + TimeDelta::hours(1));
    let spec = CampaignSpec { scheduled_start: Some(starts_at), ..crate::fleet::spec(firmware.firmware_id) };
    let expected = ExpectedPlan { plan_hash: "11".into(), on_drift: OnDrift::Refuse, previewed: Some(previewed(1)) };
    let start = |expected: Option<&ExpectedPlan>| {
        let (firmware, expected) = (Box::new(firmware.clone()), expected.cloned().map(Box::new));
        CampaignCommand::Start { plan: Uuid::nil(), firmware, expected }
    };
    world.tell::<Campaign>(&id, CampaignCommand::Create { id, spec: Box::new(spec) }).await.unwrap();
    world.tell::<Campaign>(&id, start(Some(&expected))).await.unwrap();
    let scheduled = row(&world, &id).await;
    assert_eq!((scheduled.status.as_str(), scheduled.expected_plan.as_ref()), ("scheduled", Some(&expected)));
    world.tell_at::<Campaign>(starts_at, &id, start(None)).await;
    let planning = row(&world, &id).await;
    assert_eq!((planning.status.as_str(), planning.expected_plan.as_ref()), ("planning", Some(&expected)));
    assert_eq!(planning.started_at, Some(starts_at));

    let drift = PlanDrift {
        previewed_hash: "11".into(),
        previewed: expected.previewed.clone(),
        changes: None,
        unexplained: Some(Unexplained::TooManyChanges),
    };
    let refused = PlanSummary {
        plan: Uuid::nil(),
        chunks: 0,
        devices: 1,
        excluded: Default::default(),
        waves: vec![1, 0],
        seed: "seed".into(),
        algorithm: "sha256-rank-v1".into(),
        at_position: 5,
        plan_hash: "22".into(),
        drift: Some(Box::new(drift)),
    };
    let command = CampaignCommand::RefusePlan { summary: Box::new(refused.clone()) };
    world.tell_at::<Campaign>(starts_at, &id, command).await;
    let draft = row(&world, &id).await;
    assert_eq!((draft.status.as_str(), draft.started_at, draft.ends_at), ("draft", None, None));
    assert_eq!((draft.expected_plan, draft.refused_plan), (None, Some(refused)));
    assert_eq!(due(&world, starts_at).await, [], "it doesn't start again by itself");
    assert_eq!(rollout::at_work(&world.db, None, 10).await.unwrap(), []);
    world.equals_a_replay().await;

    world.tell::<Firmware>(&firmware.firmware_id, FirmwareCommand::Pin { campaign: id }).await.unwrap();
    let (plan, facts) = (Uuid::nil(), Box::new(firmware.clone()));
    world.tell::<Campaign>(&id, CampaignCommand::StartNow { plan, firmware: facts, expected: None }).await.unwrap();
    world.tick().await;
    let running = row(&world, &id).await;
    assert_eq!((running.status.as_str(), running.refused_plan), ("running", None));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_preview_has_shown_is_known_to_its_tenant_for_a_week() {
    let world = World::start().await;
    let other = TenantId::new("other").unwrap();
    let found = async |tenant: &TenantId, hash: &str| {
        let mut tx = world.db.read(tenant).await.unwrap();
        previews::find(&mut tx, hash).await.unwrap()
    };
    previews::keep(&world.db, &world.tenant, "11", &previewed(3)).await.unwrap();
    let later = previewed(4);
    previews::keep(&world.db, &world.tenant, "11", &later).await.unwrap();
    assert_eq!(found(&world.tenant, "11").await, Some(later), "the latest one");
    assert_eq!((found(&other, "11").await, found(&world.tenant, "22").await), (None, None));
    let admin = world.admin().await;
    sqlx::query("UPDATE campaign_previews SET made_at = made_at - interval '8 days'").execute(&admin).await.unwrap();
    assert_eq!(found(&world.tenant, "11").await, None);
    previews::keep(&world.db, &world.tenant, "22", &previewed(5)).await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM campaign_previews").fetch_one(&admin).await.unwrap();
    assert_eq!(rows, 1, "the next preview removes old ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_have_changed_since_a_position_are_found() {
    let world = World::start().await;
    for id in ["d-1", "d-2", "d-3"] {
        world.register(id).await;
    }
    let position = world.head().await;
    for id in ["d-3", "d-2"] {
        world.tell::<Device>(&device(id), DeviceCommand::Hold { until: None }).await.unwrap();
    }
    world.settles().await;
    let changed = async |position, limit| {
        let found = rollout::devices_changed_since(&world.db, &world.tenant, position, limit).await.unwrap();
        found.iter().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(changed(position, 10).await, ["d-2", "d-3"].map(String::from).into());
    assert_eq!((changed(position, 1).await.len(), changed(world.head().await, 10).await.len()), (1, 0));
}
