//! Packages as package URLs name them (purl-spec): compared by type, namespace, name and version, each by the rules of the type.

use std::str::FromStr;

use packageurl::PackageUrl;

use crate::limits::{KEPT_TEXT_MAX_BYTES, PACKAGE_MAX_BYTES};

/// A package, with or without a version. Qualifiers and subpath say where it comes from, so they are not compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Package {
    /// `pkg:type/namespace/name`, in the canonical form.
    pub name: String,
    pub version: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a package URL such as pkg:npm/%40scope/name@1.2.3, of at most {KEPT_TEXT_MAX_BYTES} bytes")]
pub struct InvalidPackage;

impl FromStr for Package {
    type Err = InvalidPackage;

    fn from_str(text: &str) -> Result<Self, InvalidPackage> {
        if text.len() > KEPT_TEXT_MAX_BYTES || text.chars().any(char::is_control) {
            return Err(InvalidPackage);
        }
        let mut url = PackageUrl::from_str(text).map_err(|_| InvalidPackage)?;
        let version = url.version().map(str::to_owned);
        url.without_version().clear_qualifiers().without_subpath();
        let name = url.to_string();
        let is_printable = |text: &str| !text.chars().any(char::is_control);
        let is_kept =
            is_printable(&name) && version.as_deref().is_none_or(is_printable) && name.len() <= PACKAGE_MAX_BYTES;
        if is_kept { Ok(Self { name, version }) } else { Err(InvalidPackage) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(text: &str) -> Package {
        text.parse().unwrap()
    }

    #[test]
    fn packages_are_the_same_by_the_rules_of_their_type() {
        for (one, other) in [
            ("pkg:npm/%40Scope/Name@1.0.0", "pkg:npm/@Scope/name@1.0.0?checksum=x#sub/path"),
            ("pkg:pypi/Flask_Login@1", "pkg:PYPI/flask-login@1"),
            ("pkg:github/Acme/Lib@v1", "pkg:github/acme/lib@v1"),
            ("pkg:deb/Debian/OpenSSL@3.0.1-1?arch=arm64", "pkg:deb/debian/openssl@3.0.1-1?arch=amd64"),
            ("pkg:generic/openssl@1%2B2", "pkg:generic/openssl@1+2"),
        ] {
            assert_eq!(package(one), package(other), "{one} {other}");
        }
        assert_ne!(package("pkg:cargo/Serde@1"), package("pkg:cargo/serde@1"), "names of cargo differ by case");
        assert_ne!(package("pkg:npm/a@1"), package("pkg:npm/a@2"));
        assert_eq!(package("pkg:npm/%40a/b@1").name, "pkg:npm/%40a/b");
    }

    #[test]
    fn other_texts_are_no_package_urls() {
        for text in
            ["", "npm/a@1", "pkg:", "pkg:npm", "pkg:npm/", "pkg:/a", "https://a/b", "pkg:npm/a\u{0}b", "pkg:npm/%ff"]
        {
            assert_eq!(text.parse::<Package>(), Err(InvalidPackage), "{text:?}");
        }
        assert!(format!("pkg:npm/{}", "a".repeat(KEPT_TEXT_MAX_BYTES)).parse::<Package>().is_err());
        let grows = format!("pkg:generic/{}", "é".repeat(500));
        assert!(
            grows.len() <= KEPT_TEXT_MAX_BYTES && grows.parse::<Package>().is_err(),
            "its canonical form is too long"
        );
    }
}
