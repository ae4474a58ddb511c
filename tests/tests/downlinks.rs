//! Commands of LoRaWAN devices: each is in the device's downlink queue once, also after failures of Waybill and of ChirpStack.

use std::time::{Duration, Instant};

use fake_chirpstack::{
    APPLICATION_ID, CLASS_A_PROFILE_ID, Command, FakeChirpstack, FaultKind, Settings, TENANT_ID, TENANT_KEY, Uplink,
    Webhook,
};
use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, ManualDevice, World};

/// A command over MQTT is there within this time, also while ChirpStack hangs.
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
        let url = format!("{}/api/v1/lorawan/webhooks/default", self.world.base());
        self.there(Command::SetWebhooks { webhooks: vec![Webhook::new(&url)] });
    }

    async fn register(&self, number: u8) -> String {
        let id = format!("l-{number}");
        let device = json!({
            "device_id": id, "device_model": MODEL, "lorawan_dev_eui": eui(number), "chirpstack_app_id": APPLICATION_ID,
            "contact_interval_s": 60,
        });
        self.api.post("/devices", &device).await.unwrap();
        id
    }

    /// A device that is online by what it has sent.
    async fn lorawan_device(&self, number: u8) -> String {
        let path = format!("/devices/{}", self.register(number).await);
        self.world.until("it is in ChirpStack", async || self.lns.device(&eui(number)).is_some()).await;
        self.sends(number, &[0x82, 1, 1, 0, 0], true);
        self.world.until_get(&self.api, &path, "it is online", is_online).await;
        path
    }

    async fn online(&self, id: &str) -> ManualDevice {
        let device = self.world.manual_device(id).await;
        device.boots("b1", "1.0.0").await;
        self.world.until_get(&self.api, &device.path(""), "it is online", is_online).await;
        device
    }

    async fn order(&self, device: &str, firmware: &str) {
        self.api.post(&format!("{device}/update"), &json!({"firmware_id": firmware})).await.unwrap();
    }

    async fn phase_is(&self, device: &str, phase: &str) {
        let is_there = |body: &Value| body["phase"] == phase;
        self.world.until_get(&self.api, &format!("{device}/updates/1"), phase, is_there).await;
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

    /// The device sends a message of the compact codec, and gets what waits for it.
    fn sends(&self, number: u8, message: &[u8], acknowledges: bool) {
        let uplink = Uplink { acknowledges, ..Uplink::new(&eui(number), 20, message) };
        self.there(Command::Uplink { uplink });
    }
}

fn eui(number: u8) -> String {
    format!("00000000000000{number:02x}")
}

async fn sha256(api: &ApiClient, firmware: &str) -> Vec<u8> {
    let body = api.get(&format!("/firmware/{firmware}")).await.unwrap();
    hex::decode(body["checksum_sha256"].as_str().unwrap()).unwrap()
}

fn is_online(body: &Value) -> bool {
    body["connection_status"] == "online" || body["status"] == "online"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lorawan_device_gets_each_command_as_one_downlink() {
    let mut place = Place::start().await;
    let firmware = place.world.firmware(&place.api, "2.0.0").await;
    let digest = sha256(&place.api, &firmware).await;
    let install = [&[1, 0, 1, 1][..], &digest[..4], &[1]].concat();
    // Online by MQTT, because nothing comes from a ChirpStack yet.
    let id = place.register(1).await;
    let first = place.online(&id).await.path("");
    place.order(&first, &firmware).await;
    place.phase_is(&first, "dispatched").await;
    let why_not = format!("{first}/why-not?firmware_id={firmware}");
    place.world.until_get(&place.api, &why_not, "the rule", |body| body["rule"] == "not_connected").await;

    // A connection is a hint; so is the copy.
    place.connect().await;
    assert_eq!(place.until_queued(1).await, install);
    let item = place.lns.queue(&eui(1)).remove(0);
    assert!(item.f_port == 20 && item.confirmed && item.expires_at.is_some(), "{item:?}");
    let mut downlinks = place.lns.listen_to_downlinks();
    place.sends(1, &[0x82, 1, 1, 0, 0], true);
    assert_eq!(downlinks.recv().await.unwrap().data, install);
    place.sends(1, &[0x81, 0, 1, 1, 1, 0xff], true);
    place.phase_is(&first, "accepted").await;
    assert_eq!((place.queue(1).len(), place.lns.calls("DeviceService/Enqueue")), (0, 1));
    place.api.post("/updates/l-1~1/cancel", &json!({"reason": "wrong"})).await.unwrap();
    assert_eq!(place.until_queued(1).await, [2, 0, 1]);

    // A device that doesn't acknowledge its command gets it again.
    let deaf = place.lorawan_device(2).await;
    place.order(&deaf, &firmware).await;
    place.until_queued(2).await;
    place.sends(2, &[0x82, 1, 1, 0, 0], true);
    place.sends(2, &[0x82, 1, 1, 0, 0], false);
    assert!(place.queue(2).is_empty());
    assert_eq!(place.until_queued(2).await, install);

    // What a device hasn't got yet is taken from its queue.
    let other = place.lorawan_device(3).await;
    place.order(&other, &firmware).await;
    place.until_queued(3).await;
    place.api.post("/updates/l-3~1/cancel", &json!({"reason": "wrong"})).await.unwrap();
    place.world.until("only the cancel is left", async || place.queue(3) == [[2, 0, 1]]).await;

    // Waybill dies after an Enqueue without an answer.
    let (killed, next) = (place.lorawan_device(4).await, place.lorawan_device(5).await);
    place.goes_wrong("DeviceService/Enqueue", 1, FaultKind::LosesReply);
    place.order(&killed, &firmware).await;
    place.until_queued(4).await;
    place.world.kill_waybill();
    let looks = place.lns.calls("DeviceService/GetQueue");
    place.world.start_waybill().await;
    place.world.until("it has looked", async || place.lns.calls("DeviceService/GetQueue") > looks).await;
    place.order(&next, &firmware).await;
    assert_eq!(place.until_queued(5).await, install);
    assert_eq!(place.queue(4), [install]);
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
    place.order(&device.path(""), &firmware).await;
    device.hears("its command", |command| command["command"] == "ota_update").await;
    assert!(asked.elapsed() < MQTT_WITHIN, "{:?}", asked.elapsed());
    assert!((1..=HANGING).all(|number| place.queue(number).is_empty()));

    place.there(Command::ClearFaults);
    for number in 1..=HANGING {
        place.until_queued(number).await;
    }
}
