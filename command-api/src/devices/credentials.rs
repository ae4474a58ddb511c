//! Credentials of a device: issue, list, revoke. All of them work on the aggregate, so without PostgreSQL.

mod issue;
mod list;
mod model;
mod revoke;

pub(crate) use issue::{__path_issue_credential, issue_credential};
pub(crate) use list::{__path_list_credentials, list_credentials};
pub(crate) use model::MqttLogin;
pub(crate) use revoke::{__path_revoke_credential, revoke_credential};
