//! Commands of LoRaWAN devices: each is in the device's downlink queue once, whatever happens to Waybill and to ChirpStack.

use std::time::{Duration, Instant};

use fake_chirpstack::{
    APPLICATION_ID, CLASS_A_PROFILE_ID, Command, FakeChirpstack, FaultKind, Settings, TENANT_ID, TENANT_KEY, Uplink,
};
use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, ManualDevice, World};

/// A command over MQTT is there within this time, whatever ChirpStack does.
const MQTT_WITHIN: Duration = Duration::from_secs(3);
/// More devices than Waybill calls for at the same time.
const HANGING: u8 = 12;
/// Calls that hang: more than there will be.
const MANY: u32 = 900;

struct Place {
    world: World,
    api: ApiClient,
    lns: FakeChirpstack,
}

impl Place {
    async fn start() -> Self {
        let lns = FakeChirpstack::start(Settings::default()).await.unwrap();
        let world = World::start().await;
        let api = world.operator().await;
        Self { world, api, lns }
    }

    async fn connect(&self) {
        let connection = json!({
            "url": self.lns.url(), "chirpstack_tenant_id": TENANT_ID, "api_key": TENANT_KEY,
            "default_device_profile_id": CLASS_A_PROFILE_ID,
        });
        let reply = self.api.send(Method::PUT, "/tenants/default/chirpstack", Some(&connection)).await.unwrap();
        reply.success().unwrap();
    }

    /// A device that is online. What it says comes over MQTT: only its commands are of interest here.
    async fn lorawan_device(&self, number: u8) -> ManualDevice {
        let id = format!("l-{number}");
        let device = json!({
            "device_id": id, "device_model": MODEL, "lorawan_dev_eui": eui(number), "chirpstack_app_id": APPLICATION_ID,
            "contact_interval_s": 60,
        });
        self.api.post("/devices", &device).await.unwrap();
        self.online(&id).await
    }

    async fn online(&self, id: &str) -> ManualDevice {
        let device = self.world.manual_device(id).await;
        device.boots("b1", "1.0.0").await;
        let is_online = |body: &Value| body["connection_status"] == "online" || body["status"] == "online";
        self.world.until_get(&self.api, &device.path(""), "it is online", is_online).await;
        device
    }

    async fn order(&self, device: &ManualDevice, firmware: &str) {
        self.api.post(&device.path("/update"), &json!({"firmware_id": firmware})).await.unwrap();
    }

    async fn phase_is(&self, device: &ManualDevice, phase: &str) {
        let is_there = |body: &Value| body["phase"] == phase;
        self.world.until_get(&self.api, &device.path("/updates/1"), phase, is_there).await;
    }

    async fn until_queued(&self, number: u8) -> Vec<u8> {
        self.world.until("the command is queued", async || !self.queue(number).is_empty()).await;
        let queue = self.queue(number);
        assert_eq!(queue.len(), 1, "{queue:?}");
        queue[0].clone()
    }

    /// The data of what waits for a device.
    fn queue(&self, number: u8) -> Vec<Vec<u8>> {
        self.lns.queue(&eui(number)).into_iter().map(|item| item.data).collect()
    }

    fn goes_wrong(&self, path: &str, times: u32, fault: FaultKind) {
        self.there(Command::Fault { path: path.to_owned(), times, fault });
    }

    fn there(&self, command: Command) {
        self.lns.carry_out(command).unwrap();
    }

    fn uplink(&self, number: u8, acknowledges: bool) {
        self.there(Command::Uplink { uplink: Uplink { acknowledges, ..Uplink::new(&eui(number), 2, &[1]) } });
    }
}

fn eui(number: u8) -> String {
    format!("00000000000000{number:02x}")
}

async fn sha256(api: &ApiClient, firmware: &str) -> Vec<u8> {
    let body = api.get(&format!("/firmware/{firmware}")).await.unwrap();
    hex::decode(body["sha256"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lorawan_device_gets_each_command_as_one_downlink() {
    let mut place = Place::start().await;
    let firmware = place.world.firmware(&place.api, "2.0.0").await;
    let digest = sha256(&place.api, &firmware).await;
    let device = place.lorawan_device(1).await;
    let why_not = device.path(&format!("/why-not?firmware_id={firmware}"));
    place.order(&device, &firmware).await;
    place.phase_is(&device, "dispatched").await;
    place.world.until_get(&place.api, &why_not, "the rule", |body| body["rule"] == "not_connected").await;

    // A connection is a hint; so is the copy.
    place.connect().await;
    let install = [&[1, 0, 1, 1][..], &digest[..4], &[1]].concat();
    assert_eq!(place.until_queued(1).await, install);
    let item = place.lns.queue(&eui(1)).remove(0);
    assert!(item.f_port == 20 && item.confirmed && item.expires_at.is_some(), "{item:?}");
    let mut downlinks = place.lns.listen_to_downlinks();
    place.uplink(1, false);
    assert_eq!(downlinks.recv().await.unwrap().data, install);
    device.reports(1, 1, "received").await;
    place.phase_is(&device, "accepted").await;
    place.uplink(1, true);
    assert_eq!((place.queue(1).len(), place.lns.calls("DeviceService/Enqueue")), (0, 1));

    // A cancel follows, and an update that the device hasn't got yet is taken from the queue.
    place.api.post(&device.path("/updates/1/cancel"), &json!({"reason": "wrong"})).await.unwrap();
    assert_eq!(place.until_queued(1).await, [2, 0, 1]);
    let other = place.lorawan_device(2).await;
    place.order(&other, &firmware).await;
    assert_eq!(place.until_queued(2).await, install);
    place.api.send(Method::DELETE, &other.path(""), Some(&json!({"reason": "broken"}))).await.unwrap();
    place.world.until("nothing is left", async || place.queue(2).is_empty()).await;

    // Waybill dies after an Enqueue without an answer.
    let device = place.lorawan_device(3).await;
    place.goes_wrong("DeviceService/Enqueue", 1, FaultKind::LosesReply);
    place.order(&device, &firmware).await;
    place.until_queued(3).await;
    place.world.kill_waybill();
    let looks = place.lns.calls("DeviceService/GetQueue");
    place.world.start_waybill().await;
    place.world.until("it has looked", async || place.lns.calls("DeviceService/GetQueue") > looks).await;
    place.order(&place.lorawan_device(4).await, &firmware).await;
    assert_eq!(place.until_queued(4).await, install);
    assert_eq!(place.queue(3), [install]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chirpstack_that_hangs_delays_no_command_over_mqtt() {
    let place = Place::start().await;
    place.connect().await;
    let firmware = place.world.firmware(&place.api, "2.0.0").await;
    let mut devices = Vec::new();
    for number in 1..=HANGING {
        devices.push(place.lorawan_device(number).await);
    }
    place.goes_wrong("DeviceService/GetQueue", MANY, FaultKind::Hangs);
    for device in &devices {
        place.order(device, &firmware).await;
    }
    place.world.until("its calls hang", async || place.lns.calls("DeviceService/GetQueue") > 0).await;

    let quick = json!({"device_id": "m-1", "device_model": MODEL});
    place.api.post("/devices", &quick).await.unwrap();
    let device = place.online("m-1").await;
    let asked = Instant::now();
    place.order(&device, &firmware).await;
    device.hears("its command", |command| command["command"] == "ota_update").await;
    assert!(asked.elapsed() < MQTT_WITHIN, "{:?}", asked.elapsed());
    assert!((1..=HANGING).all(|number| place.queue(number).is_empty()));

    place.there(Command::ClearFaults);
    for number in 1..=HANGING {
        place.until_queued(number).await;
    }
}
