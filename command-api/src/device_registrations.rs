//! Devices that register themselves: `POST /api/v1/device-registrations`, with a registration token in place of a caller.

mod metrics;
mod register;
mod registrant;

pub(crate) use metrics::describe;
pub(crate) use register::{__path_register_itself, BODY_MAX_BYTES, register_itself};
pub(crate) use registrant::Limits;
