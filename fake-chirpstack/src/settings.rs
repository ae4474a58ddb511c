//! What the double begins with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::webhook::Webhook;

/// How long a job of a FUOTA deployment takes.
const DEPLOYMENT_STEP: Duration = Duration::from_millis(200);

/// What the double begins with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where gRPC is served. Port 0: any.
    pub listen: SocketAddr,
    /// TLS of gRPC; none: HTTP/2 in clear text.
    pub tls: Option<TlsSettings>,
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
            tls: None,
            control_listen: None,
            webhooks: Vec::new(),
            mqtt: None,
            deployment_step: DEPLOYMENT_STEP,
            plays_firmware: None,
        }
    }
}

/// A certificate for `localhost`, and whose clients are let in.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    pub certificate_pem: String,
    pub key_pem: String,
    /// Clients must show a certificate of this authority; none: they need none.
    pub client_ca_pem: Option<String>,
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
