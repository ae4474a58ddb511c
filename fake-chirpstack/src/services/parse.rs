//! Ids and keys as the real server reads them, with its errors.

use tonic::Status;
use uuid::Uuid;

/// Digits of an EUI.
const EUI_DIGITS: usize = 16;
/// Digits of a key.
const KEY_DIGITS: usize = 32;
/// What an EUI or a key is when none is given.
pub(crate) const NO_EUI: &str = "0000000000000000";
const NO_KEY: &str = "00000000000000000000000000000000";

/// Lower case.
pub(crate) fn eui(text: &str) -> Result<String, Status> {
    digits(text, EUI_DIGITS)
}

pub(crate) fn optional_eui(text: &str) -> Result<String, Status> {
    if text.is_empty() { Ok(NO_EUI.to_owned()) } else { eui(text) }
}

pub(crate) fn key(text: &str) -> Result<String, Status> {
    digits(text, KEY_DIGITS)
}

pub(crate) fn optional_key(text: &str) -> Result<String, Status> {
    if text.is_empty() { Ok(NO_KEY.to_owned()) } else { key(text) }
}

pub(crate) fn uuid(text: &str) -> Result<String, Status> {
    text.parse::<Uuid>().map(|uuid| uuid.to_string()).map_err(|error| Status::invalid_argument(error.to_string()))
}

pub(crate) fn missing(what: &str) -> Status {
    Status::invalid_argument(format!("{what} is missing"))
}

pub(crate) fn invalid(why: &str) -> Status {
    Status::invalid_argument(format!("Validation error: {why}"))
}

fn digits(text: &str, count: usize) -> Result<String, Status> {
    let bytes = hex::decode(text).map_err(|error| Status::internal(error.to_string()))?;
    if bytes.len() * 2 != count {
        return Err(Status::internal("Invalid string length"));
    }
    Ok(hex::encode(bytes))
}
