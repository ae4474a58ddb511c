//! Calls of ChirpStack's gRPC API.
