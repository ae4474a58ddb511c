//! Root keys of devices that join over the air: `api.DeviceService`.

use super::device::DeviceRequest;
use super::{Client, Error, Timestamp, normalise_eui};

pub mod path {
    pub const CREATE: &str = "/api.DeviceService/CreateKeys";
    pub const GET: &str = "/api.DeviceService/GetKeys";
    pub const UPDATE: &str = "/api.DeviceService/UpdateKeys";
    pub const DELETE: &str = "/api.DeviceService/DeleteKeys";
}

/// Root keys, each 32 hexadecimal digits. They don't print themselves.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
#[prost(skip_debug)]
pub struct DeviceKeys {
    #[prost(string, tag = "1")]
    pub dev_eui: String,
    /// LoRaWAN 1.0.x: the AppKey. LoRaWAN 1.1: the NwkKey.
    #[prost(string, tag = "2")]
    pub nwk_key: String,
    /// LoRaWAN 1.1 only; empty becomes zeros.
    #[prost(string, tag = "3")]
    pub app_key: String,
    /// LoRaWAN 1.0.x: needed for a remote multicast set-up and so for images by multicast; empty becomes zeros.
    #[prost(string, tag = "4")]
    pub gen_app_key: String,
}

impl std::fmt::Debug for DeviceKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DeviceKeys").field("dev_eui", &self.dev_eui).finish_non_exhaustive()
    }
}

/// The request of `CreateKeys` and `UpdateKeys`.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct WriteDeviceKeysRequest {
    #[prost(message, optional, tag = "1")]
    pub device_keys: Option<DeviceKeys>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetDeviceKeysResponse {
    #[prost(message, optional, tag = "1")]
    pub device_keys: Option<DeviceKeys>,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
}

impl Client {
    /// Sets the keys of a device that has none. [`Error::Duplicate`] when it has some.
    pub async fn create_keys(&self, keys: DeviceKeys) -> Result<(), Error> {
        self.write_keys(path::CREATE, keys).await
    }

    /// The keys of a device. [`Error::NotFound`] when the device has none.
    pub async fn get_keys(&self, dev_eui: &str) -> Result<DeviceKeys, Error> {
        let request = DeviceRequest::of(dev_eui)?;
        let answer: GetDeviceKeysResponse = self.call(path::GET, request).await?;
        answer.device_keys.ok_or_else(|| Error::unreadable("an answer without keys"))
    }

    /// Replaces all keys. [`Error::NotFound`] when the device has none.
    pub async fn update_keys(&self, keys: DeviceKeys) -> Result<(), Error> {
        self.write_keys(path::UPDATE, keys).await
    }

    pub async fn delete_keys(&self, dev_eui: &str) -> Result<(), Error> {
        self.send(path::DELETE, DeviceRequest::of(dev_eui)?).await
    }

    async fn write_keys(&self, path: &'static str, mut keys: DeviceKeys) -> Result<(), Error> {
        keys.dev_eui = normalise_eui(&keys.dev_eui)?;
        self.send(path, WriteDeviceKeysRequest { device_keys: Some(keys) }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_print_themselves() {
        let keys =
            DeviceKeys { nwk_key: "00112233".to_owned(), app_key: "44556677".to_owned(), ..DeviceKeys::default() };
        let text = format!("{:?}", WriteDeviceKeysRequest { device_keys: Some(keys) });
        assert!(!text.contains("00112233") && !text.contains("44556677"), "{text}");
    }
}
