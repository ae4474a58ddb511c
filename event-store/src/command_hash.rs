//! Digest of a command: distinguishes a repeated command from another one.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Bytes of a command's SHA-256 that are kept. The digest distinguishes a repeated command from another one. It is not a security feature.
const COMMAND_HASH_BYTES: usize = 16;

/// Digest of a command. The same command sent again has the same digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandHash([u8; COMMAND_HASH_BYTES]);

impl CommandHash {
    /// The digest of the command's JSON.
    pub fn of(command: &impl Serialize) -> Result<Self, serde_json::Error> {
        let digest = Sha256::digest(serde_json::to_vec(command)?);
        let mut kept = [0; COMMAND_HASH_BYTES];
        kept.copy_from_slice(&digest[..COMMAND_HASH_BYTES]);
        Ok(Self(kept))
    }

    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut kept = [0; COMMAND_HASH_BYTES];
        hex::decode_to_slice(text, &mut kept).ok().map(|()| Self(kept))
    }
}
