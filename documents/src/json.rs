//! Reads JSON in one pass within bounds, and keeps only what it is asked for.
//!
//! Every value is checked, also those that are skipped: depth, lengths, numbers, and that no object has a field twice.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::error::DocumentError;
use crate::limits::{DEPTH_MAX, DOCUMENT_MAX_BYTES, FIELDS_MAX, KEPT_TEXT_MAX_BYTES, NUMBER_MAX_CHARS, TEXT_MAX_BYTES};

/// Fields of an object that are compared one by one; more of them are hashed.
const FEW_FIELDS: usize = 16;
/// How much of a field's name an error repeats.
const NAME_SHOWN_CHARS: usize = 64;
/// Beginnings of files that are compressed: gzip, ZIP, zstd, xz, bzip2.
const COMPRESSED: [&[u8]; 5] = [b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh"];
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What a reader has read, or why the document is refused.
pub(crate) type Read<T> = Result<T, DocumentError>;

/// A text and the place in it.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Read<Self> {
        if bytes.len() > DOCUMENT_MAX_BYTES {
            return Err(DocumentError::TooLarge);
        }
        if COMPRESSED.iter().any(|begin| bytes.starts_with(begin)) {
            return Err(DocumentError::Compressed);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DocumentError::NotText)?;
        Ok(Self { text: text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text), at: 0, depth: 0 })
    }

    /// Reads an object, and calls `field` for each of its fields. It must read the value, or skip it.
    pub(crate) fn object(&mut self, mut field: impl FnMut(&mut Self, &str) -> Read<()>) -> Read<()> {
        self.enter(b'{', "an object")?;
        let mut fields = Fields::default();
        if self.comes(b'}') {
            return self.leave();
        }
        loop {
            self.blanks();
            let at = self.at;
            let name = self.string()?;
            self.expect(b':', "a colon")?;
            let result = match fields.add(&name) {
                Added::New => field(self, &name),
                Added::Twice => {
                    Err(DocumentError::DuplicateField { name: name.chars().take(NAME_SHOWN_CHARS).collect(), at })
                }
                Added::TooMany => Err(DocumentError::TooManyFields { at }),
            };
            result?;
            fields.keep(name);
            if self.comes(b'}') {
                return self.leave();
            }
            self.expect(b',', "a comma")?;
        }
    }

    /// Reads a list, and calls `item` for each of its items. It must read the item, or skip it. `null` is an empty list.
    pub(crate) fn list(&mut self, mut item: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        if self.is_null()? {
            return Ok(());
        }
        self.enter(b'[', "a list")?;
        if self.comes(b']') {
            return self.leave();
        }
        loop {
            item(self)?;
            if self.comes(b']') {
                return self.leave();
            }
            self.expect(b',', "a comma")?;
        }
    }

    /// A text that is kept, such as a name; none for `null`. Blanks around it are removed.
    pub(crate) fn text(&mut self, field: &'static str) -> Read<Option<String>> {
        if self.is_null()? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(DocumentError::field(field, "is not a text"));
        }
        let text = self.string()?;
        let text = text.trim();
        if text.len() > KEPT_TEXT_MAX_BYTES {
            return Err(DocumentError::long_value(field));
        }
        if text.chars().any(char::is_control) {
            return Err(DocumentError::field(field, "has control characters"));
        }
        Ok(Some(text.to_owned()))
    }

    /// A text of any permitted length, such as base64.
    pub(crate) fn long_text(&mut self, field: &'static str) -> Read<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(DocumentError::field(field, "is not a text"));
        }
        self.string()
    }

    /// Whether an object comes next.
    pub(crate) fn is_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    /// Whether a text comes next.
    pub(crate) fn is_text(&mut self) -> bool {
        self.peek() == Some(b'"')
    }

    /// Checks a value and forgets it.
    pub(crate) fn skip(&mut self) -> Read<()> {
        match self.peek() {
            Some(b'{') => self.object(|reader, _| reader.skip()),
            Some(b'[') => self.list(Self::skip),
            Some(b'"') => self.string().map(drop),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.number(),
        }
    }

    /// Nothing but blanks may follow.
    pub(crate) fn end(&mut self) -> Read<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.missing("the end")) }
    }

    fn enter(&mut self, open: u8, expected: &'static str) -> Read<()> {
        self.expect(open, expected)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(DocumentError::TooDeep { at: self.at }) } else { Ok(()) }
    }

    fn leave(&mut self) -> Read<()> {
        self.depth -= 1;
        Ok(())
    }

    fn missing(&self, expected: &'static str) -> DocumentError {
        DocumentError::NotJson { at: self.at, expected }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.byte()
    }

    /// Takes a byte if it comes next.
    fn comes(&mut self, wanted: u8) -> bool {
        let comes = self.peek() == Some(wanted);
        self.at += usize::from(comes);
        comes
    }

    fn expect(&mut self, wanted: u8, expected: &'static str) -> Read<()> {
        if self.comes(wanted) { Ok(()) } else { Err(self.missing(expected)) }
    }

    fn word(&mut self, word: &'static str) -> Read<()> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.missing("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn is_null(&mut self) -> Read<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    fn string(&mut self) -> Read<Cow<'a, str>> {
        self.expect(b'"', "a text")?;
        let (bytes, begin) = (self.text.as_bytes(), self.at);
        let mut is_escaped = false;
        loop {
            match bytes.get(self.at) {
                None => return Err(self.missing("the end of a text")),
                Some(b'"') => break,
                Some(b'\\') => {
                    is_escaped = true;
                    self.at += 2;
                }
                Some(0..=0x1f) => return Err(self.missing("a text without control characters")),
                Some(_) => self.at += 1,
            }
            if self.at - begin > TEXT_MAX_BYTES {
                return Err(DocumentError::LongText { at: begin });
            }
        }
        let end = self.at;
        self.at += 1;
        if !is_escaped {
            return Ok(Cow::Borrowed(&self.text[begin..end]));
        }
        let quoted = &self.text[begin - 1..=end];
        let text =
            serde_json::from_str(quoted).map_err(|_| DocumentError::NotJson { at: begin, expected: "a text" })?;
        Ok(Cow::Owned(text))
    }

    fn number(&mut self) -> Read<()> {
        let begin = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        if self.at - begin > NUMBER_MAX_CHARS { Err(DocumentError::LongNumber { at: begin }) } else { Ok(()) }
    }

    fn digits(&mut self) -> Read<()> {
        let begin = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == begin { Err(self.missing("a value")) } else { Ok(()) }
    }
}

