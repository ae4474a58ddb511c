//! The REST API: commands, queries, downloads.
//!
//! A request becomes a command to one aggregate (`http::commands`) or a query of a read model. Every route is in `router.rs`. Each endpoint
//! is a file that reads from its documentation down to its handler. Handlers take an `auth::Caller`, and one a device that registers itself
//! (`device_registrations`); failures become problems (`http::problem`).
//!
//! Invariants: accepting or refusing a command needs only the event log, except that starting a campaign also reads the read models; every
//! key contains the caller's tenant; a reply with 2xx is sent after the event is stored.
//!
//! To add an endpoint: a file with its types and handler, its names in the module, its line in the router, then
//! `cargo run -p waybill -- openapi > docs/openapi.json`.

mod access;
mod api_keys;
mod audit;
mod auth;
mod caller;
mod campaigns;
mod client_address;
mod dead_letters;
mod device_commands;
mod device_registrations;
mod devices;
mod download;
mod exposure;
mod feed;
mod fields;
mod firmware;
mod groups;
mod handshake;
mod http;
mod least_rate;
mod legacy_status;
pub mod links;
mod listen;
mod live;
mod lorawan;
mod members;
mod network_server;
mod openapi;
mod registration_tokens;
mod rollbacks;
mod router;
mod search;
mod secret_input;
mod semaphores;
mod serve;
mod service;
mod sessions;
mod shown_token;
mod sign_in;
mod state;
mod statistics;
mod tenants;
#[cfg(test)]
mod tests;
mod throttle;
mod tokens;
mod transfers;
mod updates;
mod why;

pub use client_address::{ForwardedHeader, TrustedProxies};
pub use least_rate::LeastRate;
pub use links::DownloadLinks;
pub use listen::HttpListener;
pub use live::TicketParts;
pub use serve::{openapi_json, router, serve, serve_about};
pub use service::{Finding, HealthCheck, PartStatus, describe_metrics};
pub use sessions::SessionLimits;
pub use sign_in::{InvalidRoleMap, ProviderHttp, RoleMap, SignInConfig, SignInParts};
pub use state::{ApiConfig, ApiState, FIRMWARE_MAX_BYTES, UPLOAD_ABANDONED_AFTER};
pub use tenants::{BrokerSettings, ChirpStackSettings, ClientIdentitySettings, FIRMWARE_KEYS, fill_default_tenant};
pub use throttle::RateLimits;
pub use tokens::{KEY_SET_MAX_BYTES, KeySource, TokenRules};
pub use transfers::TransferLimits;
