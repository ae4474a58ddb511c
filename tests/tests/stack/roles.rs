//! The users of single roles in nats.conf, tested with real connections: what each may not do.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use event_store::streams::{self, Missing};
use waybill::role_user::RoleUser;

use super::{Directory, nats, start};

/// Everything that is written in account WAYBILL: a subject of each kind, with the users that may publish to it.
const WRITES: [(&str, &[RoleUser]); 16] = [
    ("ev.3.acme.device.d-1", &[RoleUser::Api, RoleUser::ProcessManagers, RoleUser::Bridge]),
    ("feed.acme.campaign.started", &[RoleUser::Projections]),
    ("telemetry.acme.d-1", &[RoleUser::Bridge]),
    ("dead.acme.mqtt.d-1.malformed", &[RoleUser::Bridge]),
    ("net.acme", &[RoleUser::Api, RoleUser::Bridge]),
    ("$KV.LEASES.chirpstack-mqtt", &[RoleUser::Bridge]),
    ("$KV.LEASES.feed", &[RoleUser::Projections]),
    ("$KV.LEASES.mqtt-outbound", &[RoleUser::Bridge]),
    ("$KV.LEASES.mqtt-outbound-position", &[RoleUser::Bridge]),
    ("$KV.LEASES.mqtt-revocations", &[RoleUser::Bridge]),
    ("$KV.LEASES.mqtt-revocations-position", &[RoleUser::Bridge]),
    ("$KV.SECRETS.acme.network", &[RoleUser::Api, RoleUser::Secrets]),
    ("$KV.SESSIONS.acme.s-1", &[RoleUser::Api]),
    ("$KV.TICKETS.t-1", &[RoleUser::Api]),
    ("$KV.LEASES.write-probe", &[RoleUser::Api, RoleUser::Projections, RoleUser::ProcessManagers, RoleUser::Bridge]),
    ("elsewhere", &[]),
];
/// Requests that change or open what no role needs.
const REQUESTS: [(&str, &[RoleUser]); 15] = [
    ("$JS.API.STREAM.DELETE.EVENTS", &[]),
    ("$JS.API.STREAM.PURGE.FEED", &[]),
    ("$JS.API.STREAM.UPDATE.EVENTS", &[]),
    ("$JS.API.STREAM.MSG.DELETE.TELEMETRY", &[]),
    ("$JS.API.STREAM.CREATE.OTHER", &[]),
    ("$JS.API.STREAM.CREATE.EVENTS", &[RoleUser::Api]),
    ("$JS.API.CONSUMER.DELETE.FEED.acme_x", &[RoleUser::Api]),
    ("$JS.API.CONSUMER.CREATE.TELEMETRY", &[RoleUser::Projections]),
    ("$JS.API.DIRECT.GET.TELEMETRY", &[RoleUser::Api]),
    ("$JS.API.STREAM.CREATE.NETWORK", &[RoleUser::Api]),
    ("$JS.API.CONSUMER.CREATE.NETWORK.waybill-network", &[RoleUser::Bridge]),
    ("$JS.API.CONSUMER.CREATE.KV_SECRETS", &[]),
    ("$JS.API.CONSUMER.CREATE.KV_SESSIONS", &[RoleUser::Api]),
    ("$JS.API.STREAM.MSG.GET.KV_SESSIONS", &[RoleUser::Api]),
    ("$JS.API.STREAM.MSG.GET.KV_TICKETS", &[RoleUser::Api]),
];
/// How long to wait before it counts as silence.
const SILENCE: Duration = Duration::from_millis(300);

/// A connection that keeps the server's refusals.
struct Watched {
    client: Client,
    refusals: std::sync::mpsc::Receiver<String>,
}

impl Watched {
    async fn connect(url: &str, user: RoleUser) -> Self {
        let (sender, refusals) = std::sync::mpsc::channel();
        let address: async_nats::ServerAddr = url.parse().unwrap();
        let password = address.password().unwrap().to_owned();
        let options = event_store::connection::options(user.name())
            .user_and_password(user.name().to_owned(), password)
            .event_callback(move |event| {
                sender.send(event.to_string()).ok();
                async {}
            });
        let client = options.connect(format!("{}:{}", address.host(), address.port())).await.unwrap();
        Self { client, refusals }
    }

    /// Whether the server lets this user publish to a subject.
    async fn may_publish(&self, subject: &str) -> bool {
        self.client.publish(subject.to_owned(), "{}".into()).await.unwrap();
        self.is_silent(subject).await
    }

    async fn may_subscribe(&self, subject: &str) -> bool {
        let subscribed = self.client.subscribe(subject.to_owned()).await.unwrap();
        let is_silent = self.is_silent(subject).await;
        drop(subscribed);
        is_silent
    }

    /// The server answers a PING after everything that was sent before it.
    async fn is_silent(&self, subject: &str) -> bool {
        self.client.flush().await.unwrap();
        let deadline = tokio::time::Instant::now() + SILENCE;
        loop {
            match self.refusals.try_recv() {
                Ok(refusal)
                    if refusal.to_lowercase().contains("permissions violation") && refusal.contains(subject) =>
                {
                    return false;
                }
                Ok(_) => {}
                Err(_) if tokio::time::Instant::now() > deadline => return true,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_it_needs_and_no_more() {
    let directory = Directory::new();
    let stack = start(directory.path()).await;
    let tried = RoleUser::ALL.map(async |user| {
        let watched = Watched::connect(&stack.nats.role_url(user), user).await;
        for (subject, allowed) in WRITES.iter().chain(&REQUESTS) {
            assert_eq!(watched.may_publish(subject).await, allowed.contains(&user), "{user:?} to {subject}");
        }
        for other in RoleUser::ALL {
            let inbox = format!("_INBOX_{}.x", other.name());
            assert_eq!(watched.may_subscribe(&inbox).await, other == user, "{user:?} from {inbox}");
        }
        for subject in ["ev.>", "$KV.SECRETS.>", "$JS.API.>", ">", "_INBOX_waybill.>"] {
            assert!(!watched.may_subscribe(subject).await, "{user:?} from {subject}");
        }
    });
    futures::future::join_all(tried).await;
}

/// What is refused is also not stored. The API's user makes the streams.
#[tokio::test(flavor = "multi_thread")]
async fn projections_cannot_write_an_event() {
    let directory = Directory::new();
    let stack = start(directory.path()).await;
    let admin = nats(&stack.nats.admin_url()).await;
    let api = Watched::connect(&stack.nats.role_url(RoleUser::Api), RoleUser::Api).await;
    streams::ensure(&api.client, 1, Missing::Create).await.unwrap();
    for (user, stored) in
        [(RoleUser::Projections, 0), (RoleUser::Reader, 0), (RoleUser::Secrets, 0), (RoleUser::Api, 1)]
    {
        let watched = Watched::connect(&stack.nats.role_url(user), user).await;
        assert_eq!(watched.may_publish("ev.3.acme.device.d-1").await, stored == 1);
        let events = jetstream::new(admin.clone()).get_stream("EVENTS").await.unwrap();
        assert_eq!(events.cached_info().state.messages, stored, "{user:?}");
    }
}
