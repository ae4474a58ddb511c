//! The permissions of the users in nats.conf, tested with real connections.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::{self, consumer, stream};
use async_nats::{Client, HeaderMap};
use futures::StreamExt;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS, SubscribeReasonCode};
use runtime::lifecycle::Tasks;
use waybill::stack::{NatsServer, Stack};

use super::{Directory, nats, start};

/// How long to wait before it counts as silence.
const SILENCE: Duration = Duration::from_millis(300);
/// Longest wait for an expected message.
const PATIENCE: Duration = Duration::from_secs(10);
/// Together more subscriptions with QoS 1 than nats-server allows per stream by default; one session has 63.
const SESSIONS: usize = 20;
const SUBSCRIPTIONS_PER_SESSION: usize = 60;

/// A listener that lets in any device.
async fn start_open(directory: &Path) -> (Stack, Tasks) {
    let (stack, tasks) = (start(directory).await, Tasks::new());
    stack.nats.admit_anonymous_devices(&tasks).await.unwrap();
    (stack, tasks)
}

async fn with_streams(server: &NatsServer) -> jetstream::Context {
    let log = jetstream::new(nats(&server.admin_url()).await);
    for (name, subject) in [("EVENTS", "ev.>"), ("FEED", "feed.>")] {
        let config = stream::Config {
            name: name.into(),
            subjects: vec![subject.into()],
            allow_direct: true,
            ..Default::default()
        };
        log.create_stream(config).await.unwrap();
    }
    for n in 0..3 {
        log.publish(format!("feed.acme.campaign.e{n}"), "{}".into()).await.unwrap().await.unwrap();
    }
    log
}

async fn messages(log: &jetstream::Context, stream: &str) -> u64 {
    log.get_stream(stream).await.unwrap().cached_info().state.messages
}

async fn ask(client: &Client, subject: &str, reply: &str, body: &'static str) {
    client
        .publish_with_reply_and_headers(subject.to_owned(), reply.to_owned(), HeaderMap::new(), body.into())
        .await
        .unwrap();
}

