//! The one binary, as a library: wiring, the development stack, the demo, the fleet simulator, replay.
//!
//! Nothing here decides anything: it starts the parts and hands them to one another. Start at [`serve`].

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod api_client;
pub mod asyncapi;
pub mod config;
pub mod demo;
mod eta;
mod health;
pub mod logs;
mod metrics;
pub mod openapi;
pub mod origin;
pub mod out;
pub mod projections;
pub mod rebuild;
pub mod replay;
pub mod rights;
pub mod secrets;
pub mod serve;
pub mod simulate;
pub mod stack;
pub mod times;
pub mod traces;
pub mod up;

/// The C library's allocator spent a third of the process's time in the JSON of events and rows.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
