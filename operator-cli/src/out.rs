//! Standard output and standard error: data on the one, words on the other.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, Result};

/// Writes a line of data.
pub(crate) fn line(data: impl Display) -> Result<()> {
    text(&format!("{data}\n"))
}

/// Writes data, which may have lines.
pub(crate) fn text(data: &str) -> Result<()> {
    Pieces::default().write(data.as_bytes())
}

/// Data that is written piece by piece. Devices, people and services have written what is in it, so a terminal gets it without control
/// characters: the terminal would obey them.
#[derive(Default)]
pub(crate) struct Pieces {
    last: u8,
}

impl Pieces {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if is_terminal() { raw(&self.harmless(bytes)) } else { raw(bytes) }
    }

    /// The bytes with a space for each control character but tab and line feed. Control characters are one byte, or two that begin with C2.
    fn harmless(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut harmless = bytes.to_vec();
        for byte in &mut harmless {
            let last = std::mem::replace(&mut self.last, *byte);
            let is_control = match *byte {
                b'\t' | b'\n' => false,
                0..=0x1f | 0x7f => true,
                0x80..=0x9f => last == 0xc2,
                _ => false,
            };
            if is_control {
                *byte = b' ';
            }
        }
        harmless
    }
}

/// Writes bytes as they are. A reader that has left, as in `waybill device list | head -1`, ends the command quietly.
pub(crate) fn raw(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::new(crate::exit::Exit::Done, "")),
        Err(error) => Err(Failure::here(format!("standard output can't be written to: {error}"))),
    }
}

/// Writes a line of words, if somebody still reads them.
pub(crate) fn note(text: impl Display) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether somebody can be asked: both sides are a terminal.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Colours are for terminals, and not if `NO_COLOR` is set (no-color.org).
pub(crate) fn has_colour() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_characters() {
        let shown = |text: &str| String::from_utf8_lossy(&Pieces::default().harmless(text.as_bytes())).into_owned();
        assert_eq!(shown("\u{1b}[2Ja\tb\r\n\u{7f}"), " [2Ja\tb \n ");
        assert_eq!(shown("é 日本 …"), "é 日本 …");
        assert!(!shown("\u{9b}2J").contains('\u{9b}'));
    }

    #[test]
    fn a_control_character_may_be_cut_in_two() {
        let mut pieces = Pieces::default();
        pieces.harmless(&[b'a', 0xc2]);
        assert_eq!(pieces.harmless(&[0x9b, b'2']), b" 2");
        let mut letter = Pieces::default();
        letter.harmless(&[0xc3]);
        assert_eq!(letter.harmless(&[0x9b]), [0x9b]);
    }
}
