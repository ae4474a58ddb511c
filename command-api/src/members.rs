//! Members: what actors may do in the tenant, beside what their tokens say.

mod change;
mod get;
mod model;

pub(crate) use change::{__path_grant_member, __path_remove_member, grant_member, remove_member};
pub(crate) use get::{
    __path_get_member, __path_list_members, __path_member_history, get_member, list_members, member_history,
};
