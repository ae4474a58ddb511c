//! nats-server asks who may connect: nats.conf and the answers together, with a list in place of the log.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use chrono::{DateTime, TimeDelta, Utc};
use domain::device::{DeviceCommand, Profile};
use event_store::{EventStore, JetStreamLog, Log};
use mqtt_bridge::BrokerAddress;
use mqtt_bridge::callout::{CONNECTIONS_MAX, Credentials, Found, Issuer, Proof, StoredCredentials};
use rumqttc::QoS;
use runtime::clock;
use runtime::lifecycle::Tasks;
use trust::{DeviceLogin, TokenHasher};
use waybill::callout::{Callout, follow_revocations};
use waybill::stack::{NatsCluster, NatsOptions, NatsServer, Stack, Tools, free_port};
use waybill::tls::NatsTls;

use super::{Directory, nats, start};
use crate::credentials::CredentialOperator;
use crate::login::log_in;
use crate::world::TENANT;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// nats-server itself refuses after 4 s.
const DECIDED_WITHIN: Duration = Duration::from_millis(3_500);
/// Longer than a decision takes.
const MEANWHILE: Duration = Duration::from_secs(2);

/// A token, and when it ends.
type Token = (String, Option<DateTime<Utc>>);

/// A device's token with that letter.
fn token(letter: &str) -> String {
    format!("wbd_{}A", letter.repeat(42))
}

/// Tokens by user.
#[derive(Default)]
struct Listed {
    tokens: Mutex<HashMap<String, Token>>,
    is_silent: AtomicBool,
}

impl Listed {
    fn with(users: &[(&str, &str)]) -> Arc<Self> {
        let listed = Self::default();
        users.iter().for_each(|(user, letter)| listed.set(user, &token(letter), None));
        Arc::new(listed)
    }

    fn set(&self, user: &str, token: &str, expires_at: Option<DateTime<Utc>>) {
        self.tokens.lock().unwrap().insert(user.to_owned(), (token.to_owned(), expires_at));
    }
}

#[async_trait::async_trait]
impl Credentials for Listed {
    async fn look_up(&self, device: &DeviceLogin, proof: &Proof, _: DateTime<Utc>) -> Result<Found, String> {
        if self.is_silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let tokens = self.tokens.lock().unwrap();
        Ok(match tokens.get(&device.to_string()) {
            None => Found::NoDevice,
            Some((own, expires_at)) => match proof {
                Proof::Token(token) if own == token.as_ref().reveal() => Found::Live { expires_at: *expires_at },
                Proof::Token(_) | Proof::Certificate(_) => Found::WrongToken,
            },
        })
    }
}

fn callout(server: &NatsServer, issuer_seed: &str, credentials: Arc<dyn Credentials>) -> Callout {
    let listener = server.mqtt_listen();
    Callout {
        auth_url: server.auth_url(),
        tls: NatsTls::default(),
        issuer: Arc::new(Issuer::from_seed(issuer_seed).unwrap()),
        credentials,
        anonymous_devices: false,
        broker: BrokerAddress {
            host: listener.ip().to_string(),
            port: listener.port(),
            user: String::new(),
            password: String::new(),
            tls: None,
        },
    }
}

async fn start_with(directory: &Directory, credentials: Arc<dyn Credentials>) -> (Stack, Tasks) {
    let (stack, tasks) = (start(directory.path()).await, Tasks::new());
    let callout = callout(&stack.nats, stack.nats.issuer_seed(), credentials);
    let (_, crowded) = callout.start(CONNECT_TIMEOUT, &tasks).await.unwrap();
    // The user of the system account may have replies under this name only.
    let system = waybill::nats::connect(&stack.nats.system_url(), "waybill-system").await.unwrap();
    crowded.keep_ending_surplus(system, &tasks);
    (stack, tasks)
}

/// More logins than a device may have at once.
const LOGINS: usize = 200;

