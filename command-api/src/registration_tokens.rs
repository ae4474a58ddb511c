//! Registration tokens: issue, list, read, revoke.

mod get;
mod issue;
mod list;
mod model;
mod revoke;

pub(crate) use get::{__path_get_registration_token, get_registration_token};
pub(crate) use issue::{__path_issue_registration_token, issue_registration_token};
pub(crate) use list::{__path_list_registration_tokens, list_registration_tokens};
pub(crate) use revoke::{__path_revoke_registration_token, revoke_registration_token};
