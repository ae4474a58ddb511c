//! The audit: all events of a tenant, listed and exported from the archive, always up to a stated position.

mod csv;
mod export;
mod facets;
mod filters;
mod item;
mod list;
mod slots;

pub(crate) use export::{__path_export_audit, export_audit};
pub(crate) use facets::{__path_audit_facets, __path_audit_types, audit_facets, audit_types};
pub(crate) use list::{__path_list_audit, list_audit};
pub(crate) use slots::ExportSlots;
