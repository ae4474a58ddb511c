//! Standard output and standard error of the commands. Apart from the log, only this file writes to them.
//!
//! A reader may stop early, as in `waybill replay … | head -1`. Then [`line()`] fails with [`Closed`], which ends the command quietly.
//! [`tell`] and [`note`] drop their text and continue, for commands whose work or exit code matters more than their output.

use std::fmt::Display;
use std::io::{self, Write};

/// Standard output was closed by its reader. This is not reported as an error, since the reader needs no more.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub struct Closed;

/// Writes a line to standard output.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    write(&mut io::stdout().lock(), &text)
}

/// Writes a line to standard output, if it is still open.
pub fn tell(text: impl Display) {
    // A failure can't be reported anywhere.
    writeln!(io::stdout().lock(), "{text}").ok();
}

/// Writes a line to standard error, if it is still open.
pub fn note(text: impl Display) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

fn write(out: &mut impl Write, text: &dyn Display) -> anyhow::Result<()> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("standard output can't be written to")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_told_apart_from_a_full_disk() {
        let closed = write(&mut Failing(io::ErrorKind::BrokenPipe), &"x").unwrap_err();
        assert!(closed.context("while replaying").downcast_ref::<Closed>().is_some());
        let full = write(&mut Failing(io::ErrorKind::StorageFull), &"x").unwrap_err();
        assert!(full.downcast_ref::<Closed>().is_none());
    }
}
