//! Names under which a device logs in at the MQTT listener.
//!
//! Username `{tenant}/{device}`; client id the same, or followed by `/` and a suffix of the device's choice. Client ids are global in
//! nats-server, so they begin with tenant and device: no device can use another's and throw it out.

use std::fmt;
use std::str::FromStr;

use domain::{DeviceId, TenantId};

/// Longest suffix of a client id, in bytes.
pub const CLIENT_SUFFIX_MAX_BYTES: usize = 64;

/// A device that logs in. Its text is the username.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceLogin {
    pub tenant: TenantId,
    pub device: DeviceId,
}

/// A text that is no username of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoUsername;

impl DeviceLogin {
    /// Whether the device may use this client id.
    pub fn may_use(&self, client_id: &str) -> bool {
        let Some(rest) = client_id.strip_prefix(&self.to_string()) else { return false };
        match rest.strip_prefix('/') {
            None => rest.is_empty(),
            Some(suffix) => (1..=CLIENT_SUFFIX_MAX_BYTES).contains(&suffix.len()) && suffix.bytes().all(is_usable),
        }
    }

    /// Beginning of the topics of the device.
    pub fn topic_prefix(&self) -> String {
        format!("{}/devices/{}/", self.tenant, self.device)
    }
}

/// Whether nats-server takes the character in a client id.
fn is_usable(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'.' | b'*' | b'>')
}

impl fmt::Display for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.device)
    }
}

impl FromStr for DeviceLogin {
    type Err = NoUsername;

    fn from_str(username: &str) -> Result<Self, NoUsername> {
        let (tenant, device) = username.split_once('/').ok_or(NoUsername)?;
        let (tenant, device) = (TenantId::new(tenant), DeviceId::new(device));
        Ok(Self { tenant: tenant.map_err(|_| NoUsername)?, device: device.map_err(|_| NoUsername)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_names_tenant_and_device() {
        let login: DeviceLogin = "acme/AA:BB_1".parse().unwrap();
        assert_eq!((login.tenant.as_str(), login.device.as_str()), ("acme", "AA:BB_1"));
        assert_eq!(
            (login.to_string().as_str(), login.topic_prefix().as_str()),
            ("acme/AA:BB_1", "acme/devices/AA:BB_1/")
        );
        for bad in ["", "acme", "acme/", "/d-1", "Acme/d-1", "acme/d.1", "acme/d-1/x", "acme/d 1"] {
            assert!(bad.parse::<DeviceLogin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_id_begins_with_the_username() {
        let login: DeviceLogin = "acme/d-1".parse().unwrap();
        let longest = format!("acme/d-1/{}", "x".repeat(64));
        for good in ["acme/d-1", "acme/d-1/1", "acme/d-1/boot/2", &longest] {
            assert!(login.may_use(good), "{good}");
        }
        let too_long = format!("{longest}x");
        for bad in [
            "",
            "d-1",
            "acme/d-12",
            "acme/d-1/",
            "acme/d-1/a.b",
            "acme/d-1/a b",
            "acme/d-1/*",
            "acme/d-1/>",
            "acme/d-1/\u{e4}",
            &too_long,
        ] {
            assert!(!login.may_use(bad), "{bad}");
        }
    }
}