/// One device opens connections and logs in as fast as it can, another works, and a stranger guesses the other's token.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_logs_in_without_end_is_limited_and_no_other() {
    let directory = Directory::new();
    let (loud, calm) = (format!("{TENANT}/loud"), format!("{TENANT}/calm"));
    let (stack, _tasks) = start_with(&directory, Listed::with(&[(&loud, "a"), (&calm, "b")])).await;
    let listener = stack.nats.mqtt_listen();
    let mut calm_one = log_in(listener, &calm, &calm, &token("b")).await.unwrap();
    let mut connections = Vec::new();
    for number in 0..2 * CONNECTIONS_MAX {
        connections.push(log_in(listener, &format!("{loud}/{number}"), &loud, &token("a")).await.unwrap());
    }
    let opened = Instant::now();
    let newest = connections.split_off(CONNECTIONS_MAX);
    for mut oldest in connections {
        assert!(oldest.is_ended_within(Duration::from_secs(15)).await, "a connection beyond the limit ends");
    }
    println!("surplus connections ended after {:?}", opened.elapsed());
    for mut kept in newest {
        assert!(!kept.is_ended_within(Duration::from_millis(50)).await, "the newest stay");
    }

    let (began, mut accepted) = (Instant::now(), 0);
    for number in 0..LOGINS {
        match log_in(listener, &format!("{loud}/{}", number % CONNECTIONS_MAX), &loud, &token("a")).await {
            Ok(_) => accepted += 1,
            Err(refused) => {
                assert!(refused.contains("NotAuthorized"), "{refused}");
                break;
            }
        }
    }
    println!("{accepted} more logins were accepted within {:?}", began.elapsed());
    assert!(accepted < LOGINS, "the logins of a device have a rate");
    // Guesses count for nobody, so the device itself comes in, also while the loud one is refused.
    for _ in 0..LOGINS {
        assert!(log_in(listener, &calm, &calm, &token("c")).await.is_err());
    }
    let publishing = Instant::now();
    calm_one.publish(&format!("{TENANT}/devices/calm/status"), "{}", false).await;
    println!("beside it a message was taken within {:?}", publishing.elapsed());
    log_in(listener, &format!("{calm}/again"), &calm, &token("b")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_has_its_own_topics_only() {
    let directory = Directory::new();
    let (stack, _tasks) = start_with(&directory, Listed::with(&[("acme/d-1", "a"), ("acme/d-2", "b")])).await;
    let mut device = log_in(stack.nats.mqtt_listen(), "acme/d-1", "acme/d-1", &token("a")).await.unwrap();
    let filters = [
        ("acme/devices/d-1/commands", true),
        ("acme/devices/d-1/run", true),
        ("acme/devices/d-1/firmware/1/+", true),
        ("acme/devices/d-2/commands", false),
        ("acme/devices/d-2/run", false),
        ("acme/devices/+/run", false),
        ("acme/devices/d-1/run/+/status", false),
        ("acme/devices/+/commands", false),
        ("+/devices/d-1/commands", false),
        ("rival/devices/d-1/commands", false),
        ("acme/devices/d-1/#", false),
        ("acme/devices/d-1/status", false),
        ("#", false),
        ("$MQTT/sub/#", false),
        ("$MQTT/deliver/#", false),
        ("$SYS/#", false),
    ];
    for (filter, granted) in filters {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            assert_eq!(device.may_subscribe(filter, qos).await, granted, "{filter} {qos:?}");
        }
    }
    let inside = jetstream::new(nats(&stack.nats.devices_url()).await);
    let config = jetstream::consumer::pull::Config { durable_name: Some("all".into()), ..Default::default() };
    // Without a consumer the server keeps nothing.
    inside.get_stream("$MQTT_msgs").await.unwrap().create_consumer(config).await.unwrap();
    for topic in [
        "acme/devices/d-2/status",
        "acme/devices/d-2/run/1/status",
        "acme/devices/d-2/updates/1/log",
        "rival/devices/d-1/status",
        "acme/devices/d-1/commands",
        "acme/devices/d-1/run",
        "ev/3/acme/device/d-1",
    ] {
        for retain in [false, true] {
            device.publish(topic, "x", retain).await;
        }
    }
    let kept = async |stream: &str| inside.get_stream(stream).await.unwrap().cached_info().state.messages;
    assert_eq!((kept("$MQTT_msgs").await, kept("$MQTT_rmsgs").await), (0, 0));
    for topic in ["status", "run/1/status", "updates/1/log"] {
        device.publish(&format!("acme/devices/d-1/{topic}"), "x", false).await;
    }
    assert_eq!(kept("$MQTT_msgs").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_that_device_is_refused() {
    let directory = Directory::new();
    let users = [("acme/d-1", "a"), ("acme/d-2", "b"), ("rival/d-1", "c")];
    let (stack, _tasks) = start_with(&directory, Listed::with(&users)).await;
    let listener = stack.nats.mqtt_listen();
    let mut first = log_in(listener, "acme/d-1", "acme/d-1", &token("a")).await.unwrap();
    for (id, user, password) in [
        ("x", "", ""),
        ("acme/d-1", "", ""),
        ("acme/d-1", "acme/d-1", ""),
        ("acme/d-1", "acme/d-1", &token("b")),
        ("rival/d-1", "rival/d-1", &token("a")),
        ("acme/d-1", "acme/d-2", &token("b")),
        ("acme/d-22", "acme/d-2", &token("b")),
        ("d-2", "acme/d-2", &token("b")),
        ("acme/d-3", "acme/d-3", &token("a")),
        ("device", "device", "device"),
        ("bridge", "bridge-mqtt", "wrong"),
    ] {
        let refused = log_in(listener, id, user, password).await.err();
        assert!(refused.is_some_and(|error| error.contains("NotAuthorized")), "{id:?} {user:?} {password:?}");
    }
    let by_nats = format!("nats://{}", stack.nats.listen());
    let by_nats =
        event_store::connection::options("device").user_and_password("acme/d-1".into(), token("a")).connect(by_nats);
    assert!(by_nats.await.is_err(), "a device connected by NATS");
    assert!(log_in(listener, "acme/d-2/modem", "acme/d-2", &token("b")).await.is_ok());
    assert!(!first.is_ended_within(Duration::from_millis(200)).await, "nobody took the first device's place");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_nobody_new_is_let_in_and_who_is_connected_stays() {
    let directory = Directory::new();
    let listed = Listed::with(&[("acme/d-1", "a"), ("acme/d-2", "b")]);
    let (stack, tasks) = start_with(&directory, Arc::clone(&listed) as Arc<dyn Credentials>).await;
    let listener = stack.nats.mqtt_listen();
    let mut first = log_in(listener, "acme/d-1", "acme/d-1", &token("a")).await.unwrap();
    // The log gives no answer.
    listed.is_silent.store(true, Ordering::Relaxed);
    let asked = Instant::now();
    let refused = log_in(listener, "acme/d-2", "acme/d-2", &token("b")).await.err().unwrap();
    assert!(refused.contains("NotAuthorized") && asked.elapsed() < DECIDED_WITHIN, "{refused} {:?}", asked.elapsed());
    listed.is_silent.store(false, Ordering::Relaxed);
    assert!(log_in(listener, "acme/d-2", "acme/d-2", &token("b")).await.is_ok());
    // Waybill is away.
    assert!(tasks.shutdown(CONNECT_TIMEOUT).await);
    let refused = log_in(listener, "acme/d-2", "acme/d-2", &token("b")).await.err().unwrap();
    assert!(refused.contains("NotAuthorized"), "{refused}");
    assert!(!first.is_ended_within(MEANWHILE).await);
    first.publish("acme/devices/d-1/status", "x", false).await;
    // Services aren't asked about.
    jetstream::new(nats(&stack.nats.devices_url()).await).query_account().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_ends_ends_the_connection() {
    let directory = Directory::new();
    let listed = Listed::with(&[]);
    let (stack, _tasks) = start_with(&directory, Arc::clone(&listed) as Arc<dyn Credentials>).await;
    let listener = stack.nats.mqtt_listen();
    listed.set("acme/d-1", &token("a"), Some(clock::now() + TimeDelta::seconds(3)));
    let mut device = log_in(listener, "acme/d-1", "acme/d-1", &token("a")).await.unwrap();
    assert!(device.is_ended_within(Duration::from_secs(5)).await);
    assert!(log_in(listener, "acme/d-1", "acme/d-1", &token("a")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_nats_conf_does_not_name_is_reported_with_its_line() {
    let directory = Directory::new();
    let stack = start(directory.path()).await;
    let seed = Issuer::generate_seed();
    let wrong = callout(&stack.nats, &seed, Listed::with(&[]));
    let error = wrong.start(CONNECT_TIMEOUT, &Tasks::new()).await.unwrap_err().to_string();
    let key = Issuer::from_seed(&seed).unwrap().public_key().to_owned();
    assert!(error.contains(&format!("issuer: {key}")) && error.contains("WAYBILL_NATS_ISSUER_SEED"), "{error}");
    assert!(!error.contains(&seed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_lets_anybody_in_is_reported_with_its_line() {
    let directory = Directory::new();
    let mqtt_listen = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let open = format!("mqtt {{ listen: \"{mqtt_listen}\", no_auth_user: bridge-mqtt }}");
    let options = NatsOptions { mqtt_listen, cluster: Some(open), ..NatsOptions::default() };
    let stack = Stack::start(&Tools::locate().unwrap(), directory.path(), options).await.unwrap();
    let callout = callout(&stack.nats, stack.nats.issuer_seed(), Listed::with(&[]));
    let error = callout.start(CONNECT_TIMEOUT, &Tasks::new()).await.unwrap_err().to_string();
    assert!(error.contains("remove no_auth_user from mqtt {} in nats.conf"), "{error}");
}

/// How long a new cluster may take until it stores streams.
const ELECTIONS_MAX: Duration = Duration::from_secs(60);

/// A device at one server, Waybill at another.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_at_another_server_is_let_in_and_disconnected() {
    let (directory, tasks) = (Directory::new(), Tasks::new());
    let cluster = NatsCluster::start(&Tools::locate().unwrap(), directory.path(), 3).await.unwrap();
    let (ours, theirs) = (&cluster.servers[0], &cluster.servers[1]);
    let waybill = waybill::nats::connect(&ours.waybill_url(), "waybill").await.unwrap();
    // A new cluster may still elect its leaders.
    let deadline = Instant::now() + ELECTIONS_MAX;
    while let Err(error) = event_store::streams::ensure(&waybill, 3, event_store::streams::Missing::Create).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let log: Arc<dyn Log> = Arc::new(JetStreamLog::connect(waybill.clone(), &tasks).await.unwrap());
    let (store, hasher) = (EventStore::new(log), TokenHasher::new(vec![7; 32]));
    let credentials = StoredCredentials::new(store.clone(), hasher.clone());
    callout(ours, ours.issuer_seed(), Arc::new(credentials)).start(CONNECT_TIMEOUT, &tasks).await.unwrap();
    follow_revocations(CONNECT_TIMEOUT, &ours.system_url(), &NatsTls::default(), waybill, store.clone(), &tasks)
        .await
        .unwrap();

    let operator = CredentialOperator { store, hasher };
    let profile = Profile { device_model: Some("wm-200".into()), ..Profile::default() };
    for device in ["d-1", "d-2"] {
        let versions = BTreeMap::new();
        operator.commands(TENANT, device, DeviceCommand::Register { profile: profile.clone(), versions }).await;
    }
    let (first, other) = (operator.issues("d-1").await, operator.issues("d-2").await);
    let enter = async |device: &str, token: &str| {
        let user = format!("{TENANT}/{device}");
        log_in(theirs.mqtt_listen(), &user, &user, token).await
    };
    let mut revoked = enter("d-1", &first.token).await.unwrap();
    let mut bystander = enter("d-2", &other.token).await.unwrap();
    operator.revokes("d-1", &first).await;
    assert!(revoked.is_ended_within(Duration::from_secs(5)).await);
    assert!(enter("d-1", &first.token).await.is_err());
    assert!(!bystander.is_ended_within(Duration::from_millis(500)).await);
}
