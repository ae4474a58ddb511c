//! What LoRaWAN can carry: regions, and the arithmetic of images sent by multicast.

mod region;
mod transfer;

pub use region::{Channel, Region};
pub use transfer::{
    FRAME_INTERVAL_S, Parameters, REDUNDANCY_PERCENT, SESSION_MAX_S, UNICAST_RETRIES_MAX, UPLINK_INTERVAL_DEFAULT_S,
    fragments, image_max_bytes, redundant,
};
