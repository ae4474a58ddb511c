//! Standard output and standard error: data on the one, words on the other.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::failure::{Failure, Result};

/// Writes a line of data. A reader that has left, as in `waybill device list | head -1`, ends the command quietly.
pub(crate) fn line(text: impl Display) -> Result<()> {
    raw(format!("{text}\n").as_bytes())
}

/// Writes bytes as they are.
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
