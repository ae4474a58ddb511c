//! Signature files of minisign, prehashed: the only form whose check needs the BLAKE2b-512 of the bytes and not the bytes.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{SIGNATURE_BYTES, VerificationKey};

/// Longest signature file, in bytes.
const FILE_MAX_BYTES: usize = 4_096;
/// The algorithm of a signature over the hash.
const PREHASHED: &[u8] = b"ED";
/// The algorithm of one over the bytes.
const OVER_BYTES: &[u8] = b"Ed";
/// Algorithm and number of the key.
const HEAD_BYTES: usize = 10;
const TRUSTED: &str = "trusted comment: ";

/// What a `.minisig` file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinisignSignature {
    signature: [u8; SIGNATURE_BYTES],
    trusted_comment: String,
    /// Over signature and trusted comment.
    global_signature: [u8; SIGNATURE_BYTES],
}

/// A text that is no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMinisign {
    #[error("not a signature file of minisign: four lines, at most {FILE_MAX_BYTES} bytes")]
    Malformed,
    #[error("signed without hashing first (minisign before 0.10, or `-l`): sign again without `-l`")]
    OverBytes,
}

impl MinisignSignature {
    /// Whether a key signed the bytes with this BLAKE2b-512, and the trusted comment.
    pub fn is_by(&self, key: &VerificationKey, blake2b_512: &[u8; 64]) -> bool {
        let comment = [&self.signature[..], self.trusted_comment.as_bytes()].concat();
        key.verifies_ed25519(blake2b_512, &self.signature) && key.verifies_ed25519(&comment, &self.global_signature)
    }

    /// The signature of the hash.
    pub fn signature(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.signature
    }
}

impl FromStr for MinisignSignature {
    type Err = InvalidMinisign;

    fn from_str(text: &str) -> Result<Self, InvalidMinisign> {
        if text.len() > FILE_MAX_BYTES {
            return Err(InvalidMinisign::Malformed);
        }
        let lines: Vec<&str> = text.lines().collect();
        let [untrusted, signature, comment, global] = lines[..] else { return Err(InvalidMinisign::Malformed) };
        if !untrusted.starts_with("untrusted comment:") {
            return Err(InvalidMinisign::Malformed);
        }
        let signature = STANDARD.decode(signature).map_err(|_| InvalidMinisign::Malformed)?;
        if signature.starts_with(OVER_BYTES) {
            return Err(InvalidMinisign::OverBytes);
        }
        let bytes = signature.get(HEAD_BYTES..).filter(|_| signature.starts_with(PREHASHED));
        let global = STANDARD.decode(global).map_err(|_| InvalidMinisign::Malformed)?;
        Ok(Self {
            signature: bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(InvalidMinisign::Malformed)?,
            trusted_comment: comment.strip_prefix(TRUSTED).ok_or(InvalidMinisign::Malformed)?.to_owned(),
            global_signature: global.try_into().map_err(|_| InvalidMinisign::Malformed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use blake2::{Blake2b512, Digest};

    use super::*;

    // Made by minisign 0.11; its secret key is lost.
    const KEY: &str = "RWQ7B08wVnODs+BG9XMxhk5IT+ojWXu2aIZYO0zjNbD7AQGYJI1t20GT";
    const OF_ONE: &str = "untrusted comment: signature from minisign secret key
RUQ7B08wVnODs6wQj4t7Iuo0PJXANdDRrZ2v21Ycc1hk5HIdT7LJmpgxOjWhW8yj+wNurT25P2KBBc1M3ERRaVIQPNm56wBF9wY=
trusted comment: release 2.1.0
Yf4+CAoROPQkSCipDsgUn4FKFBkjA6fUyyr8BESfjvMQQvB0bA3kLP+PpeJtJWxozX/KoUGy4BdcMLdC+kOJDw==
";
    const OVER_THE_BYTES: &str =
        "RWQ7B08wVnODs9cV0DgoREQfMoD/H2HuX1qBDOmsbVjcFiIJ73g1LC8XALZJMF5/qLVYBuwtXjMlN2tCK3Jl+7aivSSQl+ZLvgo=";

    fn hash(bytes: &[u8]) -> [u8; 64] {
        Blake2b512::digest(bytes).into()
    }

    #[test]
    fn a_file_of_minisign_is_checked() {
        let key: VerificationKey = KEY.parse().unwrap();
        let signature: MinisignSignature = OF_ONE.parse().unwrap();
        assert!(signature.is_by(&key, &hash(b"one")));
        assert_eq!(signature.trusted_comment, "release 2.1.0");
        assert!(!signature.is_by(&key, &hash(b"two")));
        let forged: MinisignSignature = OF_ONE.replace("2.1.0", "9.9.9").parse().unwrap();
        assert!(!forged.is_by(&key, &hash(b"one")), "the comment is signed, too");
        assert_eq!(OF_ONE.replace('\n', "\r\n").parse(), Ok(signature), "line ends of Windows");
    }

    #[test]
    fn other_files_are_refused() {
        let over_bytes = OF_ONE.replace(OF_ONE.lines().nth(1).unwrap(), OVER_THE_BYTES);
        assert_eq!(over_bytes.parse::<MinisignSignature>(), Err(InvalidMinisign::OverBytes));
        let lines = |count: usize| OF_ONE.lines().take(count).collect::<Vec<_>>().join("\n");
        for wrong in [
            "",
            "one",
            &lines(2),
            &lines(3),
            &OF_ONE.replace("trusted comment: r", "r"),
            &"x".repeat(FILE_MAX_BYTES + 1),
        ] {
            assert_eq!(wrong.parse::<MinisignSignature>(), Err(InvalidMinisign::Malformed), "{wrong}");
        }
    }
}