/// Waits for an expected result, or fails and names it.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// The analyst's FEED. Its answer shows that the server has handled everything that the connection sent before, also subscriptions;
/// flushing shows only that it was sent.
async fn feed_of(client: &Client) -> stream::Stream {
    jetstream::with_domain(client.clone(), "waybill").get_stream("FEED").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_cannot_delete_history() {
    let directory = Directory::new();
    let stack = start(directory.path()).await;
    let log = with_streams(&stack.nats).await;
    let client = nats(&stack.nats.waybill_url()).await;
    for verb in ["PURGE", "DELETE", "UPDATE", "MSG.DELETE"] {
        ask(&client, &format!("$JS.API.STREAM.{verb}.FEED"), "_INBOX.x", "{\"seq\":1}").await;
    }
    messages(&jetstream::new(client), "FEED").await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(messages(&log, "FEED").await, 3);
    let admin = jetstream::new(nats(&stack.nats.admin_url()).await);
    admin.get_stream("FEED").await.unwrap().purge().await.unwrap();
    assert_eq!(messages(&log, "FEED").await, 0, "an administrator can");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_reads_feed_from_any_position_and_live() {
    let directory = Directory::new();
    let stack = start(directory.path()).await;
    let log = with_streams(&stack.nats).await;
    let client = nats(&stack.nats.analyst_url()).await;
    let mut live = client.subscribe("feed.acme.>").await.unwrap();
    let feed = feed_of(&client).await;
    log.publish("feed.acme.campaign.live", "{}".into()).await.unwrap().await.unwrap();
    let heard = within("a live event", live.next()).await.unwrap();
    assert_eq!(heard.subject.as_str(), "feed.acme.campaign.live");

    assert_eq!(feed.direct_get(2).await.unwrap().subject.as_str(), "feed.acme.campaign.e1");

    // A durable consumer is made by an administrator, then read and acknowledged by the analyst.
    let admin = jetstream::new(nats(&stack.nats.admin_url()).await).get_stream("FEED").await.unwrap();
    let config = consumer::pull::Config { durable_name: Some("reports".into()), ..Default::default() };
    let mut made = admin.create_consumer(config).await.unwrap();
    let reports: consumer::PullConsumer = feed.get_consumer("reports").await.unwrap();
    let mut batch = reports.fetch().max_messages(4).messages().await.unwrap();
    let mut read = 0;
    while let Some(message) = within("the end of a batch", batch.next()).await {
        message.unwrap().ack().await.unwrap();
        read += 1;
    }
    assert_eq!(read, 4);
    let acknowledged = async {
        loop {
            let info = made.info().await.unwrap();
            if (info.ack_floor.stream_sequence, info.num_ack_pending) == (4, 0) {
                break;
            }
        }
    };
    within("all four are acknowledged", acknowledged).await;
}

/// NATS doesn't check the reply subject against a user's permissions, so a user who may send JetStream requests can name a stream's subject
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn an_analyst_can_neither_write_nor_redirect_an_answer_into_a_stream() {
    const VICTIM: &str = "ev.3.acme.device.d-1";
    let directory = Directory::new();
    let stack = start(directory.path()).await;
    let log = with_streams(&stack.nats).await;
    let client = nats(&stack.nats.analyst_url()).await;
    let push = "{\"stream_name\":\"FEED\",\"config\":{\"name\":\"x\",\"deliver_subject\":\"ev.3.acme.device.d-1\"}}";
    for (subject, body) in [
        (VICTIM, "{}"),
        ("feed.acme.campaign.forged", "{}"),
        ("$JS.waybill.API.STREAM.INFO.FEED", ""),
        ("$JS.waybill.API.DIRECT.GET.FEED", "{\"seq\":1}"),
        ("$JS.waybill.API.DIRECT.GET.FEED.feed.acme.campaign.e1", ""),
        ("$JS.waybill.API.CONSUMER.CREATE.FEED.x", push),
        ("$JS.waybill.API.STREAM.DELETE.FEED", ""),
        ("$JS.waybill.API.STREAM.INFO.EVENTS", ""),
        ("$JS.waybill.API.DIRECT.GET.EVENTS", "{\"seq\":1}"),
        ("$JS.API.CONSUMER.CREATE.FEED.x", push),
        ("$JS.API.STREAM.DELETE.EVENTS", ""),
    ] {
        ask(&client, subject, VICTIM, body).await;
    }
    let mut everything = client.subscribe(">").await.unwrap();
    let mut events = client.subscribe("ev.>").await.unwrap();
    feed_of(&client).await;
    log.publish(VICTIM, "{}".into()).await.unwrap().await.unwrap();
    let heard = async {
        tokio::select! { heard = everything.next() => heard, heard = events.next() => heard }
    };
    assert!(!matches!(tokio::time::timeout(SILENCE, heard).await, Ok(Some(_))), "an analyst received an event");
    assert_eq!(messages(&log, "EVENTS").await, 1, "only the service's own record");
    assert_eq!(messages(&log, "FEED").await, 3);
}

fn device(server: &NatsServer, id: &str) -> (AsyncClient, EventLoop) {
    AsyncClient::builder(listener(server, id)).capacity(SUBSCRIPTIONS_PER_SESSION).build()
}

fn listener(server: &NatsServer, id: &str) -> MqttOptions {
    let address = server.mqtt_listen();
    MqttOptions::new(id, (address.ip().to_string(), address.port()))
}

/// Topics are subjects, so a user of the log's account could write events if it could connect by MQTT.
#[tokio::test(flavor = "multi_thread")]
async fn only_mqtt_users_can_connect_by_mqtt() {
    let directory = Directory::new();
    let (stack, _open) = start_open(directory.path()).await;
    for user in ["waybill", "admin", "analyst", "bridge"] {
        let mut options = listener(&stack.nats, user);
        options.set_credentials(user, user);
        let (_client, mut events) = AsyncClient::builder(options).build();
        let answer = async {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(ack))) => break format!("{:?}", ack.code),
                    Ok(_) => {}
                    Err(error) => break format!("{error:?}"),
                }
            }
        };
        let refused = within("an answer to CONNECT", answer).await;
        assert!(refused.contains("BadUserNamePassword") || refused.contains("NotAuthorized"), "{user}: {refused}");
    }
    for by_nats in [stack.nats.url("device", "device"), format!("nats://{}", stack.nats.listen())] {
        let connected = event_store::connection::options("device").connect(by_nats).await;
        assert!(connected.is_err(), "a device connected by NATS");
    }
}

