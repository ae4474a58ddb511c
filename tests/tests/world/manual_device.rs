//! A device played by the test: one MQTT connection, each message sent and received explicitly.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS};
use runtime::lifecycle::Tasks;
use serde_json::{Value, json};

use super::{PATIENCE, TENANT, World};

/// Largest packet of a device, in bytes: more than any message may have.
const PACKET_MAX_BYTES: usize = 64 * 1024;

/// Messages on the device's command topic, in order: the payload and whether it was a retained copy.
type Heard = Arc<Mutex<Vec<(Vec<u8>, bool)>>>;

/// A device's connection; ends when dropped.
pub(crate) struct ManualDevice {
    client: AsyncClient,
    device: String,
    heard: Heard,
    /// The same on its topic `run`.
    runs: Heard,
    tasks: Tasks,
}

impl Drop for ManualDevice {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

impl World {
    /// Connects as a device that subscribes to its commands and has sent nothing yet.
    pub(crate) async fn manual_device(&self, device: &str) -> ManualDevice {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let address = self.stack.nats.mqtt_listen();
        let mut options =
            MqttOptions::new(format!("device-{device}-{number}"), (address.ip().to_string(), address.port()));
        options.set_keep_alive(5).set_max_packet_size(PACKET_MAX_BYTES, PACKET_MAX_BYTES);
        let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
        for topic in ["commands", "run"] {
            client.subscribe(format!("{TENANT}/devices/{device}/{topic}"), QoS::AtMostOnce).await.unwrap();
        }
        let (heard, runs, tasks) = (Heard::default(), Heard::default(), Tasks::new());
        let (sink, sink_of_runs, stop) = (heard.clone(), runs.clone(), tasks.token().clone());
        tasks.spawn("device", async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    event = events.poll() => match event {
                        Ok(Event::Incoming(Packet::Publish(publish))) => {
                            let sink = if publish.topic.ends_with(b"/run") { &sink_of_runs } else { &sink };
                            sink.lock().unwrap().push((publish.payload.to_vec(), publish.retain));
                        }
                        Ok(_) => {}
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                }
            }
        });
        ManualDevice { client, device: device.to_owned(), heard, runs, tasks }
    }
}

impl ManualDevice {
    pub(crate) async fn says(&self, topic: &str, message: &Value) {
        let topic = format!("{TENANT}/devices/{}/{topic}", self.device);
        self.client.publish(topic, message.to_string(), PublishOptions::new(QoS::AtLeastOnce)).await.unwrap();
    }

    /// Publishes with any options.
    pub(crate) async fn publishes(&self, topic: &str, payload: &str, options: PublishOptions) {
        let topic = format!("{TENANT}/devices/{}{topic}", self.device);
        self.client.publish(topic, payload.to_owned(), options).await.unwrap();
    }

    /// A `status` message after that boot.
    pub(crate) async fn boots(&self, boot: &str, version: &str) {
        let status =
            json!({"status": "online", "session": format!("s-{boot}"), "boot_id": boot, "firmware_version": version});
        self.says("status", &status).await;
    }

    pub(crate) async fn reports(&self, ordinal: u64, attempt: u64, status: &str) {
        self.says(&format!("updates/{ordinal}/status"), &json!({"attempt": attempt, "status": status})).await;
    }

    pub(crate) fn id(&self) -> &str {
        &self.device
    }

    /// Path of the API for the device, followed by `rest`.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/devices/{}{rest}", self.device)
    }

    /// Sends all messages of an update, up to the boot that proves the version.
    pub(crate) async fn installs(&self, ordinal: u64, attempt: u64, boot: &str, version: &str) {
        for word in ["received", "downloading", "verifying", "installing", "rebooting"] {
            self.reports(ordinal, attempt, word).await;
        }
        self.boots(boot, version).await;
    }

    /// Waits until a new subscriber gets an expected retained command.
    pub(crate) async fn hears_retained(&self, world: &World, what: &str, wanted: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let newcomer = world.manual_device(&self.device).await;
            let (command, _) = newcomer.hears("any retained command", |_| true).await;
            if wanted(&command) {
                return;
            }
            assert!(Instant::now() < deadline, "{what} isn't retained, but {command}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Discards the messages so far.
    pub(crate) fn forgets(&self) {
        self.heard.lock().unwrap().clear();
        self.runs.lock().unwrap().clear();
    }

    /// Waits for an expected command among those received; returns whether it was a retained copy, too.
    pub(crate) async fn hears(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> (Value, bool) {
        self.hears_on(&self.heard, what, wanted).await
    }

    /// The same on its topic `run`. An empty payload is null.
    pub(crate) async fn hears_run(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> (Value, bool) {
        self.hears_on(&self.runs, what, wanted).await
    }

    pub(crate) fn has_heard_run(&self) -> bool {
        !self.runs.lock().unwrap().is_empty()
    }

    /// Answers a command that it runs beside its updates.
    pub(crate) async fn answers_run(&self, n: u64, message: &Value) {
        self.says(&format!("run/{n}/status"), message).await;
    }

    async fn hears_on(&self, heard: &Heard, what: &str, wanted: impl Fn(&Value) -> bool) -> (Value, bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = heard.lock().unwrap().clone();
            let commands =
                heard.iter().map(|(bytes, retained)| (serde_json::from_slice(bytes).unwrap_or(Value::Null), *retained));
            if let Some(found) = commands.into_iter().find(|(command, _)| wanted(command)) {
                return found;
            }
            assert!(Instant::now() < deadline, "{} never received {what}; it received {heard:?}", self.device);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
