//! Where a browser goes after the sign-in: a path of this origin, never another one.

/// Longest path with its query, in bytes.
const PATH_MAX_BYTES: usize = 1_000;

/// The path, if it leads nowhere else. It is put after the origin, so only what a browser could read as another host is refused: a second
/// slash, a backslash, and what browsers leave out.
pub(super) fn local_path(path: &str) -> Option<&str> {
    let is_absolute = path.starts_with('/') && !path.starts_with("//");
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (is_absolute && is_plain && path.len() <= PATH_MAX_BYTES).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_origin_are_taken() {
        for right in ["/", "/console/", "/console/campaigns?status=running&x=//y#wave-2", "/a//b", "/@host"] {
            assert_eq!(local_path(right), Some(right));
        }
        let long = format!("/{}", "a".repeat(PATH_MAX_BYTES));
        for wrong in [
            "",
            "console",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "\t//evil.example",
            "/\n/evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "@evil.example",
            ".evil.example",
            ":80@evil.example",
            "/ü",
            "/a b",
            "/a\r\nSet-Cookie: x=y",
            long.as_str(),
        ] {
            assert_eq!(local_path(wrong), None, "{wrong:?}");
        }
    }
}
