//! Whole images for LoRaWAN devices: one campaign over both transports, deployments in ChirpStack that survive lost replies and a kill, and
//! transfers that fail or are taken back.

use std::time::Duration;

use fake_chirpstack::{
    APPLICATION_ID, Command, FakeChirpstack, FaultKind, FuotaScript, Settings, TENANT_ID, TENANT_KEY, Webhook,
};
use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, ManualDevice, World};

/// Devices send every second, so that a group gathers for two.
const PROFILE_ID: &str = "8d3c2b1a-0000-4000-8000-00000000000f";
/// Duration of a job of a deployment. It is long enough to kill Waybill between two jobs.
const JOB: Duration = Duration::from_millis(250);

/// How long ChirpStack takes to add devices, in milliseconds: less than a call may take.
const ADDING_MS: u64 = 3_000;

struct Fleet {
    world: World,
    api: ApiClient,
    lns: FakeChirpstack,
}

fn eui(n: u32) -> String {
    format!("00000000000000{n:02x}")
}

impl Fleet {
    /// Two LoRaWAN devices and one of MQTT, all online. LoRaWAN devices are played over MQTT here: how they are heard doesn't matter.
    async fn start() -> (Self, Vec<ManualDevice>) {
        let lns = FakeChirpstack::start(Settings { deployment_step: JOB, ..Settings::default() }).await.unwrap();
        let (id, name) = (PROFILE_ID.to_owned(), "valves".to_owned());
        lns.carry_out(Command::CreateDeviceProfile { id, name, class_c: true, fuota: true, uplink_interval: 1 })
            .unwrap();
        let world = World::start().await;
        let fleet = Self::connected(world, lns).await;
        let mut devices = Vec::new();
        for (id, n) in [("lora-1", Some(1)), ("lora-2", Some(2)), ("mqtt-1", None)] {
            fleet.register(id, n).await;
            let device = fleet.world.manual_device(id).await;
            device.boots("b1", "1.0.0").await;
            fleet
                .until(&format!("/devices/{id}"), "online and synced", |body| {
                    body["status"] == "online" && (n.is_none() || body["sync_state"] == "synced")
                })
                .await;
            devices.push(device);
        }
        (fleet, devices)
    }

    async fn connected(world: World, lns: FakeChirpstack) -> Self {
        let api = world.operator().await;
        let connection = json!({
            "url": lns.url(), "chirpstack_tenant_id": TENANT_ID, "api_key": TENANT_KEY,
            "default_device_profile_id": PROFILE_ID,
        });
        api.send(Method::PUT, "/tenants/default/chirpstack", Some(&connection)).await.unwrap().success().unwrap();
        Self { world, api, lns }
    }

    async fn register(&self, id: &str, n: Option<u32>) {
        let mut body = json!({"device_id": id, "device_type": "valve", "device_model": MODEL});
        if let Some(n) = n {
            body["lorawan_dev_eui"] = eui(n).into();
            body["chirpstack_app_id"] = APPLICATION_ID.into();
        }
        self.api.post("/devices", &body).await.unwrap();
    }

    /// Three LoRaWAN devices that report by uplinks only, and two MQTT devices.
    async fn of_uplinks() -> (Self, Vec<ManualDevice>) {
        let settings = Settings { deployment_step: JOB, plays_firmware: Some(JOB), ..Settings::default() };
        let lns = FakeChirpstack::start(settings).await.unwrap();
        let (id, name) = (PROFILE_ID.to_owned(), "valves".to_owned());
        lns.carry_out(Command::CreateDeviceProfile { id, name, class_c: true, fuota: true, uplink_interval: 1 })
            .unwrap();
        let world = World::start().await;
        let webhook = Webhook::new(&format!("{}/api/v1/lorawan/webhooks/default", world.base()));
        lns.carry_out(Command::SetWebhooks { webhooks: vec![webhook] }).unwrap();
        let fleet = Self::connected(world, lns).await;
        let mut devices = Vec::new();
        for id in ["mqtt-1", "mqtt-2"] {
            fleet.register(id, None).await;
            let device = fleet.world.manual_device(id).await;
            device.boots("b1", "1.0.0").await;
            devices.push(device);
        }
        for n in 1..=3 {
            fleet.register(&format!("lora-{n}"), Some(n)).await;
        }
        for id in ["mqtt-1", "mqtt-2", "lora-1", "lora-2", "lora-3"] {
            let is_there = |body: &Value| body["status"] == "online" && body["firmware_version"] == "1.0.0";
            fleet.until(&format!("/devices/{id}"), "online with its version", is_there).await;
        }
        (fleet, devices)
    }

