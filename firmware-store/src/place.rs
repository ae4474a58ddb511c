//! The URL of a store.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// The parameter that names a file with settings.
const SETTINGS: &str = "settings";

/// Kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    S3,
    Google,
    Azure,
}

/// Where a store is: `file:///directory`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`, with `?settings=FILE` if its
/// settings are in a file. Shown without the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(crate) kind: Kind,
    pub(crate) url: Url,
    pub(crate) settings: Option<PathBuf>,
}

/// Why a URL names no store. The URL isn't repeated: it could have a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error(
        "isn't a URL: file:///directory, s3://bucket, gs://bucket and az://container are, each with a prefix if you like"
    )]
    NoUrl,
    #[error("has another scheme than file, s3, gs and az")]
    Scheme,
    #[error("names no bucket")]
    NoBucket,
    #[error("has a user or password: set them in the environment, or in the file that ?settings= names")]
    Credentials,
    #[error("has another parameter than ?settings=FILE")]
    Parameter,
}

impl Place {
    /// A directory on this machine. The path is absolute.
    pub fn directory(path: &std::path::Path) -> Result<Self, PlaceError> {
        let url = Url::from_file_path(path).map_err(|()| PlaceError::NoUrl)?;
        Ok(Self { kind: Kind::Directory, url, settings: None })
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let mut url = Url::parse(text).map_err(|_| PlaceError::NoUrl)?;
        let kind = match url.scheme() {
            "file" => Kind::Directory,
            "s3" => Kind::S3,
            "gs" => Kind::Google,
            "az" => Kind::Azure,
            _ => return Err(PlaceError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(PlaceError::Credentials);
        }
        if (kind == Kind::Directory) == url.host_str().is_some_and(|host| !host.is_empty()) {
            return Err(PlaceError::NoBucket);
        }
        let mut settings = None;
        for (name, value) in url.query_pairs() {
            if name != SETTINGS || settings.replace(PathBuf::from(value.as_ref())).is_some() {
                return Err(PlaceError::Parameter);
            }
        }
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self { kind, url, settings })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_stores() {
        for (text, kind) in [
            ("file:///var/lib/waybill/firmware", Kind::Directory),
            ("s3://bucket", Kind::S3),
            ("gs://bucket/a/b", Kind::Google),
            ("az://container/a", Kind::Azure),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!((place.kind, place.to_string().as_str()), (kind, text));
        }
        let place: Place = "s3://bucket/a?settings=/etc/waybill/s3.env".parse().unwrap();
        assert_eq!((place.to_string().as_str(), place.settings), ("s3://bucket/a", Some("/etc/waybill/s3.env".into())));
    }

    #[test]
    fn no_other_text_does_and_none_is_repeated() {
        for (text, error) in [
            ("", PlaceError::NoUrl),
            ("/var/lib/waybill", PlaceError::NoUrl),
            ("http://geheim", PlaceError::Scheme),
            ("s3://", PlaceError::NoBucket),
            ("s3:///geheim", PlaceError::NoBucket),
            ("file://geheim/a", PlaceError::NoBucket),
            ("s3://key:geheim@bucket", PlaceError::Credentials),
            ("s3://bucket?secret=geheim", PlaceError::Parameter),
            ("s3://bucket?settings=a&settings=geheim", PlaceError::Parameter),
        ] {
            let found = text.parse::<Place>().unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("geheim"));
        }
    }
}
