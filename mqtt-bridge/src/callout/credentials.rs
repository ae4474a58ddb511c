//! Whose password is this? The log knows it; tests use a list.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::outbound::DeviceRef;

/// Result of looking for a device's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    NoDevice,
    Decommissioned,
    /// None of the device's live credentials has this token.
    WrongToken,
    /// The token is that of a live credential. It ends then, if it ends.
    Live {
        expires_at: Option<DateTime<Utc>>,
    },
}

/// The credentials of all devices.
#[async_trait]
pub trait Credentials: Send + Sync + 'static {
    /// Looks for a device's credential as of now, with everything that was stored before the call. Fails if that can't be known now.
    async fn look_up(&self, device: &DeviceRef, token: &str, now: DateTime<Utc>) -> Result<Found, String>;
}

/// Knows no device: only anonymous devices are let in, if they are.
pub struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn look_up(&self, _: &DeviceRef, _: &str, _: DateTime<Utc>) -> Result<Found, String> {
        Ok(Found::NoDevice)
    }
}
