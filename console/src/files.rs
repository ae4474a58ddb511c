//! The built files.

use std::borrow::Cow;

use rust_embed::RustEmbed;

/// What `make console` has built.
#[derive(RustEmbed)]
#[folder = "dist"]
#[allow_missing = true]
struct Built;

/// A file to send.
pub(crate) struct Found {
    pub(crate) bytes: Cow<'static, [u8]>,
    pub(crate) media_type: &'static str,
    pub(crate) is_gzip: bool,
}

/// A built file; compressed if the browser takes that and the build made it. Files that the console doesn't have a type for aren't served.
pub(crate) fn find(path: &str, takes_gzip: bool) -> Option<Found> {
    let media_type = media_type(path)?;
    if takes_gzip && let Some(file) = Built::get(&format!("{path}.gz")) {
        return Some(Found { bytes: file.data, media_type, is_gzip: true });
    }
    Built::get(path).map(|file| Found { bytes: file.data, media_type, is_gzip: false })
}

fn media_type(path: &str) -> Option<&'static str> {
    let types = [
        (".html", "text/html; charset=utf-8"),
        (".js", "text/javascript; charset=utf-8"),
        (".css", "text/css; charset=utf-8"),
        (".svg", "image/svg+xml"),
        (".txt", "text/plain; charset=utf-8"),
    ];
    types.into_iter().find(|(end, _)| path.ends_with(end)).map(|(_, media_type)| media_type)
}
