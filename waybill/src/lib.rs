//! The one binary, as a library: wiring, the development stack, the demo, the fleet simulator, replay.
//!
//! This crate decides nothing: it starts the parts and connects them. Start at [`serve`].

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod api_client;
pub mod asyncapi;
pub mod callout;
pub mod chirpstack_args;
pub mod config;
pub mod connection;
pub mod copy_store;
pub mod demo;
pub mod edges;
mod eta;
pub mod firmware;
mod firmware_keys;
mod health;
mod http_client;
mod issuer_http;
mod known_passwords;
pub mod logs;
mod metrics;
pub mod nats;
pub mod openapi;
pub mod origin;
pub mod out;
pub mod postman;
pub mod projections;
pub mod rebuild;
pub mod replay;
pub mod rights;
pub mod role_user;
pub mod seal_firmware;
pub mod secret_store;
pub mod secrets;
pub mod serve;
pub mod sign_in;
pub mod simulate;
pub mod stack;
pub mod store_args;
pub mod times;
pub mod tls;
mod token_keys;
pub mod traces;
pub mod up;

/// With the C library's allocator a third of the process's time was spent on allocations for the JSON of events and rows.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
