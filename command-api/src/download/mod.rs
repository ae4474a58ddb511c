//! `/d/{token}`: the bytes of a firmware, for whoever holds the link.
//!
//! Needs the event log (is the firmware still given out?) and the store of the bytes, nothing else. Never compressed, always with its
//! length, so that devices can resume.

mod body;
mod ranges;
mod serve;

pub(crate) use serve::{__path_download, download};
