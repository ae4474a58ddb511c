//! A test double of ChirpStack 4.20: its gRPC methods, the events of its integrations, and devices that can be played.
//!
//! For demos and tests only. It keeps everything in memory, bounded, and has the behaviour of the real server that bites: a tenant's key
//! gets UNAUTHENTICATED for what does not exist, duplicates are internal errors, updates replace whole objects, ids of queue items are
//! ignored, events are sent once and never again.
//!
//! In a test: [`FakeChirpstack::start`], then [`FakeChirpstack::carry_out`] with [`Command`]s. As a program: see `main.rs`; the same
//! commands come as JSON over HTTP. What it says on the wire is compared with ChirpStack's own classes by `tests/official`.
//!
//! | file | what |
//! |---|---|
//! | `server.rs`, `call.rs`, `auth.rs`, `faults.rs` | connections, one call, keys, misbehaviour |
//! | `services/` | the methods, one file per service |
//! | `store.rs` | what the server knows |
//! | `radio/` | devices: uplinks, joins, downlinks |
//! | `firmware.rs` | devices that speak Waybill's codec |
//! | `deployments.rs` | FUOTA deployments run through their jobs |
//! | `events/` | the messages of the integrations as protobuf and JSON |
//! | `publisher.rs`, `mqtt.rs` | where events go, and commands over MQTT |
//! | `control.rs`, `control_http.rs` | commands of tests and demos |

mod auth;
mod call;
mod control;
mod control_http;
mod deployments;
pub mod events;
mod fake;
mod faults;
mod firmware;
mod mqtt;
mod publisher;
mod radio;
mod server;
mod services;
mod settings;
mod store;
mod times;

pub use control::{Command, ControlError};
pub use fake::FakeChirpstack;
pub use faults::FaultKind;
pub use publisher::{Encoding, Webhook};
pub use radio::{Downlink, DownlinkFate, Uplink};
pub use settings::{
    ADMIN_KEY, APPLICATION_ID, CLASS_A_PROFILE_ID, CLASS_C_PROFILE_ID, GATEWAY_ID, MqttSettings, OTHER_APPLICATION_ID,
    Settings, TENANT_ID, TENANT_KEY,
};
pub use store::FuotaScript;
