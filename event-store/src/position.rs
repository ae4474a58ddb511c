//! Positions in the log.
//!
//! A position is the stream's sequence number, an event's is that and its index in the record. A position in the API also names the
//! incarnation of the stream, so that after a new start with an empty log old positions are recognised and not waited for.

use std::fmt;
use std::str::FromStr;

/// Position of one event: the record's sequence number in EVENTS and the event's index in the record.
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

/// Position of one event as clients see it: `{created_ms of the stream}-{sequence}.{index}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventToken {
    pub incarnation_ms: u64,
    pub position: Position,
}

impl fmt::Display for EventToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.incarnation_ms, self.position.sequence, self.position.index)
    }
}

/// A position in any form that was ever used: `{created_ms}-{sequence}`, with `.{index}` for one event; a sequence number; and
/// `{sequence}-{index}`, as earlier versions named events. A stream's time of creation is far above any sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WrittenPosition {
    incarnation_ms: Option<u64>,
    sequence: u64,
    index: Option<u16>,
}

impl WrittenPosition {
    /// Creation time of the stream, if the text has it.
    pub fn incarnation_ms(self) -> Option<u64> {
        self.incarnation_ms
    }

    pub fn sequence(self) -> u64 {
        self.sequence
    }

    /// Index of the event; none for a whole record.
    pub fn event(self) -> Option<Position> {
        self.index.map(|index| Position { sequence: self.sequence, index })
    }
}

impl From<PositionToken> for WrittenPosition {
    fn from(token: PositionToken) -> Self {
        Self { incarnation_ms: Some(token.incarnation_ms), sequence: token.sequence, index: None }
    }
}

impl FromStr for WrittenPosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let invalid = || InvalidPosition(text.to_owned());
        let Some((first, rest)) = text.split_once('-') else {
            let sequence = number(text).ok_or_else(invalid)?;
            return Ok(Self { incarnation_ms: None, sequence, index: None });
        };
        let first = number(first).ok_or_else(invalid)?;
        if first < INCARNATION_MIN_MS {
            let index = rest.parse::<u16>().ok().filter(|_| is_number(rest)).ok_or_else(invalid)?;
            return Ok(Self { incarnation_ms: None, sequence: first, index: Some(index) });
        }
        let (sequence, index) = match rest.split_once('.') {
            Some((sequence, index)) => {
                (sequence, Some(index.parse().ok().filter(|_| is_number(index)).ok_or_else(invalid)?))
            }
            None => (rest, None),
        };
        Ok(Self { incarnation_ms: Some(first), sequence: number(sequence).ok_or_else(invalid)?, index })
    }
}

/// A text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a position; the form is {{created_ms}}-{{sequence}}, followed by .{{index}} for one event")]
pub struct InvalidPosition(String);

/// Earliest creation time of a stream, in milliseconds since 1970: September 2001.
const INCARNATION_MIN_MS: u64 = 1_000_000_000_000;

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| is_number(text))
}

fn two_numbers(text: &str) -> Result<(u64, u64), InvalidPosition> {
    let invalid = || InvalidPosition(text.to_owned());
    let (first, second) = text.split_once('-').ok_or_else(invalid)?;
    Ok((number(first).ok_or_else(invalid)?, number(second).ok_or_else(invalid)?))
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
    fn every_form_that_was_given_out_is_read() {
        let read = |text: &str| {
            let written: WrittenPosition = text.parse().unwrap();
            (written.incarnation_ms(), written.sequence(), written.event().map(|event| event.index))
        };
        let ms = 1_790_000_000_123;
        let event = EventToken { incarnation_ms: ms, position: Position { sequence: 42, index: 3 } };
        assert_eq!(event.to_string(), "1790000000123-42.3");
        assert_eq!(read(&event.to_string()), (Some(ms), 42, Some(3)));
        assert_eq!(read("1790000000123-42"), (Some(ms), 42, None));
        assert_eq!(read("42-3"), (None, 42, Some(3)));
        assert_eq!(read("42"), (None, 42, None));
        for bad in [
            "",
            "-",
            "x",
            "42.3",
            "42-",
            "42-3.1",
            "42-65536",
            "1790000000123-",
            "1790000000123-4.",
            "1790000000123-+4",
            "1790000000123-4.1.1",
            "+4",
            "4 ",
        ] {
            assert!(bad.parse::<WrittenPosition>().is_err(), "{bad}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "1", "1-", "-1", "+1-2", "1-2-3", "a-b", "1 - 2", "99999999999999999999-1"] {
            assert!(bad.parse::<PositionToken>().is_err(), "{bad}");
        }
        assert!("1-65536".parse::<Position>().is_err());
    }
}
