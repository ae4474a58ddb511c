//! Texts of strangers as values of headers.

/// Bytes of a text that are kept.
pub(crate) const TEXT_MAX_BYTES: usize = 256;

/// The text as a header value: printable ASCII, cut to the maximum length.
pub(crate) fn header_text(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(TEXT_MAX_BYTES).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_become_harmless_headers() {
        assert_eq!(header_text("a\r\nEvil: é"), "a??Evil: ?");
        assert_eq!(header_text(&"x".repeat(1_000)).len(), TEXT_MAX_BYTES);
    }
}
