//! Shared by all endpoints: problems, extractors, replies, cursors, positions.

pub(crate) mod body;
mod command_headers;
mod command_request;
pub(crate) mod commands;
pub(crate) mod cursor;
mod direction;
pub(crate) mod form;
pub(crate) mod guard;
pub(crate) mod history;
mod json;
pub(crate) mod observe;
pub(crate) mod outcomes;
pub(crate) mod own_writes;
pub(crate) mod paging;
pub(crate) mod parameters;
pub(crate) mod past;
pub(crate) mod path;
pub(crate) mod position;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod reply;
mod request_digest;
pub(crate) mod security_headers;
mod why_not;

pub(crate) use body::{Body, Patch};
pub(crate) use command_headers::single as single_header;
pub(crate) use command_request::{CommandRequest, UnreadCommand};
pub(crate) use commands::{Done, Envelope};
pub(crate) use direction::{Direction, HistoryOrder};
pub(crate) use paging::{List, PageParams, Paging};
pub(crate) use path::Path;
pub(crate) use position::{MinPosition, PositionParams, ReadOfOne};
pub(crate) use problem::{FieldError, Problem};
pub(crate) use query::{FilterSet, Filters, NoFilters};
pub(crate) use reply::Reply;
pub(crate) use why_not::{RefusalBody, WhyNot, why_not};
