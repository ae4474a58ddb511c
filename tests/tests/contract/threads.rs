//! Correlation and causation come from the log: a command without them takes them from the thread that its events belong to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::CommandId;
use domain::thread::Thread;
use event_store::{Cause, Committed, EventStore, Log, Metadata, Record, RecordRef, Request};
use runtime::clock;
use uuid::Uuid;

use super::tally::{FORGOTTEN, REPORT, Tally, TallyCommand, key, request, store};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const ANNA: Uuid = Uuid::from_u128(0xa);
const BERT: Uuid = Uuid::from_u128(0xb);
const LATER: Uuid = Uuid::from_u128(0xc);

/// A person's own command, mainly on the first of these threads.
fn order(threads: &[u64], correlation_id: Option<Uuid>) -> Request<TallyCommand> {
    let command = TallyCommand::Add { by: threads.to_vec(), note: "order".to_owned() };
    Request { correlation_id, cause: Cause::Sender, ..request(command) }
}

/// A device's report, without correlation or cause.
fn report(threads: &[u64]) -> Request<TallyCommand> {
    request(TallyCommand::Add { by: threads.to_vec(), note: REPORT.to_owned() })
}

/// Executes in a process with an empty cache, as after a crash; returns the record and its metadata.
async fn stored(log: &Arc<dyn Log>, tenant: &str, request: Request<TallyCommand>) -> (RecordRef, Vec<Metadata>) {
    let command_id = request.id;
    let committed: Committed<Tally> = store(log).execute(&key(tenant, "t-1"), request).await.unwrap();
    let position = committed.position;
    // On a cluster the answering server may not have the record yet.
    let deadline = Instant::now() + PATIENCE;
    let raw = loop {
        if let Some(raw) = log.read(key(tenant, "t-1").raw(), position, 1).await.unwrap().pop() {
            break raw;
        }
        assert!(Instant::now() < deadline, "record {position} isn't readable");
        tokio::time::sleep(POLL).await;
    };
    let record = Record::decode(position, &raw.body).unwrap();
    let metadata = record.events.iter().map(|event| event.metadata(&record.meta)).collect();
    (RecordRef { command_id, position }, metadata)
}

fn link(metadata: &Metadata) -> (Uuid, Option<RecordRef>) {
    let cause = metadata.causation_id.zip(metadata.causation_position);
    let cause = cause.map(|(id, position)| RecordRef { command_id: CommandId(id), position });
    (metadata.correlation_id, cause)
}

pub(super) async fn later_events_carry_the_correlation_of_their_thread(log: Arc<dyn Log>) {
    let tenant = "thread";
    let (ordered, first) = stored(&log, tenant, order(&[1], Some(ANNA))).await;
    assert_eq!(link(&first[0]), (ANNA, None));
    let (reported, second) = stored(&log, tenant, report(&[1])).await;
    assert_eq!(link(&second[0]), (ANNA, Some(ordered)));
    let (_, third) = stored(&log, tenant, report(&[1])).await;
    assert_eq!(link(&third[0]), (ANNA, Some(reported)));
    let alone = report(&[2]);
    let id = alone.id.0;
    let (_, of_itself) = stored(&log, tenant, alone).await;
    assert_eq!(link(&of_itself[0]), (id, None), "it has no cause");

    // A process that has the aggregate in its cache stores the same as one that reads it from the log.
    let remembering = store(&log);
    let key = key(tenant, "t-1");
    let one = remembering.execute(&key, report(&[1])).await.unwrap();
    let other = remembering.execute(&key, report(&[1])).await.unwrap();
    let history = remembering.history(&key, other.version, 1).await.unwrap();
    assert_eq!(history[0].meta.causation_position, Some(one.position));
    let (held, read) = (remembering.load(&key).await.unwrap(), store(&log).load(&key).await.unwrap());
    assert_eq!(held.threads.last(Thread(1)), read.threads.last(Thread(1)));
}

pub(super) async fn events_of_other_threads_keep_their_own_correlation(log: Arc<dyn Log>) {
    let tenant = "threads";
    let (by_anna, _) = stored(&log, tenant, order(&[1], Some(ANNA))).await;
    let (by_bert, _) = stored(&log, tenant, order(&[2], Some(BERT))).await;
    let (both, metadata) = stored(&log, tenant, report(&[2, 1])).await;
    assert_eq!(metadata.iter().map(link).collect::<Vec<_>>(), [(BERT, Some(by_bert)), (ANNA, Some(by_anna))]);
    // A person's command on one thread affects another one, which continues under a new number.
    let (touched, metadata) = stored(&log, tenant, order(&[2, 1, 103], Some(LATER))).await;
    let links: Vec<_> = metadata.iter().map(link).collect();
    assert_eq!(links, [(LATER, None), (ANNA, Some(both)), (ANNA, Some(both))]);
    let (_, metadata) = stored(&log, tenant, report(&[3])).await;
    assert_eq!(link(&metadata[0]), (ANNA, Some(touched)));
}

pub(super) async fn a_given_correlation_applies_to_its_record_only(log: Arc<dyn Log>) {
    let tenant = "given";
    stored(&log, tenant, order(&[1], Some(ANNA))).await;
    let (_, continued) = stored(&log, tenant, order(&[1], None)).await;
    assert_eq!(link(&continued[0]), (ANNA, None), "a person's own command, on a thread that has an id");
    let (later, given) = stored(&log, tenant, order(&[1], Some(LATER))).await;
    assert_eq!(link(&given[0]), (LATER, None));
    let (_, reported) = stored(&log, tenant, report(&[1])).await;
    assert_eq!(link(&reported[0]), (ANNA, Some(later)));
    let from_elsewhere = RecordRef { command_id: CommandId(clock::new_id()), position: 1 };
    let caused = Request { cause: Cause::Record(from_elsewhere), ..order(&[1], None) };
    let (_, caused) = stored(&log, tenant, caused).await;
    assert_eq!(link(&caused[0]), (ANNA, Some(from_elsewhere)));
}

pub(super) async fn a_clock_names_the_record_that_set_it(log: Arc<dyn Log>) {
    let tenant = "clock";
    let close = Request { correlation_id: Some(ANNA), ..request(TallyCommand::Close) };
    stored(&log, tenant, order(&[1], Some(BERT))).await;
    let (closed, _) = stored(&log, tenant, close).await;
    let (_, opened) = stored(&log, tenant, request(TallyCommand::Open)).await;
    assert_eq!(link(&opened[0]), (ANNA, Some(closed)));
}

pub(super) async fn ended_threads_are_removed(log: Arc<dyn Log>) {
    let (tenant, forgotten) = ("forgotten", u64::from(FORGOTTEN.0));
    let (_, first) = stored(&log, tenant, order(&[forgotten, 1], Some(ANNA))).await;
    assert_eq!(link(&first[0]), (ANNA, None));
    let loaded = EventStore::load(&store(&log), &key(tenant, "t-1")).await.unwrap();
    assert_eq!((loaded.threads.last(FORGOTTEN), loaded.threads.last(Thread(1)).is_some()), (None, true));
}
