//! The encryption of an image in requests and replies.

use domain::firmware::{ENCRYPTION_KEY_ID_MAX_BYTES, ENCRYPTION_SCHEME_MAX_BYTES, ImageEncryption, is_encryption_name};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fields::Checks;

/// How the image was encrypted for its devices before the upload. Waybill passes it on to them and decrypts nothing: size and checksums are of
/// the encrypted bytes.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageEncryptionBody {
    #[schema(max_length = 32, example = "aes-128-ctr")]
    scheme: String,
    /// Names the key that devices have.
    #[schema(max_length = 32, example = "fleet-7")]
    key_id: String,
}

impl ImageEncryptionBody {
    pub(super) fn check(&self, checks: &mut Checks) {
        for (field, text, max_bytes) in [
            ("encryption.scheme", &self.scheme, ENCRYPTION_SCHEME_MAX_BYTES),
            ("encryption.key_id", &self.key_id, ENCRYPTION_KEY_ID_MAX_BYTES),
        ] {
            if !is_encryption_name(text, max_bytes) {
                let reason =
                    format!("1 to {max_bytes} printable ASCII characters without blanks, quotes and backslashes");
                checks.fail(field, reason);
            }
        }
    }
}

impl From<ImageEncryptionBody> for ImageEncryption {
    fn from(ImageEncryptionBody { scheme, key_id }: ImageEncryptionBody) -> Self {
        Self { scheme, key_id }
    }
}

impl From<ImageEncryption> for ImageEncryptionBody {
    fn from(ImageEncryption { scheme, key_id }: ImageEncryption) -> Self {
        Self { scheme, key_id }
    }
}
