//! `/d/{token}`: the bytes of a firmware, for whoever holds the link.
//!
//! Needs the event log (is the firmware still given out?) and the store of the bytes, nothing else. Never compressed, always with its
//! length, so that devices can resume. Downloads are counted in memory (`counters`) and added to PostgreSQL each second (`flush`).

mod body;
mod campaign;
mod counters;
mod flush;
mod model;
mod ranges;
mod serve;

pub(crate) use counters::Counters;
pub(crate) use flush::keep_flushing;
pub(crate) use model::DownloadsBody;
pub(crate) use serve::{__path_download, download};
