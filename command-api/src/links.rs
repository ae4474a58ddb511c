//! Download links: `{origin}/d/{token}`.
//!
//! A token is bound to tenant, firmware, expiry and, if it is issued to a device, to device, ordinal and attempt, by an HMAC-SHA256 of 16
//! bytes. Ids are in it as plain text: they are valid in URLs, and base64 would make a device's command too long. Form: `{base64url(mac,
//! firmware, end[, ordinal, attempt])}.{tenant}[.{device}]`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use domain::{DeviceId, FirmwareId, TenantId};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// Longest token, with the longest ids.
pub const TOKEN_MAX_BYTES: usize = 160;
/// Bytes of the MAC that are kept.
const MAC_BYTES: usize = 16;
const FIRMWARE_BYTES: usize = 16;
const END_BYTES: usize = 4;
const PLAIN_BYTES: usize = MAC_BYTES + FIRMWARE_BYTES + END_BYTES;
const DEVICE_BYTES: usize = PLAIN_BYTES + 4 + 2;
/// Separates these MACs from any other use of the secret.
const PURPOSE: &[u8] = b"waybill-download-v1";

/// The device's attempt that a link was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedAttempt {
    pub device: DeviceId,
    pub ordinal: u32,
    pub attempt: u16,
}

/// The content of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    pub tenant: TenantId,
    pub firmware: FirmwareId,
    pub attempt: Option<LinkedAttempt>,
    pub expires_at: DateTime<Utc>,
}

/// Why a token isn't valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("the link has the wrong form")]
    Malformed,
    #[error("the link was not made by this service, or was changed")]
    Forged,
    #[error("the link has expired")]
    Expired,
}

/// Creates and verifies download links. Clones share the secret.
#[derive(Clone)]
pub struct DownloadLinks {
    secret: Vec<u8>,
    origin: String,
}

impl DownloadLinks {
    /// `origin` is the address in links, such as `https://downloads.example.com`.
    pub fn new(secret: Vec<u8>, origin: String) -> Self {
        Self { secret, origin: origin.trim_end_matches('/').to_owned() }
    }

    /// A link to a firmware, valid until `expires_at` (to the second).
    pub fn link(
        &self,
        tenant: &TenantId,
        firmware: &FirmwareId,
        device: Option<(&DeviceId, u32, u16)>,
        expires_at: DateTime<Utc>,
    ) -> String {
        let mut fields = firmware.0.as_bytes().to_vec();
        let end = u32::try_from(expires_at.timestamp()).unwrap_or(u32::MAX);
        fields.extend_from_slice(&end.to_be_bytes());
        let mut ids = format!(".{tenant}");
        if let Some((device, ordinal, attempt)) = device {
            fields.extend_from_slice(&ordinal.to_be_bytes());
            fields.extend_from_slice(&attempt.to_be_bytes());
            ids.push('.');
            ids.push_str(device.as_str());
        }
        let mut binary = self.mac(&fields, &ids).finalize().into_bytes()[..MAC_BYTES].to_vec();
        binary.extend_from_slice(&fields);
        format!("{}/d/{}{ids}", self.origin, URL_SAFE_NO_PAD.encode(binary))
    }

    /// The content of a token, if it was made with this secret and hasn't expired.
    pub fn read(&self, token: &str, now: DateTime<Utc>) -> Result<Download, LinkError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(LinkError::Malformed);
        }
        let (encoded, rest) = token.split_once('.').ok_or(LinkError::Malformed)?;
        let binary = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| LinkError::Malformed)?;
        let (tenant, device) = match rest.split_once('.') {
            Some((tenant, device)) => (tenant, Some(device)),
            None => (rest, None),
        };
        if binary.len() != if device.is_some() { DEVICE_BYTES } else { PLAIN_BYTES } {
            return Err(LinkError::Malformed);
        }
        let (mac, fields) = binary.split_at(MAC_BYTES);
        let ids = &token[encoded.len()..];
        self.mac(fields, ids).verify_truncated_left(mac).map_err(|_| LinkError::Forged)?;
        let download = parse(fields, tenant, device).ok_or(LinkError::Malformed)?;
        if download.expires_at <= now { Err(LinkError::Expired) } else { Ok(download) }
    }

    fn mac(&self, fields: &[u8], ids: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("an HMAC takes keys of any length");
        mac.update(PURPOSE);
        mac.update(&(fields.len() as u64).to_be_bytes());
        mac.update(fields);
        mac.update(ids.as_bytes());
        mac
    }
}

