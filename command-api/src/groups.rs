//! Groups of devices: static ones with members, dynamic ones with a saved filter.

mod amend;
mod change_members;
mod create;
mod delete;
mod get;
mod history;
mod list;
mod members;
mod model;

pub(crate) use amend::{__path_amend_group, __path_replace_group, amend_group, replace_group};
pub(crate) use change_members::{__path_add_members, __path_remove_members, add_members, remove_members};
pub(crate) use create::{__path_create_group, create_group};
pub(crate) use delete::{__path_delete_group, delete_group};
pub(crate) use get::{__path_get_group, get_group};
pub(crate) use history::{__path_group_history, group_history};
pub(crate) use list::{__path_list_groups, list_groups};
pub(crate) use members::{__path_group_members, group_members};
