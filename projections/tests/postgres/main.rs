//! The read models over a real PostgreSQL, fed by the domain through a log in memory.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod api_keys;
mod archive;
mod audit;
mod blue_green;
mod campaigns;
mod credentials;
mod device_commands;
mod document_contents;
mod downloads;
mod endings;
mod fleet;
mod freezes;
mod fuota;
mod going_back;
mod groups;
mod isolation;
mod lists;
mod managers;
mod migrations;
mod network;
mod owners;
mod pace;
mod past;
mod plans;
mod preconditions;
mod random;
mod registration_tokens;
mod retention;
mod rollback_need;
mod rollout;
mod search;
mod server;
mod starts;
mod statistics;
mod sweeps;
mod telemetry;
mod transports;
mod trouble;
mod truths;
mod turns;
mod until;
mod update_logs;
mod wait_reason;
mod windows;
