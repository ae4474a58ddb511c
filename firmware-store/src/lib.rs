//! The stores of the bytes of firmware: a directory, or a bucket of S3, Google Cloud Storage or Azure, named by a URL.
//!
//! [`FirmwareStore`] is one store, or two while firmware moves from an old one to a new one ([`moving`]). Each wait for a bucket is bounded
//! ([`http`]). An upload that isn't completed leaves nothing: it is aborted at once, or by a sweep if its process was killed ([`uploads`]).
//! Firmware can be sealed under keys of its tenant, which another part of the service keeps ([`sealed`]). This crate has no digests, except
//! that a copy and a sealing compare an object with the digest in its name.

mod copy;
#[cfg(test)]
mod hooked;
mod http;
mod moving;
mod open;
mod place;
mod reseal;
mod sealed;
mod settings;
mod store;
mod uploads;

pub use copy::{Copied, CopyError, copy};
pub use open::{OpenError, Opening};
pub use place::{Place, PlaceError};
pub use reseal::{Resealed, is_all_under, reseal};
pub use sealed::{KeyId, KeysError, TenantKey, TenantKeys, is_altered, keys_error};
pub use settings::SettingsError;
pub use store::{FirmwareStore, Store, StoreFault};
