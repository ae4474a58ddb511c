//! Commands that devices run beside their updates, such as `reboot`: send, read, cancel.

mod cancel;
mod get;
mod list;
mod model;
mod send;

pub(crate) use cancel::{__path_cancel_device_command, cancel_device_command};
pub(crate) use get::{__path_get_device_command, get_device_command};
pub(crate) use list::{__path_list_device_commands, list_device_commands};
pub(crate) use send::{__path_send_device_command, send_device_command};
