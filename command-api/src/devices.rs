//! Devices: register, import, read, change, hold, decommission, and their history.

mod amend;
mod bulk;
mod create;
mod credentials;
mod decommission;
mod dev_eui;
mod firmware_history;
mod get;
mod history;
mod hold;
mod hold_many;
mod import;
pub(crate) mod key;
mod known;
mod list;
mod list_at;
mod lorawan_keys;
mod model;
mod network_notices;
mod reading;
mod sync;
mod telemetry;

pub(crate) use amend::{__path_amend_device, __path_replace_device, amend_device, replace_device};
pub(crate) use bulk::{__path_register_devices, BULK_MAX_BYTES, register_devices};
pub(crate) use create::{__path_register_device, DeviceRequest, Registration, register_device};
pub(crate) use credentials::{
    __path_issue_credential, __path_list_credentials, __path_revoke_credential, MqttLogin, issue_credential,
    list_credentials, revoke_credential,
};
pub(crate) use decommission::{__path_decommission_device, Deleted, decommission_device};
pub(crate) use firmware_history::{__path_firmware_history, firmware_history};
pub(crate) use get::{__path_get_device, get_device};
pub(crate) use history::{__path_device_history, device_history};
pub(crate) use hold::{__path_hold_device, __path_release_device, ReasonRequest, hold_device, release_device};
pub(crate) use hold_many::{__path_hold_devices, __path_release_devices, hold_devices, release_devices};
pub(crate) use import::chirpstack::{__path_import_from_chirpstack, import_from_chirpstack};
pub(crate) use import::{__path_import_devices, import_devices};
pub(crate) use known::is_known;
pub(crate) use list::{__path_list_devices, list_devices};
pub(crate) use lorawan_keys::{
    __path_get_lorawan_keys, __path_remove_lorawan_keys, __path_set_lorawan_keys, get_lorawan_keys,
    remove_lorawan_keys, set_lorawan_keys,
};
pub(crate) use network_notices::{__path_device_network_notices, device_network_notices};
pub(crate) use reading::find;
pub(crate) use sync::{__path_sync_device, __path_sync_devices, sync_device, sync_devices};
pub(crate) use telemetry::{__path_device_telemetry, device_telemetry};
