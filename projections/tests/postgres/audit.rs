//! The audit against a fold of the log: filters, orders, pages, positions, tenants.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::device::{Device, DeviceCommand};
use domain::{AggregateKey, TenantId};
use event_store::{Delivery, Entry, Position, Record};
use futures::StreamExt as _;
use projections::archive::{self, AuditFilter, AuditPage, Order};
use serde_json::Value;
use uuid::Uuid;

use crate::fleet::{World, device, request};
use crate::trouble::append;

/// Events of one page, fewer than a record may have.
const PAGE: usize = 3;

/// An event as the log has it.
#[derive(Debug, Clone, PartialEq)]
struct Logged {
    key: AggregateKey,
    position: Position,
    kind: String,
    event: Value,
    actor: String,
    correlation_id: Uuid,
    stored_at: DateTime<Utc>,
}

/// Whether an event is to be shown.
type Matches<'a> = Box<dyn Fn(&Logged) -> bool + 'a>;

async fn logged(world: &World) -> Vec<Logged> {
    let (mut all, mut log) = (Vec::new(), world.log.subscribe(1));
    while let Some(Ok(Delivery::Record(raw))) = log.next().await {
        let record = Record::decode(raw.position, &raw.body).unwrap();
        for (index, stored) in record.events.iter().enumerate() {
            let event: Value = serde_json::from_str(stored.event.get()).unwrap();
            let meta = stored.metadata(&record.meta);
            all.push(Logged {
                key: raw.key.clone(),
                position: Position { sequence: raw.position, index: index as u16 },
                kind: event["type"].as_str().unwrap().to_owned(),
                event,
                actor: meta.actor.to_string(),
                correlation_id: meta.correlation_id,
                stored_at: raw.stored_at,
            });
        }
    }
    all
}

/// All pages; checks that none is larger than was asked for.
async fn audited(world: &World, tenant: &TenantId, filter: &AuditFilter, order: Order, until: u64) -> Vec<Logged> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let AuditPage { entries, next } =
            archive::audit(&world.db, tenant, filter, order, until, after, PAGE).await.unwrap();
        assert!(entries.len() <= PAGE);
        all.extend(entries.into_iter().map(|entry| {
            let Entry::Event(recorded) = entry.entry else { panic!("{entry:?}") };
            Logged {
                key: entry.key,
                position: recorded.position,
                kind: recorded.event["type"].as_str().unwrap().to_owned(),
                event: recorded.event,
                actor: recorded.meta.actor.to_string(),
                correlation_id: recorded.meta.correlation_id,
                stored_at: recorded.stored_at,
            }
        }));
        match next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// A world with a campaign over one device, and another device.
