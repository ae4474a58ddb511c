//! Rollbacks: a device goes back to a version that it ran before.

mod list;
mod request;

pub(crate) use list::{__path_list_device_rollbacks, __path_list_rollbacks, list_device_rollbacks, list_rollbacks};
pub(crate) use request::{__path_roll_back_device, roll_back_device};
