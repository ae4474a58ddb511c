//! EUIs and addresses, in hexadecimal digits or base64.
//!
//! 16 hexadecimal digits are also valid base64, so digits are tried first.

use std::fmt;

use serde::Serialize;

use super::payload;

/// Digits of an EUI and of an address.
const EUI_DIGITS: usize = 16;
const ADDRESS_DIGITS: usize = 8;

/// 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct DevEui(String);

impl DevEui {
    /// An EUI in any spelling: digits with or without `:` and `-`, or base64 of its eight bytes.
    pub fn parse(text: &str) -> Option<Self> {
        digits(text, EUI_DIGITS).map(Self)
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == EUI_DIGITS / 2).then(|| Self(hex::encode(bytes)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DevEui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a gateway: digits if it is an EUI, else as it came.
pub(super) fn gateway_id(text: &str) -> String {
    digits(text, EUI_DIGITS).unwrap_or_else(|| text.to_owned())
}

/// A device address: digits if it is one, else as it came.
pub(super) fn address(text: &str) -> String {
    digits(text, ADDRESS_DIGITS).unwrap_or_else(|| text.to_owned())
}

/// Whether a text is base64 of an EUI, and not its digits.
pub(super) fn is_base64(text: &str) -> bool {
    plain_digits(text, EUI_DIGITS).is_none() && digits(text, EUI_DIGITS).is_some()
}

fn digits(text: &str, count: usize) -> Option<String> {
    plain_digits(text, count).or_else(|| {
        let bytes = payload::base64(text).ok()?;
        (bytes.len() == count / 2).then(|| hex::encode(bytes))
    })
}

fn plain_digits(text: &str, count: usize) -> Option<String> {
    if text.len() > 2 * EUI_DIGITS {
        return None;
    }
    let plain: String = text.trim().chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let is_hex = plain.len() == count && plain.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| plain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eui_is_read_in_every_spelling() {
        for text in
            ["0102030405060708", "01:02:03:04:05:06:07:08", "01-02-03-04-05-06-07-08", "AQIDBAUGBwg=", "AQIDBAUGBwg"]
        {
            assert_eq!(DevEui::parse(text).unwrap().as_str(), "0102030405060708", "{text}");
        }
        assert_eq!(DevEui::parse("ABCDEFabcdef0123").unwrap().as_str(), "abcdefabcdef0123");
        assert_eq!(DevEui::parse("_-_-_-_-_-8=").map(|eui| eui.0), Some("ffeffeffeffeffef".to_owned()));
    }

    #[test]
    fn other_texts_are_no_eui() {
        for text in ["", "01020304", "010203040506070", "01020304050607080", "AQIDBAUGBw==", "xyz", "é02030405060708"]
        {
            assert_eq!(DevEui::parse(text), None, "{text}");
        }
    }

    #[test]
    fn base64_is_told_from_digits() {
        assert!(is_base64("AQEBAQEBAQE="));
        assert!(!is_base64("0101010101010101") && !is_base64("hello"));
    }
}
