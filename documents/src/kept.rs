//! Counts what is kept of a document, so that a short document can't fill the memory.

use crate::error::DocumentError;
use crate::json::Read;
use crate::limits::KEPT_BYTES_MAX;

/// Bytes of the texts that are kept. A text counts each time that it is kept: a document can write it once and use it for many entries.
#[derive(Default)]
pub(crate) struct KeptBytes(usize);

impl KeptBytes {
    /// Adds the texts of an entry.
    pub(crate) fn add<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> Read<()> {
        self.0 += texts.into_iter().map(str::len).sum::<usize>();
        if self.0 > KEPT_BYTES_MAX { Err(DocumentError::TooMuchText) } else { Ok(()) }
    }
}