/// Only messages to devices.
#[tokio::test(flavor = "multi_thread")]
async fn the_bridges_mqtt_user_may_only_publish_to_devices() {
    let directory = Directory::new();
    let (stack, _open) = start_open(directory.path()).await;
    let log = with_streams(&stack.nats).await;
    let (device, mut heard) = device(&stack.nats, "d-1");
    device.subscribe("acme/devices/d-1/commands", QoS::AtMostOnce).await.unwrap();
    assert_eq!(answers(&mut heard, 1).await, [true]);
    let mut options = listener(&stack.nats, "bridge");
    options.set_credentials("bridge-mqtt", stack.nats.passwords().bridge.clone());
    let (client, mut events) = AsyncClient::builder(options).capacity(SUBSCRIPTIONS_PER_SESSION).build();
    let topics = [
        "ev/3/acme/device/d-1",
        "$JS/API/STREAM/DELETE/$MQTT_msgs",
        "acme/devices/d-1/status",
        "acme/devices/d-1/commands",
    ];
    for topic in topics {
        client.publish(topic, "x", PublishOptions::new(QoS::AtMostOnce)).await.unwrap();
    }
    let filters = ["#", "+/devices/+/status", "acme/devices/d-1/commands"];
    for filter in filters {
        client.subscribe(filter, QoS::AtMostOnce).await.unwrap();
    }
    assert_eq!(answers(&mut events, filters.len()).await, [false; 3]);
    let command = async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = heard.poll().await.unwrap() {
                break publish.topic;
            }
        }
    };
    assert_eq!(within("a command", command).await, "acme/devices/d-1/commands");
    assert_eq!(messages(&log, "EVENTS").await, 0);
}

/// The answers to `count` subscriptions, in order.
async fn answers(events: &mut EventLoop, count: usize) -> Vec<bool> {
    let mut granted = Vec::new();
    while granted.len() < count {
        if let Event::Incoming(Packet::SubAck(ack)) = within("an answer to SUBSCRIBE", events.poll()).await.unwrap() {
            granted.extend(ack.return_codes.iter().map(|code| !matches!(code, SubscribeReasonCode::Failure)));
        }
    }
    granted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_subscribe_to_commands_and_chunks_only() {
    let directory = Directory::new();
    let (stack, _open) = start_open(directory.path()).await;
    let (client, mut events) = device(&stack.nats, "d-1");
    let filters = [
        ("acme/devices/d-1/commands", true),
        ("acme/devices/d-1/run", true),
        ("acme/devices/d-1/firmware/1/+", true),
        ("acme/devices/d-1/status", false),
        ("acme/devices/d-1/#", false),
        ("acme/#", false),
        ("#", false),
        ("+/devices/+/+", false),
        ("$MQTT/sub/#", false),
        ("$JS/#", false),
    ];
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        for (filter, _) in filters {
            client.subscribe(filter, qos).await.unwrap();
        }
        let wanted: Vec<bool> = filters.iter().map(|(_, granted)| *granted).collect();
        assert_eq!(answers(&mut events, filters.len()).await, wanted, "{qos:?} {filters:?}");
    }
}

