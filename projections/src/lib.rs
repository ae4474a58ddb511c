//! The read side: projectors, and the read models they own in PostgreSQL.
//!
//! A read model is one projector with one checkpoint: rows and checkpoint change in one transaction, so the rows always reflect a
//! prefix of the log (`runner`); only the members of a plan are written later, before anybody reads them. There are `fleet` (a file for each
//! table with its row, its `apply` and its queries), [`archive`] and [`presence`]; no other crate uses their tables. Everything here can be
//! dropped and rebuilt from EVENTS ([`rebuild()`], [`compare()`]), except data from TELEMETRY ([`presence`], [`update_logs`]), the counters of [`downloads`],
//! the rows of [`previews`], what stands in documents ([`document_contents`]), and the last uses in [`api_key_uses`].
//!
//! Invariant: this is the only crate that names sqlx. Reads go through [`Db::read`], which sets role and tenant.

pub mod api_key_uses;
pub mod archive;
pub mod census;
mod compare;
mod db;
mod db_error;
mod decode;
pub mod document_contents;
pub mod downloads;
mod durable;
pub mod exposure;
mod fleet;
mod line;
mod memory;
pub mod metrics;
mod migrations;
mod models;
mod observations;
pub mod parked;
pub mod presence;
pub mod previews;
mod read_model;
mod rebuild;
mod replay;
pub mod retention;
mod row;
mod runner;
mod sql;
mod status_board;
mod supervisor;
mod table;
pub mod update_logs;
pub mod watermark;

pub use compare::compare;
pub use db::{Db, DbError, ReadTx};
pub use fleet::{
    campaigns, deadlines, device_commands, devices, firmware, firmware_catalog, fuota, groups, history,
    lorawan_profiles, network, past, preconditions, reach, registration_tokens, rollback_need, rollbacks, rollout,
    schedule, search, selection, statistics, tenants, updates, withdrawals,
};
pub use rebuild::rebuild;
pub use runner::{Unparked, unpark};
pub use supervisor::{ProjectionState, ProjectionStatus, Projections, WaitError};
pub use table::Page;

/// Names of the projections over EVENTS, as in checkpoints, health and `waybill rebuild`.
/// Devices, firmware, campaigns and updates.
pub const FLEET: &str = "fleet";
pub const ARCHIVE: &str = "archive";
/// The projection over TELEMETRY.
pub const PRESENCE: &str = "presence";
