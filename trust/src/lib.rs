//! What devices, programs and browsers prove themselves with (tokens, their hashes, the names under which devices log in), and how secrets are sealed; and how
//! signatures of firmware are checked. No IO.
//!
//! Invariants: a token is shown once, when it is made, and never stored; what is stored is its [`TokenHasher::hash`]; no token, no secret and
//! no key prints itself.

mod hasher;
#[cfg(test)]
mod hostile_tests;
pub mod login;
pub mod master_key;
pub mod sealing;
mod secret_text;
mod secret_value;
pub mod signatures;
mod token;

pub use hasher::TokenHasher;
pub use login::DeviceLogin;
pub use master_key::{InvalidMasterKeys, KeyId, MasterKey, MasterKeys};
pub use sealing::{OpenError, Purpose, sealing_key};
pub use secret_text::SecretText;
pub use secret_value::SecretValue;
pub use token::{ApiKey, DeviceToken, RegistrationToken, SessionToken, StreamTicket, is_api_key, is_token_of_devices};
