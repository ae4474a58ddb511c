//! Devices of a world: registered over REST, played by the simulator.

use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::simulate::{Behaviour, DeviceSpec, Fleet, FleetOptions, Pace};

use super::{MODEL, TENANT, World};

/// A correct device of the test model that runs 1.0.0.
pub(crate) fn device(id: &str) -> DeviceSpec {
    DeviceSpec {
        device_id: id.to_owned(),
        device_model: MODEL.to_owned(),
        firmware_version: "1.0.0".to_owned(),
        behaviour: Behaviour::default(),
    }
}

/// `d-0`, `d-1`, …
pub(crate) fn devices(count: usize) -> Vec<DeviceSpec> {
    (0..count).map(|n| device(&format!("d-{n}"))).collect()
}

impl World {
    /// Registers devices over REST.
    pub(crate) async fn register(&self, api: &ApiClient, devices: &[DeviceSpec]) {
        let items: Vec<Value> = devices
            .iter()
            .map(|device| {
                json!({"device_id": device.device_id, "device_model": MODEL, "device_type": "frame", "firmware_version": device.firmware_version})
            })
            .collect();
        let reply = api.post("/devices/bulk", &Value::Array(items)).await.unwrap();
        assert_eq!(reply["failed"], 0, "{reply}");
    }

    /// Switches devices on; doesn't wait for them.
    pub(crate) fn fleet(&self, devices: Vec<DeviceSpec>) -> Fleet {
        self.fleet_at_pace(devices, Pace::default())
    }

    pub(crate) fn fleet_at_pace(&self, devices: Vec<DeviceSpec>, pace: Pace) -> Fleet {
        let mqtt = self.stack.nats.mqtt_listen();
        Fleet::start(FleetOptions {
            mqtt_host: mqtt.ip().to_string(),
            mqtt_port: mqtt.port(),
            tenant: TENANT.to_owned(),
            devices,
            pace,
            ..FleetOptions::default()
        })
        .unwrap()
    }

    /// Registers devices, switches them on and waits until they are online.
    pub(crate) async fn online_fleet(&self, api: &ApiClient, devices: Vec<DeviceSpec>) -> Fleet {
        self.register(api, &devices).await;
        let expected = devices.iter().filter(|device| !device.behaviour.offline).count();
        let fleet = self.fleet(devices);
        self.online(api, expected).await;
        fleet
    }

    /// Waits until this many devices are online.
    pub(crate) async fn online(&self, api: &ApiClient, expected: usize) {
        let path = "/devices?status=online&count=true&limit=1";
        self.until_get(api, path, &format!("{expected} devices online"), |body| body["total"] == expected).await;
    }
}
