//! Places in the log.
//!
//! A position is the stream's sequence number, an event's is that and its index in the record. To the outside a position names the
//! incarnation of the stream too: after a restore from nothing, old positions are recognised as foreign instead of waited for.

use std::fmt;
use std::str::FromStr;

/// Place of one event: the record's sequence number in EVENTS and the event's index in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub sequence: u64,
    pub index: u16,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.sequence, self.index)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (sequence, index) = two_numbers(text)?;
        Ok(Self { sequence, index: index.try_into().map_err(|_| InvalidPosition(text.to_owned()))? })
    }
}

/// A position as clients see it: `{created_ms of the stream}-{sequence}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PositionToken {
    /// When the stream was created, in milliseconds since 1970.
    pub incarnation_ms: u64,
    pub sequence: u64,
}

impl fmt::Display for PositionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation_ms, self.sequence)
    }
}

impl FromStr for PositionToken {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (incarnation_ms, sequence) = two_numbers(text)?;
        Ok(Self { incarnation_ms, sequence })
    }
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no position: two whole numbers with a hyphen between them")]
pub struct InvalidPosition(String);

fn two_numbers(text: &str) -> Result<(u64, u64), InvalidPosition> {
    let invalid = || InvalidPosition(text.to_owned());
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if digits { part.parse().map_err(|_| invalid()) } else { Err(invalid()) }
    };
    let (first, second) = text.split_once('-').ok_or_else(invalid)?;
    Ok((number(first)?, number(second)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_their_text() {
        let token = PositionToken { incarnation_ms: 1_790_000_000_123, sequence: 42 };
        assert_eq!(token.to_string().parse(), Ok(token));
        let position = Position { sequence: 42, index: 3 };
        assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "1", "1-", "-1", "+1-2", "1-2-3", "a-b", "1 - 2", "99999999999999999999-1"] {
            assert!(bad.parse::<PositionToken>().is_err(), "{bad}");
        }
        assert!("1-65536".parse::<Position>().is_err());
    }
}
