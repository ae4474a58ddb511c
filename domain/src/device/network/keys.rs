//! Join keys of a device. Their values are a sealed secret of the tenant; here is only which ones there are.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::ids::{DeviceId, SecretName, name_based_uuid};
use crate::secret_ref::SecretRef;

/// Beginning of the name of the secret that has a device's join keys. No other secret has such a name.
pub const DEVICE_SECRET_PREFIX: &str = "lorawan-device-";

/// A root key of LoRaWAN.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LorawanKey {
    /// The AppKey of LoRaWAN 1.0, the NwkKey of 1.1.
    NwkKey,
    /// The AppKey of LoRaWAN 1.1.
    AppKey,
    /// For multicast and FUOTA on LoRaWAN 1.0.
    GenAppKey,
}

/// Which join keys of a device are set, and the secret that has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LorawanKeys {
    pub which: Vec<LorawanKey>,
    pub secret: SecretRef,
}

impl LorawanKeys {
    /// The secret that has the keys of a device. Each device has its own, also one whose id can't stand in the name of a secret.
    pub fn secret_of(device: &DeviceId) -> SecretRef {
        let id = name_based_uuid(&["lorawan-keys", device.as_str()]).simple();
        SecretRef(SecretName::new(format!("{DEVICE_SECRET_PREFIX}{id}")).expect("lower-case letters and digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_whose_ids_differ_in_case_have_their_own_keys() {
        let secret = |id: &str| LorawanKeys::secret_of(&DeviceId::new(id).unwrap());
        assert_ne!(secret("D-1"), secret("d-1"));
        assert_eq!(secret("d-1"), secret("d-1"));
    }
}