/// A refused publish gets its PUBACK and appears only in the server's log. So wrong topics of a device are allowed, except topics of
/// messages to devices.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_publish_below_its_own_topic_except_commands_and_chunks() {
    let directory = Directory::new();
    let (stack, _open) = start_open(directory.path()).await;
    let inside = nats(&stack.nats.devices_url()).await;
    let mut heard = inside.subscribe("*.*.>").await.unwrap();
    // The answer shows that the subscription was handled.
    jetstream::new(inside).query_account().await.unwrap();
    let (client, mut events) = device(&stack.nats, "d-1");
    let tasks = Tasks::new();
    tasks.spawn("device", async move { while events.poll().await.is_ok() {} });
    let down = [
        "acme/devices/d-1/commands",
        "acme/devices/d-2/commands",
        "acme/devices/d-1/run",
        "acme/devices/d-1/firmware/1/0",
        "ev/3/acme/device/d-1",
    ];
    let up = [
        "acme/devices/d-1",
        "acme/devices/d-1/status",
        "acme/devices/d-1/state",
        "acme/devices/d-1/commands/get",
        "acme/devices/d-1/firmware/1",
        "acme/devices/d-1/firmware/1/get",
        "acme/devices/d-1/run/1/status",
        "acme/devices/d-1/run/1/state",
        "acme/devices/d-1/updates/1/log",
        "acme/devices/d-1/update/1/status",
        "acme/devices/d-1/updates/1/progress",
        "acme/devices/d-1/updates/1/status/done",
    ];
    for topic in down.into_iter().chain(up) {
        client.publish(topic, "x", PublishOptions::new(QoS::AtMostOnce)).await.unwrap();
    }
    let mut passed = Vec::new();
    while passed.len() < up.len() {
        let subject = within("a published message", heard.next()).await.unwrap().subject;
        if !subject.starts_with("$") && !subject.starts_with("_") {
            passed.push(subject.replace('.', "/"));
        }
    }
    assert_eq!(passed, up);
}

/// The bridge's subscriptions don't deliver its own commands.
#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_does_not_receive_commands() {
    let directory = Directory::new();
    let (stack, _open) = start_open(directory.path()).await;
    let inside = nats(&stack.nats.devices_url()).await;
    let mut heard = inside.queue_subscribe("*.devices.*.*", "bridges".to_owned()).await.unwrap();
    jetstream::new(inside).query_account().await.unwrap();
    let mut options = listener(&stack.nats, "bridge");
    options.set_credentials("bridge-mqtt", stack.nats.passwords().bridge.clone());
    let (bridge, mut of_bridge) = AsyncClient::builder(options).build();
    let tasks = Tasks::new();
    tasks.spawn("bridge", async move { while of_bridge.poll().await.is_ok() {} });
    // With QoS 1, so that it has passed once it is acknowledged.
    for topic in ["acme/devices/d-1/commands", "acme/devices/d-1/run"] {
        let sent = bridge.publish_tracked(topic, "x", PublishOptions::new(QoS::AtLeastOnce)).await;
        within("a PUBACK", sent.unwrap().wait_completion_async()).await.unwrap();
    }
    let (client, mut events) = device(&stack.nats, "d-1");
    tasks.spawn("device", async move { while events.poll().await.is_ok() {} });
    client.publish("acme/devices/d-1/status", "x", PublishOptions::new(QoS::AtMostOnce)).await.unwrap();
    assert_eq!(within("a status", heard.next()).await.unwrap().subject.as_str(), "acme.devices.d-1.status");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_thousand_devices_subscribe_with_qos_1() {
    let directory = Directory::new();
    let (stack, _open) = start_open(directory.path()).await;
    let mut sessions = Vec::new();
    for session in 0..SESSIONS {
        let (client, mut events) = device(&stack.nats, &format!("session-{session}"));
        for n in 0..SUBSCRIPTIONS_PER_SESSION {
            client.subscribe(format!("acme/devices/d-{session}-{n}/commands"), QoS::AtLeastOnce).await.unwrap();
        }
        let granted = answers(&mut events, SUBSCRIPTIONS_PER_SESSION).await;
        assert!(granted.iter().all(|granted| *granted), "session {session}: {granted:?}");
        // Kept, because a clean session's subscriptions end with its connection.
        sessions.push((client, events));
    }
}
