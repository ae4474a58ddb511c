//! Updates of single devices, requested here or by campaigns: read, cancel, retry.

mod bulk;
mod cancel;
mod get;
mod list;
mod log;
mod model;
mod of_device;
mod order;
mod past;
mod request;
mod retry;

pub(crate) use bulk::{__path_update_devices, update_devices};
pub(crate) use cancel::{__path_cancel_update, cancel_update};
pub(crate) use get::{__path_get_device_update, __path_get_update, get_device_update, get_update};
pub(crate) use list::{__path_list_updates, list_updates};
pub(crate) use log::{__path_update_log, update_log};
pub(crate) use model::UpdateBody;
pub(crate) use of_device::{__path_list_device_updates, __path_ota_status, list_device_updates, ota_status};
pub(crate) use order::{RETRIES_DEFAULT, TIMEOUT_DEFAULT_MINUTES, WAIT_DEFAULT_MINUTES, limits, usable_firmware};
pub(crate) use request::{__path_put_ota_update, __path_request_update, put_ota_update, queued, request_update};
pub(crate) use retry::{__path_retry_update, retry_update};