/// The names of an object's fields so far.
#[derive(Default)]
struct Fields<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

enum Added {
    New,
    Twice,
    TooMany,
}

impl<'a> Fields<'a> {
    fn add(&self, name: &str) -> Added {
        match () {
            () if self.few.iter().any(|known| known == name) || self.many.contains(name) => Added::Twice,
            () if self.few.len() + self.many.len() >= FIELDS_MAX => Added::TooMany,
            () => Added::New,
        }
    }

    fn keep(&mut self, name: Cow<'a, str>) {
        if self.few.len() < FEW_FIELDS {
            self.few.push(name);
        } else {
            self.many.insert(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Read<()> {
        let mut reader = Reader::new(text.as_bytes())?;
        reader.skip()?;
        reader.end()
    }

    #[test]
    fn json_is_accepted_and_refused_as_by_serde_json() {
        for text in [
            "{}",
            "[]",
            "null",
            "true",
            "false",
            "\"\"",
            "0",
            "-0.5e+3",
            "[1,2 , 3]",
            "{\"a\":{\"b\":[{}]}}",
            "\"\\u00e9\\n\"",
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "tru",
            "nul",
            "01",
            "1.",
            ".5",
            "1e",
            "-",
            "+1",
            "\"\\x\"",
            "\"\\",
            "\"\n\"",
            "\"\\ud800\"",
            "[1 2]",
            "{} x",
            "{a:1}",
            "'a'",
            "NaN",
            "[",
            "]",
            "\u{feff}[]",
        ] {
            let library: Result<serde_json::Value, _> = serde_json::from_str(text.trim_start_matches(BYTE_ORDER_MARK));
            assert_eq!(checked(text).is_ok(), library.is_ok(), "{text}: {:?}", checked(text));
        }
    }

    #[test]
    fn each_bound_accepts_its_last_value_and_refuses_the_next() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(checked(&nested(DEPTH_MAX)).is_ok());
        assert!(matches!(checked(&nested(DEPTH_MAX + 1)), Err(DocumentError::TooDeep { .. })));
        assert!(matches!(checked(&"[".repeat(1_000_000)), Err(DocumentError::TooDeep { .. })));
        let text = |length: usize| format!("\"{}\"", "a".repeat(length));
        assert!(checked(&text(TEXT_MAX_BYTES)).is_ok());
        assert!(matches!(checked(&text(TEXT_MAX_BYTES + 1)), Err(DocumentError::LongText { .. })));
        assert!(checked(&"9".repeat(NUMBER_MAX_CHARS)).is_ok());
        assert!(matches!(checked(&"9".repeat(NUMBER_MAX_CHARS + 1)), Err(DocumentError::LongNumber { .. })));
        let fields = |count: usize| {
            let all: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
            format!("{{{}}}", all.join(","))
        };
        assert!(checked(&fields(FIELDS_MAX)).is_ok());
        assert!(matches!(checked(&fields(FIELDS_MAX + 1)), Err(DocumentError::TooManyFields { .. })));
        assert_eq!(checked(&" ".repeat(DOCUMENT_MAX_BYTES + 1)), Err(DocumentError::TooLarge));
    }

    #[test]
    fn a_field_given_twice_is_refused_at_any_depth_and_however_it_is_written() {
        for text in [
            "{\"a\":1,\"a\":1}".to_owned(),
            "[{\"x\":{\"a\":1,\"\\u0061\":2}}]".to_owned(),
            format!("{{{}\"3\":0}}", (0..100).map(|n| format!("\"{n}\":0,")).collect::<String>()),
        ] {
            assert!(matches!(checked(&text), Err(DocumentError::DuplicateField { .. })), "{text}");
        }
    }

    #[test]
    fn compressed_files_and_other_bytes_are_refused() {
        for begin in COMPRESSED {
            assert_eq!(Reader::new(begin).err(), Some(DocumentError::Compressed));
        }
        assert_eq!(Reader::new(b"\"\xff\"").err(), Some(DocumentError::NotText));
    }
}
