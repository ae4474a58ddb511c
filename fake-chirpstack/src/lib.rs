//! A test double of ChirpStack 4.20: its gRPC methods, the events of its integrations, and devices that can be played.
//!
//! For demos and tests only. It keeps everything in memory, bounded, and has the behaviour of the real server that surprises: a tenant's key
//! gets UNAUTHENTICATED for what does not exist, duplicates are internal errors, updates replace whole objects, ids of queue items are
//! ignored, events are sent once and never again.
//!
//! In a test: [`FakeChirpstack::start`], then [`FakeChirpstack::carry_out`] with [`Command`]s. As a program: see `main.rs`; the same
//! commands come as JSON over HTTP. What it says on the wire is compared with ChirpStack's own classes by `tests/official`.
//!
//! | file | what |
//! |---|---|
//! | `server.rs`, `tls.rs`, `call.rs`, `faults.rs` | connections, one call, misbehaviour |
//! | `keys.rs`, `auth.rs` | whose key a call has, and what it may touch |
//! | `services/` | the methods, one file per service |
//! | `store.rs`, `shared.rs` | what the server knows, and how all parts reach it |
//! | `ids.rs`, `settings.rs` | what the double begins with |
//! | `radio/` | devices: uplinks, joins, downlinks |
//! | `firmware.rs` | devices that speak Waybill's codec |
//! | `deployments.rs` | FUOTA deployments run through their jobs |
//! | `events/` | the messages of the integrations as protobuf and JSON |
//! | `publisher.rs`, `webhook.rs`, `mqtt.rs` | where events go |
//! | `mqtt_commands.rs` | commands over MQTT |
//! | `control.rs`, `handle.rs`, `control_http.rs` | commands of tests and demos |

mod auth;
mod call;
mod control;
mod control_http;
mod deployments;
pub mod events;
mod fake;
mod faults;
mod firmware;
mod handle;
mod ids;
mod keys;
mod mqtt;
mod mqtt_commands;
mod publisher;
mod radio;
mod server;
mod services;
mod settings;
mod shared;
mod store;
mod times;
mod tls;
mod webhook;

pub use control::{Command, ControlError};
pub use fake::FakeChirpstack;
pub use faults::FaultKind;
pub use ids::{
    ADMIN_KEY, APPLICATION_ID, CLASS_A_PROFILE_ID, CLASS_C_PROFILE_ID, GATEWAY_ID, OTHER_APPLICATION_ID, TENANT_ID,
    TENANT_KEY,
};
pub use radio::{Downlink, DownlinkFate, Uplink};
pub use settings::{MqttSettings, Settings, TlsSettings};
pub use store::FuotaScript;
pub use webhook::{Encoding, Webhook};
