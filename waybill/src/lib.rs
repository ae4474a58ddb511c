//! The one binary, as a library: wiring, the development stack, the demo, the fleet simulator, replay.
//!
//! Nothing here decides anything: it starts the parts and hands them to one another. Start at [`serve`].

pub mod api_client;
pub mod asyncapi;
pub mod config;
pub mod demo;
pub mod logs;
pub mod openapi;
pub mod origin;
pub mod projections;
pub mod rebuild;
pub mod replay;
pub mod serve;
pub mod simulate;
pub mod stack;
pub mod up;

/// The C library's allocator spent a third of the process's time in the JSON of events and rows.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
