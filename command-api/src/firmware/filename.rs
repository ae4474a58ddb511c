//! File names in `Content-Disposition` (RFC 6266), also non-ASCII ones.

use std::fmt::Write as _;

use domain::values::SHORT_TEXT_MAX_CHARS;

/// The file name of an upload, reduced to the last part of a path and to characters that a header may have. `filename*` (RFC 8187) is
/// preferred to `filename`, in which clients send raw UTF-8.
pub(crate) fn uploaded(disposition: &[u8]) -> Option<String> {
    let parameters = parameters(disposition);
    let find = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice());
    let name = find("filename*").and_then(extended).or_else(|| find("filename").map(text))?;
    let name = sane(&name);
    (!["", ".", ".."].contains(&name.as_str())).then_some(name)
}

/// The header of a download.
pub(crate) fn attachment(name: Option<&str>) -> String {
    let Some(name) = name else { return "attachment; filename=\"firmware.bin\"".to_owned() };
    let plain = |c: char| if c.is_ascii() && !c.is_ascii_control() && !"\"\\%".contains(c) { c } else { '_' };
    let fallback: String = name.chars().map(plain).collect();
    let mut header = format!("attachment; filename=\"{fallback}\"");
    if fallback != name {
        header.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            let is_plain = byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
            let _ = if is_plain { write!(header, "{}", char::from(byte)) } else { write!(header, "%{byte:02X}") };
        }
    }
    header
}

/// The parameters after the first semicolon, with names in lower case.
fn parameters(header: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = header.iter().position(|byte| *byte == b';').map_or(&header[header.len()..], |at| &header[at + 1..]);
    while let Some(equals) = rest.iter().position(|byte| *byte == b'=') {
        let name = String::from_utf8_lossy(&rest[..equals]).trim().to_ascii_lowercase();
        let (value, after) = value(rest[equals + 1..].trim_ascii_start());
        found.push((name, value));
        rest = after.iter().position(|byte| *byte == b';').map_or(&after[after.len()..], |at| &after[at + 1..]);
    }
    found
}

/// A value with or without quotes, and the text after it. A backslash escapes only a quote, because file names may contain backslashes.
fn value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii().to_vec(), &text[end..]);
    };
    let (mut value, mut at) = (Vec::new(), 0);
    while at < quoted.len() && quoted[at] != b'"' {
        if quoted[at..].starts_with(b"\\\"") {
            at += 1;
        }
        value.push(quoted[at]);
        at += 1;
    }
    (value, quoted.get(at + 1..).unwrap_or_default())
}

/// `UTF-8'language'percent-encoded`
fn extended(value: &[u8]) -> Option<String> {
    let mut parts = std::str::from_utf8(value).ok()?.splitn(3, '\'');
    let (charset, _, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = decoded(encoded.as_bytes());
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

fn decoded(encoded: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(encoded.len()), encoded);
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| hex::decode(digits).ok()).filter(|_| *first == b'%');
        bytes.push(digits.as_ref().map_or(*first, |digits| digits[0]));
        rest = if digits.is_some() { &after[2..] } else { after };
    }
    bytes
}

/// Decodes UTF-8, or Latin-1 if it isn't UTF-8.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

/// The last part of a path, without characters that a header can't have.
fn sane(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let sane = |c: char| if c.is_control() || c == '"' { '_' } else { c };
    last.chars().take(SHORT_TEXT_MAX_CHARS).map(sane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_read_as_clients_send_them() {
        let name = |header: &str| uploaded(header.as_bytes());
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(name("form-data; name=\"file\"; filename=\"f.bin\""), some("f.bin"));
        assert_eq!(name("form-data; filename=f.bin ; name=file"), some("f.bin"));
        assert_eq!(name("form-data; name=\"file\"; filename=\"Прошивка 2.1.bin\""), some("Прошивка 2.1.bin"));
        assert_eq!(
            name("form-data; name=\"file\"; filename*=utf-8''Pr%C3%BCfung%20%E2%82%AC.bin"),
            some("Prüfung €.bin")
        );
        assert_eq!(name("form-data; FILENAME=\"plain.bin\"; filename*=UTF-8'en'%C3%BC.bin"), some("ü.bin"));
        assert_eq!(name("form-data; filename=\"plain.bin\"; filename*=klingon''x"), some("plain.bin"));
        assert_eq!(name("form-data; filename=\"a;b=\\\"c.bin\"; name=\"file\""), some("a;b=_c.bin"));
        assert_eq!(name("form-data; filename=\"C:\\x\\firmware_v2.1.0.bin\""), some("firmware_v2.1.0.bin"));
        assert_eq!(name("form-data; filename=\"../a/b\n.bin\""), some("b_.bin"));
        assert_eq!(uploaded(b"form-data; filename=\"\xfc.bin\""), some("\u{fc}.bin"));
        for none in
            ["form-data; name=\"file\"", "form-data", "", "form-data; filename=\"\"", "form-data; filename=\"a/..\""]
        {
            assert_eq!(name(none), None, "{none}");
        }
    }

    #[test]
    fn downloads_say_the_name_in_both_ways() {
        assert_eq!(attachment(Some("f 1.bin")), "attachment; filename=\"f 1.bin\"");
        let header = attachment(Some("Prüfung %.bin"));
        assert_eq!(header, "attachment; filename=\"Pr_fung _.bin\"; filename*=UTF-8''Pr%C3%BCfung%20%25.bin");
        assert_eq!(uploaded(header.as_bytes()).as_deref(), Some("Prüfung %.bin"));
        assert_eq!(attachment(None), "attachment; filename=\"firmware.bin\"");
    }
}
