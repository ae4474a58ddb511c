//! Documents of a firmware: add, replace, list, read and remove them.

mod add;
mod contents;
mod get;
mod incoming;
mod list;
mod model;
mod remove;
mod slots;
mod stored;

pub(crate) use add::{__path_add_document, add_document};
pub(crate) use contents::keep_reading;
pub(crate) use get::{__path_get_document, get_document};
pub(crate) use list::{__path_list_documents, list_documents};
pub(crate) use remove::{__path_remove_document, remove_document};
pub(crate) use slots::DocumentSlots;
pub(super) use stored::sweep;

/// Largest body with a document, in bytes.
pub(crate) const BODY_MAX_BYTES: usize = documents::limits::DOCUMENT_MAX_BYTES + 64 * 1024;
