//! What ChirpStack says and what it is told: its gRPC calls (`grpc`) and the events of its integrations (`events`), of versions 3 and 4.
//!
//! No other crate names tonic or prost. Nothing here knows of devices, tenants or updates of Waybill.

pub mod events;
pub mod grpc;
pub mod import;
