//! Signatures of firmware: keys that verify them, the signed manifest that devices check, and the files of minisign and cosign that are
//! checked when they are uploaded. No IO.
//!
//! A manifest's signature names model, component, version, size and SHA-256, so a signed firmware can't be passed off as another one. The
//! signatures of minisign and cosign are of the bytes alone.

mod cosign;
mod manifest;
mod minisign;
mod signing_key;
mod verification_key;

pub use cosign::{CosignBundle, InvalidBundle};
pub use manifest::{MANIFEST_SCHEME, Manifest};
pub use minisign::{InvalidMinisign, MinisignSignature};
pub use signing_key::{InvalidSigningKey, SigningKey};
pub use verification_key::{Algorithm, InvalidVerificationKey, VERIFICATION_KEY_MAX_BYTES, VerificationKey};

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
