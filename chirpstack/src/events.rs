//! Events of ChirpStack's integrations.
