//! What devices prove themselves with: tokens, their hashes, and the names under which devices log in. No IO.
//!
//! Invariants: a token is shown once, when it is made, and never stored; what is stored is its [`TokenHasher::hash`]; no token prints itself.

mod hasher;
#[cfg(test)]
mod hostile_tests;
pub mod login;
mod secret_text;
mod token;

pub use hasher::TokenHasher;
pub use login::DeviceLogin;
pub use secret_text::SecretText;
pub use token::{DeviceToken, RegistrationToken, is_token_of_devices};
