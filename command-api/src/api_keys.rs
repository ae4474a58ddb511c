//! API keys: issue, list, read, revoke, and the caller that a key stands for.

mod get;
mod issue;
mod known;
mod last_uses;
mod list;
mod model;
mod revoke;

pub(crate) use get::{__path_get_api_key, get_api_key};
pub(crate) use issue::{__path_issue_api_key, issue_api_key};
pub(crate) use known::KnownKeys;
pub(crate) use last_uses::keep_storing;
pub(crate) use list::{__path_list_api_keys, list_api_keys};
pub(crate) use revoke::{__path_revoke_api_key, revoke_api_key};
