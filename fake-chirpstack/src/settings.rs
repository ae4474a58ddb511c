//! What the double begins with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::publisher::Webhook;

/// The tenant to whom [`TENANT_KEY`] belongs.
pub const TENANT_ID: &str = "52f14cd4-c6f1-4fbd-8f87-4025e1d49242";
/// An application of the tenant.
pub const APPLICATION_ID: &str = "fe0631ba-f18b-42ef-99f5-c9a37521a4b8";
/// An application of another tenant.
pub const OTHER_APPLICATION_ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
/// A profile of the tenant for class A devices without FUOTA.
pub const CLASS_A_PROFILE_ID: &str = "79d31395-dcce-4761-b489-b776998b5a38";
/// A profile of the tenant for class C devices with FUOTA.
pub const CLASS_C_PROFILE_ID: &str = "5e440683-a2fe-486f-b62a-0ed2210681b6";
/// The only gateway.
pub const GATEWAY_ID: &str = "0016c001f153a14c";
/// The key that a tenant would use.
pub const TENANT_KEY: &str = "fake-tenant-key";
/// A key without a tenant.
pub const ADMIN_KEY: &str = "fake-admin-key";

/// How long a job of a FUOTA deployment takes.
const DEPLOYMENT_STEP: Duration = Duration::from_millis(200);

/// What the double begins with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where gRPC is served, HTTP/2 in clear text. Port 0: any.
    pub listen: SocketAddr,
    /// Where commands are taken over HTTP; none: nowhere.
    pub control_listen: Option<SocketAddr>,
    pub webhooks: Vec<Webhook>,
    pub mqtt: Option<MqttSettings>,
    /// How long a job of a FUOTA deployment takes.
    pub deployment_step: Duration,
    /// Devices speak Waybill's compact codec by themselves, with such a pause between two steps; none: they are silent.
    pub plays_firmware: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            control_listen: None,
            webhooks: Vec::new(),
            mqtt: None,
            deployment_step: DEPLOYMENT_STEP,
            plays_firmware: None,
        }
    }
}

/// A broker to which events are published and from which commands are taken.
#[derive(Debug, Clone)]
pub struct MqttSettings {
    pub host: String,
    pub port: u16,
    pub login: Option<(String, String)>,
    /// Protobuf in place of JSON.
    pub protobuf: bool,
    /// 0, 1 or 2.
    pub qos: u8,
}
