//! Webhooks of ChirpStack: `POST /api/v1/lorawan/webhooks/{tenant_id}` and its routes for single kinds of events.
//!
//! Invariant: a body is stored as it came, and then the answer is 200; the bridge reads it later. ChirpStack sends each event once and asks
//! nothing about the answer, so a body that makes no sense, a kind or a device that isn't known get 200, too.

mod authenticity;
mod metrics;
mod webhooks;

pub(crate) use metrics::describe;
pub(crate) use webhooks::{
    __path_receive_error, __path_receive_event, __path_receive_status, __path_receive_uplink, BODY_MAX_BYTES, PATHS,
    receive_error, receive_event, receive_status, receive_uplink,
};