    async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.world.until_get(&self.api, path, what, wanted).await
    }

    async fn update_is(&self, device: &str, ordinal: u32, attempt: u32, phase: &str) {
        self.until(&format!("/devices/{device}/updates/{ordinal}"), phase, |body| {
            body["phase"] == phase && body["attempt"] == attempt
        })
        .await;
    }

    async fn until_there(&self, what: &str, wanted: impl Fn(&FakeChirpstack) -> bool) {
        self.world.until(what, async || wanted(&self.lns)).await;
    }

    /// Nothing of a deployment is left over there.
    async fn until_nothing_is_there(&self) {
        self.until_there("nothing is left in ChirpStack", |lns| {
            lns.deployments().is_empty() && lns.multicast_groups().is_empty()
        })
        .await;
    }

    fn goes_wrong(&self, path: &str, fault: FaultKind) {
        self.lns.carry_out(Command::Fault { path: path.to_owned(), times: 1, fault }).unwrap();
    }

    fn plays(&self, n: u32, script: FuotaScript) {
        self.lns.carry_out(Command::SetFuotaScript { dev_eui: eui(n), script }).unwrap();
    }
}

async fn finishes(device: &ManualDevice, attempt: u64, boot: &str, version: &str) {
    for word in ["installing", "rebooting"] {
        device.reports(1, attempt, word).await;
    }
    device.boots(boot, version).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_campaign_reaches_lorawan_and_mqtt_devices_across_lost_replies_and_a_kill() {
    let (mut fleet, devices) = Fleet::start().await;
    let firmware = fleet.world.firmware(&fleet.api, "2.0.0").await;
    let wanted = json!({
        "name": "Both", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true,
        "failure_threshold_percent": 100,
    });
    let preview = fleet.until_preview(&wanted, |body| body["lorawan"]["groups"][0]["region"] == "EU868").await;
    let group = &preview["lorawan"]["groups"][0];
    assert_eq!((&preview["lorawan"]["devices"], &group["fragments"]), (&json!(2), &json!(275)), "{preview}");
    assert_eq!(group["expected_seconds"], json!(3 * 4 + 330 * 5 + 1 + 2), "{preview}");

    fleet.plays(2, FuotaScript::NoStatus);
    fleet.goes_wrong("CreateDeployment", FaultKind::LosesReply);
    let campaign = fleet.world.campaign(&fleet.api, &firmware, wanted).await;
    for device in &devices {
        fleet.update_is(device.id(), 1, 1, "dispatched").await;
    }
    devices[2].installs(1, 1, "b2", "2.0.0").await;
    devices[0].reports(1, 1, "received").await;
    devices[1].reports(1, 1, "received").await;

    // The transfer began, and Waybill dies in the middle of it.
    fleet.until_there("the deployment runs", |lns| !lns.multicast_groups().is_empty()).await;
    fleet.world.kill_waybill();
    assert_eq!(fleet.lns.deployments().len(), 1, "the lost reply was not repeated blindly");
    fleet.world.start_waybill().await;
    fleet.update_is("lora-1", 1, 1, "verifying").await;
    assert_eq!(fleet.lns.calls("FuotaService/StartDeployment"), 1);

    // What didn't arrive comes again, in a deployment of its own.
    fleet.plays(2, FuotaScript::Completes);
    fleet.update_is("lora-2", 1, 2, "dispatched").await;
    devices[1].reports(1, 2, "received").await;
    fleet.update_is("lora-2", 1, 2, "verifying").await;
    let status = fleet.api.get(&format!("/campaigns/{campaign}/status")).await.unwrap();
    assert_eq!(status["status"], "running", "delivered is not confirmed: {status}");
    finishes(&devices[0], 1, "b2", "2.0.0").await;
    finishes(&devices[1], 2, "b2", "2.0.0").await;
    fleet.world.campaign_is(&fleet.api, &campaign, &["completed"]).await;
    fleet.until_nothing_is_there().await;

    let path = format!("/campaigns/{campaign}/lorawan-deployments");
    let all_removed = |body: &Value| {
        body["items"].as_array().unwrap().iter().all(|item| !item["removed_at"].is_null()) && body["total"] == 2
    };
    let listed = fleet.until(&format!("{path}?count=true"), "two deployments, removed", all_removed).await;
    let first = listed["items"][1]["deployment_id"].as_str().unwrap();
    let details = fleet.api.get(&format!("{path}/{first}")).await.unwrap();
    assert_eq!(
        (&details["phase"], &details["delivered"], &details["failed"]),
        (&json!("completed"), &json!(1), &json!(1))
    );
    let second = &details["campaign_devices"][1];
    assert_eq!((&second["device_id"], &second["outcome"]), (&json!("lora-2"), &json!("failed")), "{details}");
    assert_eq!(second["reason"], "FragStatusReq timeout.");

    fleet.a_cancelled_update_takes_its_deployment_down(&devices[0]).await;
    fleet.world.read_models_equal_a_replay().await;
}

impl Fleet {
    async fn until_preview(&self, wanted: &Value, expected: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let preview = self.api.post("/campaigns/preview", wanted).await.unwrap();
            if expected(&preview) {
                return preview;
            }
            assert!(std::time::Instant::now() < deadline, "{preview}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn a_cancelled_update_takes_its_deployment_down(&self, device: &ManualDevice) {
        let firmware = self.world.firmware(&self.api, "3.0.0").await;
        let only = json!({"target_all": false, "target_devices": [device.id()], "deployment_strategy": "immediate"});
        let campaign = self.world.campaign(&self.api, &firmware, only).await;
        self.update_is(device.id(), 2, 1, "dispatched").await;
        device.reports(2, 1, "received").await;
        self.update_is(device.id(), 2, 1, "downloading").await;
        self.api.post(&format!("/campaigns/{campaign}/cancel"), &json!({"reason": "wrong"})).await.unwrap();
        let path = format!("/campaigns/{campaign}/lorawan-deployments");
        let listed = self.until(&path, "aborted and removed", |body| !body["items"][0]["removed_at"].is_null()).await;
        let words = (&listed["items"][0]["phase"], &listed["items"][0]["reason"], &listed["items"][0]["withdrawn"]);
        assert_eq!(words, (&json!("aborted"), &json!("no_devices"), &json!(1)), "{listed}");
        self.until_nothing_is_there().await;
        device.reports(2, 1, "cancelled").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lorawan_devices_end_a_campaign_by_uplinks_alone_beside_mqtt_devices() {
    let (fleet, devices) = Fleet::of_uplinks().await;
    let firmware = fleet.world.firmware(&fleet.api, "2.0.0").await;
    let is_slow = FaultKind::Delays { millis: ADDING_MS };
    fleet
        .lns
        .carry_out(Command::Fault { path: "FuotaService/AddDevices".to_owned(), times: 1, fault: is_slow })
        .unwrap();
    let wanted = json!({
        "deployment_strategy": "immediate", "target_all": true, "max_concurrent_updates": 1, "lorawan": {"max_concurrent_updates": 3},
    });
    let campaign = fleet.world.campaign(&fleet.api, &firmware, wanted).await;

    // LoRaWAN devices hold no slot of the others: the only one goes from one MQTT device to the next.
    for n in 1..=3 {
        fleet.update_is(&format!("lora-{n}"), 1, 1, "accepted").await;
    }
    let dispatched = async |id: &str| fleet.api.get(&format!("/devices/{id}/updates/1")).await.is_ok();
    let first = async || dispatched("mqtt-1").await || dispatched("mqtt-2").await;
    fleet.world.until("an MQTT device begins", first).await;
    let order = if dispatched("mqtt-1").await { [0, 1] } else { [1, 0] };
    for index in order {
        fleet.update_is(devices[index].id(), 1, 1, "dispatched").await;
        devices[index].installs(1, 1, "b2", "2.0.0").await;
        fleet.update_is(devices[index].id(), 1, 1, "confirmed").await;
    }

    // A device that leaves while ChirpStack adds it, which is the last call before the start, gets no fragments.
    fleet.until_there("the devices are being added", |lns| lns.calls("FuotaService/AddDevices") > 0).await;
    fleet.api.post("/updates/lora-3~1/cancel", &json!({"reason": "not this one"})).await.unwrap();
    let path = format!("/campaigns/{campaign}/lorawan-deployments");
    fleet.until(&path, "one device is withdrawn", |body| body["items"][0]["withdrawn"] == 1).await;
    for n in 1..=2 {
        fleet.update_is(&format!("lora-{n}"), 1, 1, "confirmed").await;
    }
    fleet.world.campaign_is(&fleet.api, &campaign, &["completed"]).await;
    assert_eq!(fleet.lns.calls("FuotaService/RemoveDevices"), 1);
    assert!(!is_asked_for_its_image(&fleet.lns, 3) && is_asked_for_its_image(&fleet.lns, 1));

    // What is delivered isn't confirmed: that is the device's own uplink, which may come before or after the deployment's end.
    let listed = fleet.until(&path, "it is over", |body| body["items"][0]["phase"] == "completed").await;
    let id = listed["items"][0]["deployment_id"].as_str().unwrap();
    let details = fleet.api.get(&format!("{path}/{id}")).await.unwrap();
    let outcomes: Vec<&Value> =
        details["campaign_devices"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["delivered", "delivered", "withdrawn"], "{details}");
    fleet.world.settles().await;
    for n in 1..=2 {
        let confirmed =
            fleet.api.get(&format!("/audit?aggregate=device/lora-{n}&type=update.confirmed")).await.unwrap();
        let actors: Vec<&Value> = confirmed["items"].as_array().unwrap().iter().map(|event| &event["actor"]).collect();
        assert_eq!(actors, ["device"], "{confirmed}");
    }
    fleet.world.read_models_equal_a_replay().await;
}

/// Whether a device was asked by a job of a deployment: its answers are uplinks on the ports of the packages.
fn is_asked_for_its_image(lns: &FakeChirpstack, n: u32) -> bool {
    lns.events().iter().any(|event| {
        let body: Value = serde_json::from_slice(&event.json).unwrap();
        event.dev_eui == eui(n) && [200, 201].iter().any(|port| body["fPort"] == *port)
    })
}
