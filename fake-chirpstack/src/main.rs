//! The double as a program. When it is ready it prints one line of JSON with its addresses; it ends with an interrupt.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use fake_chirpstack::{Encoding, FakeChirpstack, MqttSettings, Settings, Webhook};

/// A test double of ChirpStack, for demos and tests only.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where gRPC is served; port 0 takes any.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where commands are taken over HTTP; port 0 takes any.
    #[arg(long, default_value = "127.0.0.1:0")]
    control_listen: SocketAddr,
    /// Gets each event by POST; may be given more than once.
    #[arg(long)]
    webhook: Vec<String>,
    /// A header of every webhook, as NAME=VALUE; may be given more than once.
    #[arg(long, value_parser = name_and_value)]
    webhook_header: Vec<(String, String)>,
    /// Sends protobuf in place of JSON to webhooks and broker.
    #[arg(long)]
    protobuf: bool,
    /// A broker, as HOST:PORT, to which events are published and from which commands are taken.
    #[arg(long, value_parser = host_and_port)]
    mqtt: Option<(String, u16)>,
    /// The login at the broker, as USER=PASSWORD.
    #[arg(long, value_parser = name_and_value)]
    mqtt_login: Option<(String, String)>,
    /// 0, 1 or 2.
    #[arg(long, default_value_t = 0)]
    mqtt_qos: u8,
    /// How long a job of a FUOTA deployment takes.
    #[arg(long, default_value_t = 200)]
    deployment_step_ms: u64,
    /// Devices speak Waybill's compact codec by themselves, with such a pause between two steps.
    #[arg(long)]
    play_firmware_ms: Option<u64>,
}

fn name_and_value(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').context("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn host_and_port(text: &str) -> Result<(String, u16)> {
    let (host, port) = text.rsplit_once(':').context("HOST:PORT is expected")?;
    Ok((host.to_owned(), port.parse().context("the port is a number")?))
}

impl Arguments {
    fn settings(self) -> Settings {
        let encoding = if self.protobuf { Encoding::Protobuf } else { Encoding::Json };
        let headers = self.webhook_header;
        let webhook =
            |url: String| Webhook { encoding, headers: headers.iter().cloned().collect(), ..Webhook::new(&url) };
        let (protobuf, qos, login) = (self.protobuf, self.mqtt_qos, self.mqtt_login);
        Settings {
            listen: self.listen,
            tls: None,
            control_listen: Some(self.control_listen),
            webhooks: self.webhook.into_iter().map(webhook).collect(),
            mqtt: self.mqtt.map(|(host, port)| MqttSettings { host, port, login, protobuf, qos }),
            deployment_step: Duration::from_millis(self.deployment_step_ms),
            plays_firmware: self.play_firmware_ms.map(Duration::from_millis),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let settings = Arguments::parse().settings();
    let fake = FakeChirpstack::start(settings).await.context("the fake ChirpStack can't start")?;
    let control = fake.control_address().map(|address| format!("http://{address}"));
    println!("{}", serde_json::json!({"url": fake.url(), "control": control}));
    tokio::signal::ctrl_c().await.context("signals can't be listened to")?;
    fake.stop().await;
    Ok(())
}
