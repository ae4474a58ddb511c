//! What all requests to a server's REST API share.

/// Bytes of an error text that are shown.
const MAX_SHOWN_BYTES: usize = 500;
/// Device type of simulated devices.
pub(super) const DEVICE_TYPE: &str = "simulated";

/// The beginning of an error text.
pub(super) fn shown(text: &str) -> &str {
    let end = (0..=text.len().min(MAX_SHOWN_BYTES)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