fn parse(fields: &[u8], tenant: &str, device: Option<&str>) -> Option<Download> {
    let (firmware, rest) = fields.split_at_checked(FIRMWARE_BYTES)?;
    let (end, rest) = rest.split_at_checked(END_BYTES)?;
    let attempt = match device {
        None => None,
        Some(device) => {
            let (ordinal, attempt) = rest.split_at_checked(4)?;
            Some(LinkedAttempt {
                device: DeviceId::new(device).ok()?,
                ordinal: u32::from_be_bytes(ordinal.try_into().ok()?),
                attempt: u16::from_be_bytes(attempt.try_into().ok()?),
            })
        }
    };
    Some(Download {
        tenant: TenantId::new(tenant).ok()?,
        firmware: FirmwareId(Uuid::from_slice(firmware).ok()?),
        attempt,
        expires_at: DateTime::from_timestamp(u32::from_be_bytes(end.try_into().ok()?).into(), 0)?,
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const ORIGIN: &str = "http://127.0.0.1:8240";

    fn links() -> DownloadLinks {
        DownloadLinks::new(vec![1; 32], ORIGIN.to_owned())
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn token_of(link: &str) -> &str {
        link.strip_prefix("http://127.0.0.1:8240/d/").unwrap()
    }

    fn made(device: Option<&str>) -> String {
        let tenant = TenantId::new("a".repeat(32)).unwrap();
        let device = device.map(|device| DeviceId::new(device).unwrap());
        let firmware = FirmwareId(Uuid::from_u128(7));
        let attempt = device.as_ref().map(|device| (device, 17, 2));
        links().link(&tenant, &firmware, attempt, now() + TimeDelta::hours(1))
    }

    #[test]
    fn a_token_says_what_it_was_made_for() {
        let link = made(Some("AA:BB_1"));
        let download = links().read(token_of(&link), now()).unwrap();
        assert_eq!(download.firmware, FirmwareId(Uuid::from_u128(7)));
        let attempt = download.attempt.unwrap();
        assert_eq!((attempt.device.as_str(), attempt.ordinal, attempt.attempt), ("AA:BB_1", 17, 2));
        assert_eq!(links().read(token_of(&made(None)), now()).unwrap().attempt, None);
    }

    #[test]
    fn the_longest_link_fits_into_a_command() {
        let link = made(Some(&"x".repeat(64)));
        assert!(token_of(&link).len() <= TOKEN_MAX_BYTES, "{}", link.len());
        assert!(link.len() <= 200, "{}", link.len());
        assert!(!link.contains(['"', '\\']));
    }

    #[test]
    fn no_changed_token_is_taken() {
        let link = made(Some("d-1"));
        let token = token_of(&link).to_owned();
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'b' { b'c' } else { b'b' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(links().read(&changed, now()).is_err(), "{changed}");
        }
        assert_eq!(links().read(&format!("{token}x"), now()), Err(LinkError::Forged));
        let other = DownloadLinks::new(vec![2; 32], ORIGIN.to_owned());
        assert_eq!(other.read(&token, now()), Err(LinkError::Forged));
        for bad in ["", ".", "a.b.c", &"x".repeat(500)] {
            assert_eq!(links().read(bad, now()), Err(LinkError::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_token_ends() {
        let link = made(None);
        assert_eq!(links().read(token_of(&link), now() + TimeDelta::hours(1)), Err(LinkError::Expired));
    }
}
