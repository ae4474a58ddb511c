//! The text that a firmware's signature is over.

use std::fmt;

use domain::values::Sha256Digest;

/// The scheme's name in commands and metadata, and the first line of the text.
pub const MANIFEST_SCHEME: &str = "waybill-manifest-v1";

/// What a signature says: these bytes are this version of this component for this model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest<'a> {
    device_model: &'a str,
    component: &'a str,
    version: &'a str,
    /// Bytes.
    size: u64,
    sha256: Sha256Digest,
}

impl<'a> Manifest<'a> {
    /// None if a text has a line break or another control character: two manifests would have the same text.
    pub fn new(
        device_model: &'a str,
        component: &'a str,
        version: &'a str,
        size: u64,
        sha256: Sha256Digest,
    ) -> Option<Self> {
        let is_line = |text: &str| !text.is_empty() && !text.contains(char::is_control);
        let are_lines = [device_model, component, version].into_iter().all(is_line);
        are_lines.then_some(Self { device_model, component, version, size, sha256 })
    }
}

impl fmt::Display for Manifest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_model, component, version, size, sha256 } = self;
        write!(f, "{MANIFEST_SCHEME}\n{device_model}\n{component}\n{version}\n{size}\n{sha256}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_the_device_protocol() {
        let manifest = Manifest::new("SF-2024-Pro", "firmware", "2.1.0", 3, Sha256Digest::of(b"one")).unwrap();
        let sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        let text = format!("waybill-manifest-v1\nSF-2024-Pro\nfirmware\n2.1.0\n3\n{sha256}\n");
        assert_eq!(manifest.to_string(), text);
    }

    #[test]
    fn no_text_can_reach_into_the_next_line() {
        let digest = Sha256Digest::of(b"");
        assert_eq!(Manifest::new("M\nfirmware", "x", "1", 0, digest), None);
        assert_eq!(Manifest::new("M", "", "1", 0, digest), None);
        assert_eq!(Manifest::new("M", "firmware", "1\r", 0, digest), None);
    }
}
