//! The event log: append, load, execute, subscribe.
//!
//! One command is one message (a [`Record`] of 1..n events) on the aggregate's own subject, appended only if the aggregate has not changed
//! since it was read. [`EventStore`] is the one executor (load, decide, append, bounded retry) over a [`Log`], of which there are two:
//! [`JetStreamLog`] and [`MemoryLog`]; one contract suite runs against both. Start at [`EventStore::execute`].
//!
//! Aggregates implement `cqrs_es::Aggregate`, so the framework's `TestFramework` works with them. Its stores are not used: they return
//! neither position nor version, and its snapshot stores apply events twice.
//!
//! Beside the log: telemetry, dead letters, leases, the sealed secrets of tenants ([`secrets`]), the web sessions of people ([`sessions`]),
//! and events of network servers that wait to be handled ([`network`]).
//!
//! Invariants: this is the only crate that names JetStream for events; no wait is unbounded; every append names an expected sequence
//! number; a command that stored events answers with its first outcome when sent again.

pub mod cache;
mod command_hash;
pub mod connection;
pub mod context;
pub mod dead_letters;
pub mod error;
pub mod execute;
pub mod feed;
mod fold;
pub mod followed;
mod header_text;
pub mod history;
pub mod jetstream;
mod jetstream_api;
pub mod lease;
mod links;
pub mod log;
pub mod memory;
pub mod metering;
pub mod network;
pub mod position;
pub mod record;
pub mod request;
pub mod secrets;
pub mod sessions;
pub mod store;
mod stored_event;
pub mod stream_sizes;
pub mod streams;
pub mod subject;
pub mod telemetry;
pub mod threads;
pub mod upcast;

#[cfg(test)]
mod golden_tests;

pub use command_hash::CommandHash;
pub use context::{CommandOutcome, Loaded, Origin, RecentCommands, Times};
pub use error::{AppendError, ExecuteError, StoreError};
pub use followed::Followed;
pub use history::{At, Entry, Past, Recorded, Unreadable};
pub use jetstream::JetStreamLog;
pub use log::{Delivery, Log, LogInfo, NextOfType, RawRecord, Subscription};
pub use memory::MemoryLog;
pub use position::{EventToken, Position, PositionToken, WrittenPosition};
pub use record::Record;
pub use request::{Checked, Committed, ExpectedVersion, Request};
pub use secrets::{Keyring, SecretPlace, SecretStore};
pub use store::EventStore;
pub use stored_event::{Metadata, StoredEvent};
pub use threads::{Cause, RecordRef, Standing, Threads};
