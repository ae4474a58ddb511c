//! The `Range` header, RFC 9110: which bytes to send.

use std::ops::Range;

/// Most ranges of one request; with more, the whole file is sent.
const RANGES_MAX: usize = 8;

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    Whole,
    /// At least one range, each within the size.
    Parts(Vec<Range<u64>>),
    /// None of the ranges has a byte: 416.
    Unsatisfiable,
}

impl Selection {
    /// Whether the file's first byte is in it.
    pub(super) fn has_start(&self) -> bool {
        match self {
            Self::Whole => true,
            Self::Parts(parts) => parts.iter().any(|part| part.start == 0),
            Self::Unsatisfiable => false,
        }
    }
}

/// The selection of a header over `size` bytes. A header that can't be parsed selects the whole file, as the standard requires.
pub(super) fn select(header: Option<&str>, size: u64) -> Selection {
    let Some(list) = header.and_then(|header| header.strip_prefix("bytes=")) else { return Selection::Whole };
    let specs: Vec<&str> = list.split(',').map(str::trim).filter(|spec| !spec.is_empty()).collect();
    if specs.is_empty() || specs.len() > RANGES_MAX {
        return Selection::Whole;
    }
    let mut parts = Vec::new();
    for spec in specs {
        match parse(spec, size) {
            None => return Selection::Whole,
            Some(range) if range.is_empty() => {}
            Some(range) => parts.push(range),
        }
    }
    // More bytes than the file has: the ranges overlap.
    if parts.iter().map(|part| part.end - part.start).sum::<u64>() > size {
        return Selection::Whole;
    }
    if parts.is_empty() { Selection::Unsatisfiable } else { Selection::Parts(parts) }
}

/// One range, empty if it begins after the end; none if it can't be parsed.
fn parse(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // Longer than any file: treated as unlimited.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first, last) {
        ("", last) => Some(size.saturating_sub(number(last)?)..size),
        (first, "") => {
            let first = number(first)?.min(size);
            Some(first..size)
        }
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            Some(first.min(size)..last.saturating_add(1).min(size))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(header: &str) -> Option<Vec<(u64, u64)>> {
        match select(Some(header), 100) {
            Selection::Parts(parts) => Some(parts.into_iter().map(|part| (part.start, part.end)).collect()),
            Selection::Whole => Some(vec![]),
            Selection::Unsatisfiable => None,
        }
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        assert_eq!(parts("bytes=0-9"), Some(vec![(0, 10)]));
        assert_eq!(parts("bytes=90-"), Some(vec![(90, 100)]));
        assert_eq!(parts("bytes=-10"), Some(vec![(90, 100)]));
        assert_eq!(parts("bytes=-1000"), Some(vec![(0, 100)]));
        assert_eq!(parts("bytes=50-1000"), Some(vec![(50, 100)]));
        assert_eq!(parts("bytes=0-0, 99-99"), Some(vec![(0, 1), (99, 100)]));
        assert_eq!(parts("bytes=0-99999999999999999999999"), Some(vec![(0, 100)]));
        assert_eq!(parts("bytes=100-"), None);
        assert_eq!(parts("bytes=-0"), None);
        assert_eq!(parts("bytes=200-300,0-1"), Some(vec![(0, 2)]));
    }

    #[test]
    fn what_cannot_be_read_or_is_too_much_selects_the_whole() {
        for header in ["bytes=", "bytes=a-b", "bytes=9-1", "bytes=1", "items=0-1", "bytes=0-1,x", "bytes=+1-2"] {
            assert_eq!(select(Some(header), 100), Selection::Whole, "{header}");
        }
        let many = format!("bytes={}", ["0-0"; RANGES_MAX + 1].join(","));
        assert_eq!(select(Some(&many), 100), Selection::Whole);
        assert_eq!(select(Some("bytes=0-,0-"), 100), Selection::Whole);
        assert_eq!(select(None, 100), Selection::Whole);
        assert_eq!(select(Some("bytes=0-0"), 0), Selection::Unsatisfiable);
    }
}
