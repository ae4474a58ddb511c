//! The name of a stored event, read without the rest.

use std::borrow::Cow;

use serde::Deserialize;

pub(crate) fn name_of(event: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Tag<'a> {
        #[serde(borrow, rename = "type")]
        name: Cow<'a, str>,
    }
    serde_json::from_str(event).ok().map(|Tag { name }| name)
}
