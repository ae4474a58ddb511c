//! A Mosquitto, as the broker of ChirpStack's MQTT integration. With TLS it lets in only clients with a certificate and a password.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, PublishOptions, QoS};
use serde_json::Value;
use waybill::stack::{Process, Spawner, free_port};

use crate::certificates::{Ca, Certificate};
use crate::world::PATIENCE;

pub(super) const USER: &str = "waybill";
pub(super) const PASSWORD: &str = "of the broker";
/// Pause between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Broker {
    process: Process,
    _spawner: Spawner,
    tls_port: u16,
    /// The certificate of its authority, PEM.
    pub(super) ca: String,
    /// What it wants to see of Waybill.
    pub(super) shown: Certificate,
    client: AsyncClient,
    events: rumqttc::EventLoop,
}

/// Mosquitto is often in a directory of servers, which is in nobody's path.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    let found = places.map(|place| place.join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: apt-get install mosquitto"))
}

impl Broker {
    pub(super) async fn start(directory: &Path) -> Self {
        let (port, tls_port, spawner) = (free_port().unwrap(), free_port().unwrap(), Spawner::start());
        let certificates = directory.join("broker");
        let authority = Ca::new("CA of a broker");
        authority.equips(&certificates);
        let file = |name: &str| certificates.join(name).display().to_string();
        let (ca, certificate, key) = (file("ca.crt"), file("server.crt"), file("server.key"));
        let passwords = directory.join("mosquitto.passwords");
        let mut make = Command::new(program("mosquitto_passwd"));
        let made = make.args(["-c", "-b"]).arg(&passwords).args([USER, PASSWORD]).status().unwrap();
        assert!(made.success());
        let user = if is_root() { "user root\n" } else { "" };
        let settings = format!(
            "{user}password_file {}\nlistener {port} 127.0.0.1\nlistener {tls_port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\ncafile {ca}\nrequire_certificate true\n",
            passwords.display()
        );
        let config = directory.join("mosquitto.conf");
        std::fs::write(&config, settings).unwrap();
        let args = ["-c".to_owned(), config.display().to_string()];
        let log = directory.join("mosquitto.log");
        let process = Process::run("mosquitto", &spawner, &program("mosquitto"), &args, &log).unwrap();
        let mut options = MqttOptions::new("chirpstack", ("127.0.0.1", port));
        options.set_credentials(USER, PASSWORD);
        let (client, mut events) = AsyncClient::builder(options).capacity(16).build();
        let deadline = Instant::now() + PATIENCE;
        while !matches!(events.poll().await, Ok(Event::Incoming(Packet::ConnAck(_)))) {
            assert!(Instant::now() < deadline, "mosquitto doesn't answer: {}", std::fs::read_to_string(&log).unwrap());
            tokio::time::sleep(PAUSE).await;
        }
        let (ca, shown) = (std::fs::read_to_string(ca).unwrap(), authority.of_client("waybill"));
        Self { process, _spawner: spawner, tls_port, ca, shown, client, events }
    }

    pub(super) fn url(&self) -> String {
        format!("mqtts://127.0.0.1:{}", self.tls_port)
    }

    /// Publishes an event as ChirpStack does, and waits until the broker has it.
    pub(super) async fn publish(&mut self, eui: &str, event: &str, body: &Value) {
        let topic = format!("application/fe0631ba-f18b-42ef-99f5-c9a37521a4b8/device/{eui}/event/{event}");
        let options = PublishOptions::new(QoS::AtLeastOnce);
        self.client.publish(topic, body.to_string(), options).await.unwrap();
        loop {
            match self.events.poll().await.unwrap() {
                Event::Incoming(Packet::PubAck(_)) => return,
                Event::Incoming(_) | Event::Outgoing(Outgoing::Publish(_)) | Event::Outgoing(_) => {}
            }
        }
    }

    pub(super) async fn stop(mut self) {
        self.process.terminate().await;
    }
}

/// As root Mosquitto changes its user, who can't read the test's files.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|of_process| std::os::unix::fs::MetadataExt::uid(&of_process) == 0)
}
