//! Where the bytes of firmware are: a directory, or a bucket of S3, Google Cloud Storage or Azure, named by a URL.
//!
//! [`FirmwareStore`] is what the service has: one store, or two while firmware moves from an old one to a new one ([`moving`]). Every call to
//! a bucket is bounded in time ([`http`]). An upload that ends in any way but a complete one leaves nothing: it is aborted at once, or by a
//! sweep if its process was killed ([`uploads`]). Nothing here knows of tenants or digests, except the copy, which reads the digest in a name.

mod copy;
mod http;
mod moving;
mod open;
mod place;
mod settings;
mod store;
mod uploads;

pub use copy::{Copied, CopyError, copy};
pub use open::{OpenError, Opening};
pub use place::{Place, PlaceError};
pub use settings::SettingsError;
pub use store::{FirmwareStore, Store, StoreFault};
