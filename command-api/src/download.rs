//! `/d/{token}`: the bytes of a firmware. The link is the only credential.
//!
//! Needs only the event log (whether the firmware may be downloaded) and the store of the bytes. Replies are never compressed and always
//! have their length, so that devices can resume. Downloads are counted in memory (`counters`) and added to PostgreSQL each second
//! (`flush`).

mod body;
mod campaign;
mod counters;
mod flush;
mod model;
mod pieces;
mod proof;
mod ranges;
mod redirect;
mod serve;

pub(crate) use counters::Counters;
pub(crate) use flush::keep_flushing;
pub(crate) use model::DownloadsBody;
pub(crate) use proof::Proofs;
pub(crate) use serve::{__path_download, download};
