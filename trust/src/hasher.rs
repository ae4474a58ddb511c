//! Keyed hashes of tokens.

use std::fmt;

use domain::TokenHash;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::secret_text::SecretText;

/// Separates these hashes from any other use of the secret.
const PURPOSE: &[u8] = b"waybill-token-v1";

/// Separates the hashes of certificates from those of tokens: no token has the hash of a certificate.
const PURPOSE_CERTIFICATE: &[u8] = b"waybill-certificate-v1";

/// The same for digests of requests.
const PURPOSE_REQUEST: &[u8] = b"waybill-request-v1";

/// Hashes tokens with a secret of the server: HMAC-SHA256. Tokens are random, so no slow hash is needed; without the secret nobody can make
/// a hash that fits a token, not even by writing to the log.
#[derive(Clone)]
pub struct TokenHasher {
    secret: Vec<u8>,
}

impl TokenHasher {
    pub fn new(secret: Vec<u8>) -> Self {
        Self { secret }
    }

    pub fn hash(&self, token: &impl AsRef<SecretText>) -> TokenHash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("an HMAC takes keys of any length");
        mac.update(PURPOSE);
        mac.update(token.as_ref().reveal().as_bytes());
        TokenHash::new(mac.finalize().into_bytes().into())
    }

    /// The hash of the digest of a request that has secrets. Without the key the request can't be guessed from it.
    pub fn hash_request(&self, digest: &str) -> TokenHash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("an HMAC takes keys of any length");
        mac.update(PURPOSE_REQUEST);
        mac.update(digest.as_bytes());
        TokenHash::new(mac.finalize().into_bytes().into())
    }

    /// The hash of a client certificate in DER. The certificate is no secret; that a device has its private key is proven by TLS.
    pub fn hash_certificate(&self, der: &[u8]) -> TokenHash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("an HMAC takes keys of any length");
        mac.update(PURPOSE_CERTIFICATE);
        mac.update(&Sha256::digest(der));
        TokenHash::new(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for TokenHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHasher(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::DeviceToken;

    /// Never change this: hashes in the log are compared with it.
    #[test]
    fn the_hash_of_a_token_is_fixed() {
        let hasher = TokenHasher::new(vec![7; 32]);
        let token = DeviceToken::parse(&format!("wbd_{}", "A".repeat(43))).unwrap();
        assert_eq!(
            serde_json::to_string(&hasher.hash(&token)).unwrap(),
            "\"a762db5917fb1dead0d728b7c2f1c7a43f4e24576ecd25a3ec25aff92cb3b0e8\""
        );
    }

    #[test]
    fn a_certificate_has_another_hash_than_any_token() {
        let hasher = TokenHasher::new(vec![7; 32]);
        let token = DeviceToken::generate();
        assert_ne!(hasher.hash_certificate(token.as_ref().reveal().as_bytes()), hasher.hash(&token));
        assert_eq!(hasher.hash_certificate(b"one"), hasher.hash_certificate(b"one"));
        assert_ne!(hasher.hash_certificate(b"one"), hasher.hash_certificate(b"other"));
        assert_ne!(hasher.hash_certificate(b"one"), TokenHasher::new(vec![8; 32]).hash_certificate(b"one"));
    }

    #[test]
    fn hashes_depend_on_the_token_and_on_the_secret() {
        let hasher = TokenHasher::new(vec![7; 32]);
        let token = DeviceToken::generate();
        assert_eq!(hasher.hash(&token), hasher.clone().hash(&token));
        assert_ne!(hasher.hash(&token), hasher.hash(&DeviceToken::generate()));
        assert_ne!(hasher.hash(&token), TokenHasher::new(vec![8; 32]).hash(&token));
        assert!(!format!("{hasher:?}").contains('7'));
    }
}
