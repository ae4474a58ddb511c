//! System tests over real servers, in one binary.
//!
//! Each test starts its own nats-server and PostgreSQL on free ports ([`world::World`]), uses Waybill only through its public interfaces,
//! and waits for conditions with deadlines.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod api;
mod api_keys;
mod audit;
mod begin;
mod blue_green;
mod bulk;
mod campaigns;
mod causation;
mod certificates;
mod cli;
mod codec;
mod console;
mod contract;
mod credentials;
mod device_commands;
mod devices_login;
mod directory;
mod documentation;
mod downlinks;
mod downloads;
mod edges;
mod exposure;
mod faults;
mod feed_consumers;
mod field_failures;
mod firmware_stores;
mod flooding;
mod frozen;
mod full;
mod fuota;
mod groups;
mod hostile;
mod identity;
mod isolation;
mod live;
mod login;
mod lorawan;
mod lorawan_connection;
mod lorawan_import;
mod members;
mod misbehaviours;
mod mistakes;
mod monitoring;
mod network_events;
mod old_service;
mod operations;
mod order;
mod passwords;
mod previews;
mod protocol;
mod read_models;
mod registrations;
mod roles;
mod rollbacks;
mod search;
mod secrecy;
mod secrets;
mod sign_in;
mod signed;
mod slots;
mod stack;
mod starting;
mod statistics;
mod tenants;
mod tls;
mod watermark;
mod why;
mod windows;
mod world;
