//! Why a device runs what it runs, and why it doesn't run something else.

mod chain;
mod device;
mod not;
mod sentence;

pub(crate) use device::{__path_device_why, device_why};
pub(crate) use not::{__path_device_why_not, device_why_not};
