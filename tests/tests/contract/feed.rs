//! FEED: every public event once and in order, with servers that die and with several forwarders.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use domain::claim::{Claim, ClaimCommand, ClaimId, ClaimKind};
use domain::device::{Device, DeviceCommand};
use domain::{Actor, CommandId, DeviceId, Key, TenantId};
use event_store::feed::{POSITION_HEADER, forwarder};
use event_store::{EventStore, Log, Request};
use futures::StreamExt;
use runtime::clock;
use runtime::lifecycle::Tasks;
use tokio::time::timeout;

use super::servers::OneServer;
use super::tally::{insist, store};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_public_event_is_forwarded_once_and_in_order() {
    let mut server = OneServer::start().await;
    let client = server.client().await;
    let log: Arc<dyn Log> = server.log_over(client.clone()).await;
    let store = store(&log);
    let tasks = Tasks::new();
    for _ in 0..2 {
        tasks.spawn("feed", forwarder::run(client.clone(), log.clone(), tasks.token().clone()));
    }
    let mut wanted = Vec::new();
    for n in 0..300 {
        claim(&store, n).await;
        wanted.push(format!("{}-0", register(&store, n).await));
        if n == 150 {
            server.kill_and_restart().await;
        }
    }
    let messages = messages(&client, wanted.len()).await;
    let positions: Vec<_> = messages.iter().map(|message| header(message, POSITION_HEADER)).collect();
    assert_eq!(positions, wanted);
    assert_eq!(messages[0].subject.as_str(), "feed.acme.device.registered");
    assert_eq!(header(&messages[0], "ce-type"), "waybill.device.registered.v1");
    assert_eq!(header(&messages[0], "ce-id"), wanted[0]);
    assert!(tasks.shutdown(PATIENCE).await);
}

async fn claim(store: &EventStore, n: u32) {
    let key: Key<Claim> = Key::new(&tenant(), &ClaimId::new(ClaimKind::LorawanDevEui, &format!("{n:016x}")));
    insist(store, &key, asked(ClaimCommand::Make { owner: format!("d-{n}") })).await;
}

async fn register(store: &EventStore, n: u32) -> u64 {
    let key: Key<Device> = Key::new(&tenant(), &DeviceId::new(format!("d-{n}")).unwrap());
    let command = DeviceCommand::Register { profile: Default::default(), versions: Default::default() };
    insist(store, &key, asked(command)).await
}

fn asked<C>(command: C) -> Request<C> {
    Request::new(CommandId(clock::new_id()), Actor::new("test").unwrap(), command)
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

/// The first messages of FEED; checks that no more follow at once.
async fn messages(client: &async_nats::Client, count: usize) -> Vec<jetstream::Message> {
    let stream = jetstream::new(client.clone()).get_stream("FEED").await.unwrap();
    let consumer = stream.create_consumer(jetstream::consumer::pull::OrderedConfig::default()).await.unwrap();
    let mut reading = consumer.messages().await.unwrap();
    let mut messages = Vec::new();
    while messages.len() < count {
        let message = timeout(PATIENCE, reading.next()).await.expect("a message in time").unwrap().unwrap();
        messages.push(message);
    }
    assert!(timeout(Duration::from_secs(2), reading.next()).await.is_err(), "more was forwarded than was stored");
    messages
}

fn header(message: &jetstream::Message, name: &str) -> String {
    message.headers.as_ref().and_then(|headers| headers.get(name)).map(ToString::to_string).unwrap_or_default()
}
