//! `updates/{ordinal}/log`: a piece of the log of an update, as text.

use std::borrow::Cow;

use serde::Serialize;

use super::{Malformed, within};

/// Largest piece of a log, in bytes.
pub const LOG_PIECE_MAX_BYTES: usize = 16 * 1024;

/// A piece of a log that goes to telemetry. Bytes that aren't UTF-8, and control characters other than tab and line ends, are replaced by
/// U+FFFD: the text may be shown in a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogPiece {
    pub ordinal: u32,
    pub text: String,
}

impl LogPiece {
    /// The text of a piece.
    pub fn read(payload: &[u8]) -> Result<String, Malformed> {
        within(payload, LOG_PIECE_MAX_BYTES)?;
        if payload.is_empty() {
            return Err(Malformed::new("the piece of a log is empty"));
        }
        let text: Cow<'_, str> = String::from_utf8_lossy(payload);
        let is_shown = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
        Ok(text.chars().map(|c| if is_shown(c) { c } else { char::REPLACEMENT_CHARACTER }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_text_within_its_bound() {
        assert_eq!(LogPiece::read("boot\r\n\tok é".as_bytes()).unwrap(), "boot\r\n\tok é");
        assert_eq!(LogPiece::read(b"a\xffb\x1b[31m\0").unwrap(), "a\u{fffd}b\u{fffd}[31m\u{fffd}");
        assert!(LogPiece::read(&[b'x'; LOG_PIECE_MAX_BYTES]).is_ok());
        assert!(LogPiece::read(&[b'x'; LOG_PIECE_MAX_BYTES + 1]).is_err());
        assert!(LogPiece::read(b"").is_err());
    }
}
