//! The MQTT integration at a Mosquitto: events out, `command/down` in.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use fake_chirpstack::{APPLICATION_ID, Command, FakeChirpstack, MqttSettings, Settings, TENANT_KEY, Uplink};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS};
use tokio::process::{Child, Command as Program};

use super::support::{DEV_EUI, client, device, until};

const ID: &str = "6f4c1b1a-0f0a-4c1e-9f11-0123456789ab";
/// Longest wait for a message.
const PATIENCE: Duration = Duration::from_secs(20);

fn mosquitto(port: u16) -> Child {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let program = places.find_map(|place| Some(place.join("mosquitto")).filter(|file| file.exists()));
    let program = program.expect("mosquitto is missing: apt-get install mosquitto");
    let mut command = Program::new(program);
    command.args(["-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().unwrap()
}

/// Somebody who listens to events and sends commands.
struct Listener {
    client: AsyncClient,
    events: EventLoop,
}

impl Listener {
    async fn connect(port: u16) -> Self {
        let (client, mut events) =
            AsyncClient::builder(MqttOptions::new("listener", ("127.0.0.1", port))).capacity(16).build();
        until("the broker answers", async || match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Some(()),
            _ => None,
        })
        .await;
        client.subscribe("application/+/device/+/event/+", QoS::AtLeastOnce).await.unwrap();
        Self { client, events }
    }

    /// The next event: its topic and its payload.
    async fn next(&mut self) -> (String, String) {
        let next = async {
            loop {
                if let Event::Incoming(Packet::Publish(publish)) = self.events.poll().await.unwrap() {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    return (text(&publish.topic), text(&publish.payload));
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an event comes")
    }

    fn command(&self, payload: String) {
        let topic = format!("application/{APPLICATION_ID}/device/{DEV_EUI}/command/down");
        self.client.try_publish(topic, payload, PublishOptions::new(QoS::AtLeastOnce)).unwrap();
    }
}

fn down(dev_eui: &str, f_port: u32) -> String {
    format!(
        "{{\"id\":\"{ID}\",\"devEui\":\"{dev_eui}\",\"confirmed\":false,\"fPort\":{f_port},\"data\":\"bXF0dC1kb3du\"}}"
    )
}

#[tokio::test]
async fn events_go_to_the_broker_and_commands_keep_their_ids() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let _broker = mosquitto(port);
    let mut listener = Listener::connect(port).await;
    let mqtt = MqttSettings { host: "127.0.0.1".to_owned(), port, login: None, protobuf: false, qos: 1 };
    let fake = FakeChirpstack::start(Settings { mqtt: Some(mqtt), ..Settings::default() }).await.unwrap();
    client(&fake, TENANT_KEY).create_device(&device(DEV_EUI)).await.unwrap();
    let uplink = || fake.carry_out(Command::Uplink { uplink: Uplink::new(DEV_EUI, 10, &[1]) }).unwrap();
    uplink();
    let (topic, payload) = listener.next().await;
    assert_eq!(topic, format!("application/{APPLICATION_ID}/device/{DEV_EUI}/event/up"));
    assert_eq!(payload.as_bytes(), &fake.events()[0].json[..]);

    // Refused without a word: the EUI in capitals, port 0. Then one that counts, twice.
    listener.command(down("0101010101010101F", 20));
    listener.command(down(DEV_EUI, 0));
    for _ in 0..2 {
        listener.command(down(DEV_EUI, 276));
    }
    let sent = async {
        while let (_, payload) = listener.next().await
            && !payload.contains("queueItemId")
        {}
    };
    let queued = until("the command is queued", async || fake.queue(DEV_EUI).first().cloned());
    let item = tokio::select! {
        item = queued => item,
        () = sent => panic!("nothing is sent before an uplink"),
    };
    assert_eq!((item.id.as_str(), item.f_port, &item.data[..]), (ID, 20, &b"mqtt-down"[..]));
    assert_eq!(fake.queue(DEV_EUI).len(), 1);
    uplink();
    let kinds = [listener.next().await.0, listener.next().await.0];
    assert!(kinds.iter().any(|topic| topic.ends_with("/event/txack")), "{kinds:?}");
}
