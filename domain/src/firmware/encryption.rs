//! How an operator has encrypted an image for its devices before the upload.

use serde::{Deserialize, Serialize};

/// Longest name of a scheme, in bytes.
pub const ENCRYPTION_SCHEME_MAX_BYTES: usize = 32;
/// Longest name of a key, in bytes.
pub const ENCRYPTION_KEY_ID_MAX_BYTES: usize = 32;

/// What a device needs to know to decrypt an image. Waybill has no such key and decrypts nothing: it passes both names on, and sizes and
/// digests are of the encrypted bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageEncryption {
    pub scheme: String,
    pub key_id: String,
}

/// Whether a text can name a scheme or a key: printable ASCII characters that need no escaping in JSON.
pub fn is_encryption_name(text: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}