async fn busy_world() -> (World, String) {
    let world = World::start().await;
    for id in ["d-1", "d-2"] {
        world.register(id).await;
    }
    let firmware = world.firmware("2.0.0").await;
    for id in ["d-1", "d-2"] {
        let command = DeviceCommand::RequestUpdate { request: Box::new(request(&firmware)) };
        world.tell::<Device>(&device(id), command).await.unwrap();
    }
    world.installs("d-1", "b2", "2.0.0").await;
    let campaign = world.campaign(&firmware, |_| {}).await;
    world.settles().await;
    (world, campaign.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_shows_the_matching_events_of_the_log_in_either_order() {
    let (world, id) = busy_world().await;
    let all = logged(&world).await;
    let last = all.last().unwrap().position.sequence;
    let middle = &all[all.len() / 2];
    let cases: Vec<(AuditFilter, Matches<'_>)> = vec![
        (AuditFilter::default(), Box::new(|_| true)),
        (
            AuditFilter { actor: Some(middle.actor.clone()), ..AuditFilter::default() },
            Box::new(|event| event.actor == middle.actor),
        ),
        (
            AuditFilter { aggregate: Some("device".to_owned()), ..AuditFilter::default() },
            Box::new(|event| event.key.kind == "device"),
        ),
        (
            AuditFilter {
                aggregate: Some("device".to_owned()),
                aggregate_id: Some("d-1".to_owned()),
                ..AuditFilter::default()
            },
            Box::new(|event| event.key.kind == "device" && event.key.id == "d-1"),
        ),
        (
            AuditFilter {
                types: vec!["update.confirmed".to_owned(), "update.queued".to_owned()],
                ..AuditFilter::default()
            },
            Box::new(|event| ["update.confirmed", "update.queued"].contains(&event.kind.as_str())),
        ),
        (
            AuditFilter { from: Some(middle.stored_at), ..AuditFilter::default() },
            Box::new(|event| event.stored_at >= middle.stored_at),
        ),
        (
            AuditFilter { to: Some(middle.stored_at), ..AuditFilter::default() },
            Box::new(|event| event.stored_at < middle.stored_at),
        ),
        (
            AuditFilter { correlation_id: Some(middle.correlation_id), ..AuditFilter::default() },
            Box::new(|event| event.correlation_id == middle.correlation_id),
        ),
        (
            AuditFilter { campaign_id: Some(id.clone()), ..AuditFilter::default() },
            Box::new(|event| event.key.id == id || event.event.to_string().contains(&format!("\"{id}\""))),
        ),
    ];
    for (filter, matches) in cases {
        for until in [last, middle.position.sequence, 0] {
            let mut expected: Vec<Logged> =
                all.iter().filter(|event| matches(event) && event.position.sequence <= until).cloned().collect();
            assert!(until < last || !expected.is_empty(), "{filter:?}");
            let oldest = audited(&world, &world.tenant, &filter, Order::OldestFirst, until).await;
            assert_eq!(oldest, expected, "{filter:?} until {until}");
            expected.reverse();
            let newest = audited(&world, &world.tenant, &filter, Order::NewestFirst, until).await;
            assert_eq!(newest, expected, "{filter:?} until {until}, newest first");
            let facets = archive::facets(&world.db, &world.tenant, &filter, Order::NewestFirst, until).await.unwrap();
            let mut kinds = BTreeMap::<String, u64>::new();
            expected.iter().for_each(|event| *kinds.entry(event.kind.clone()).or_default() += 1);
            assert_eq!((facets.events, facets.is_complete), (expected.len() as u64, true), "{filter:?} until {until}");
            assert_eq!(facets.types.into_iter().collect::<BTreeMap<_, _>>(), kinds, "{filter:?} until {until}");
            assert_eq!(facets.oldest_at, expected.iter().map(|event| event.stored_at).min());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_correlation_and_the_events_at_a_position_are_found() {
    let (world, _) = busy_world().await;
    let all = logged(&world).await;
    let other = TenantId::new("globex").unwrap();
    for event in &all {
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        let one = archive::one_of_correlation(&mut tx, &world.tenant, event.correlation_id).await.unwrap();
        let Some(Entry::Event(one)) = one.map(|entry| entry.entry) else { panic!("nothing of {event:?}") };
        assert_eq!(one.meta.correlation_id, event.correlation_id);
        let here = archive::entries_at(&mut tx, &world.tenant, event.position.sequence).await.unwrap();
        assert!(here.iter().any(|entry| entry.position() == event.position), "{here:?}");
        let mut tx = world.db.read(&other).await.unwrap();
        assert!(archive::one_of_correlation(&mut tx, &other, event.correlation_id).await.unwrap().is_none());
        assert!(archive::entries_at(&mut tx, &other, event.position.sequence).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_of_another_tenant_is_empty() {
    let (world, _) = busy_world().await;
    let last = archive::reached(&world.db).await.unwrap();
    let other = TenantId::new("globex").unwrap();
    for order in [Order::OldestFirst, Order::NewestFirst] {
        assert_eq!(audited(&world, &other, &AuditFilter::default(), order, last).await, []);
        assert!(!audited(&world, &world.tenant, &AuditFilter::default(), order, last).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_has_its_place_in_the_audit() {
    let (world, _) = busy_world().await;
    let key = AggregateKey { tenant: world.tenant.clone(), kind: "claim".into(), id: "odd".into() };
    append(&world.memory, &key, "no record".to_owned()).await;
    world.settles().await;
    let last = archive::reached(&world.db).await.unwrap();
    let all = AuditFilter::default();
    let page = archive::audit(&world.db, &world.tenant, &all, Order::NewestFirst, last, None, 1).await.unwrap();
    assert!(matches!(&page.entries[0].entry, Entry::Unreadable(record) if record.sequence == last), "{page:?}");
    let typed = AuditFilter { types: vec!["claim.made".to_owned()], ..AuditFilter::default() };
    let page = archive::audit(&world.db, &world.tenant, &typed, Order::NewestFirst, last, None, 1).await.unwrap();
    assert!(page.entries.is_empty(), "{page:?}");
}

/// Bytes of a text that makes a record large, and the number of such records: together 2.4 MB.
const LARGE: usize = 200_000;
const LARGE_RECORDS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_records_ends_early_and_none_is_left_out() {
    let world = World::start().await;
    for number in 0..LARGE_RECORDS {
        world.firmware_with(&format!("{number}.0.0"), Some("x".repeat(LARGE))).await;
    }
    world.register("d-1").await;
    world.settles().await;
    let (all, until) = (logged(&world).await, world.head().await);
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let (mut seen, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let filter = AuditFilter::default();
            let page = archive::audit(&world.db, &world.tenant, &filter, order, until, after, 50).await.unwrap();
            assert!(page.entries.len() <= 7, "{}", page.entries.len());
            seen.extend(page.entries.iter().map(archive::AuditEntry::position));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut wanted: Vec<Position> = all.iter().map(|event| event.position).collect();
        if order == Order::NewestFirst {
            wanted.reverse();
        }
        assert_eq!(seen, wanted, "{order:?}");
        assert!(pages >= 2, "{pages}");
    }
}
