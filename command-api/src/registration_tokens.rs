//! Registration tokens: issue, read, revoke. There is no list of them, because there is no read model.

mod get;
mod issue;
mod model;
mod revoke;

pub(crate) use get::{__path_get_registration_token, get_registration_token};
pub(crate) use issue::{__path_issue_registration_token, issue_registration_token};
pub(crate) use revoke::{__path_revoke_registration_token, revoke_registration_token};
