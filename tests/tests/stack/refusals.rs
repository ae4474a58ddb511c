//! Each user of nats.conf may send and receive only what its part of Waybill needs.

use std::time::Duration;

use async_nats::Event;
use tokio::sync::mpsc;

use super::{Directory, start};

const PATIENCE: Duration = Duration::from_secs(10);

/// What a user tries in vain.
struct Attempts {
    url: String,
    publishes: &'static [&'static str],
    subscribes: &'static [&'static str],
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_is_refused_what_its_part_does_not_need() {
    let directory = Directory::new();
    let stack = start(directory.path()).await;
    let nats = &stack.nats;
    let all = [
        Attempts {
            url: nats.waybill_url(),
            publishes: &[
                "$JS.API.STREAM.DELETE.EVENTS",
                "$JS.API.STREAM.PURGE.FEED",
                "$JS.API.STREAM.UPDATE.EVENTS",
                "$JS.API.STREAM.MSG.DELETE.KV_SECRETS",
                "$JS.API.STREAM.PURGE.KV_SESSIONS",
                "$JS.API.STREAM.RESTORE.EVENTS",
                "$JS.API.STREAM.SNAPSHOT.KV_SECRETS",
                "$JS.API.STREAM.CREATE.OTHER",
                "$JS.API.STREAM.LEADER.STEPDOWN.EVENTS",
                "$JS.API.SERVER.REMOVE",
                "$KV.OTHER.x",
                "$SYS.REQ.SERVER.PING",
                "_INBOX.somebody.1",
                "somewhere",
            ],
            subscribes: &[],
        },
        Attempts {
            url: nats.devices_url(),
            publishes: &[
                "acme.devices.d-1.commands",
                "acme.devices.d-1.run",
                "acme.devices.d-1.status",
                "$MQTT.msgs.acme.devices.d-1.status",
                "$JS.API.STREAM.DELETE.$MQTT_msgs",
                "$JS.API.STREAM.PURGE.$MQTT_msgs",
                "$JS.API.STREAM.UPDATE.$MQTT_msgs",
                "$JS.API.STREAM.CREATE.OTHER",
                "$JS.API.CONSUMER.DELETE.$MQTT_msgs.x",
                "$JS.API.CONSUMER.CREATE.$MQTT_rmsgs.x",
                "_INBOX.somebody.1",
            ],
            subscribes: &[
                "*.devices.*.commands",
                "acme.devices.d-1.commands",
                "*.devices.*.run",
                "acme.devices.d-1.run",
            ],
        },
        Attempts {
            url: nats.auth_url(),
            publishes: &["$SYS.REQ.USER.AUTH", "$SYS.REQ.SERVER.PING", "$JS.API.INFO", "anything"],
            subscribes: &["$SYS.>", "_INBOX.>", ">"],
        },
        Attempts {
            url: nats.system_url(),
            publishes: &[
                "$SYS.REQ.SERVER.PING",
                "$SYS.REQ.SERVER.PING.VARZ",
                "$SYS.REQ.SERVER.x.RELOAD",
                "$SYS.REQ.ACCOUNT.WAYBILL.CONNZ",
                "$SYS.REQ.CLAIMS.UPDATE",
                "anything",
            ],
            subscribes: &["$SYS.>", "_INBOX.>", ">"],
        },
        Attempts {
            url: nats.analyst_url(),
            publishes: &["feed.acme.x", "ev.3.acme.device.d-1", "$JS.API.STREAM.INFO.FEED", "anything"],
            subscribes: &["$JS.>", "ev.>", ">"],
        },
    ];
    for attempts in all {
        tries_in_vain(&attempts).await;
    }
}

async fn tries_in_vain(Attempts { url, publishes, subscribes }: &Attempts) {
    let address: async_nats::ServerAddr = url.parse().unwrap();
    let (user, password) = (address.username().unwrap().to_owned(), address.password().unwrap().to_owned());
    let (sender, mut refusals) = mpsc::unbounded_channel();
    let options = event_store::connection::options("waybill-test").event_callback(move |event| {
        if let Event::ServerError(error) = event {
            sender.send(error.to_string()).ok();
        }
        async {}
    });
    let place = format!("{}:{}", address.host(), address.port());
    let client = options.user_and_password(user.clone(), password).connect(place).await.unwrap();
    let mut refused = async |verb: &str, subject: &str| {
        let wanted = format!("{verb} to \"{subject}\"").to_lowercase();
        let deadline = tokio::time::sleep(PATIENCE);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                refusal = refusals.recv() => if refusal.unwrap().to_lowercase().contains(&wanted) { return },
                () = &mut deadline => panic!("{user} may {verb} to {subject}"),
            }
        }
    };
    for subject in *publishes {
        client.publish(*subject, "".into()).await.unwrap();
        refused("publish", subject).await;
    }
    for subject in *subscribes {
        let _subscriber = client.subscribe(*subject).await.unwrap();
        refused("subscription", subject).await;
    }
}
