//! What ChirpStack says and what it is told: its gRPC calls (`grpc`) and the events of its integrations (`events`), of versions 3 and 4.
//!
//! No other crate of the product names tonic or prost. Nothing but [`import`] knows of devices of Waybill, and nothing of its tenants and
//! updates.

pub mod events;
pub mod grpc;
pub mod import;
