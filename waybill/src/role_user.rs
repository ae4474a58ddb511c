//! The users of nats.conf in account WAYBILL that may do what one role needs, and no more (ADR 49).
//!
//! A connection has the name of the user that its process should have, because that user may subscribe only to inboxes of that name. User
//! `waybill`, who may do what all of them may, can use any name.

use crate::config::Role;

/// User of nats.conf for processes with all roles; also the name of their connection.
pub const ALL_ROLES: &str = "waybill";

/// A user for one role of `waybill serve`, or for commands that people run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleUser {
    Api,
    Projections,
    ProcessManagers,
    Bridge,
    /// `waybill replay`, `waybill rebuild`, `waybill projections`.
    Reader,
    /// `waybill secrets`.
    Secrets,
}

impl RoleUser {
    pub const ALL: [Self; 6] =
        [Self::Api, Self::Projections, Self::ProcessManagers, Self::Bridge, Self::Reader, Self::Secrets];

    /// Its name, and its password in nats.conf.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "waybill-api",
            Self::Projections => "waybill-projections",
            Self::ProcessManagers => "waybill-process-managers",
            Self::Bridge => "waybill-bridge",
            Self::Reader => "waybill-reader",
            Self::Secrets => "waybill-secrets",
        }
    }

    /// The mark of its line in nats.conf.
    pub(crate) fn mark(self) -> String {
        format!("user_{}", self.name().replace('-', "_"))
    }
}

/// Name of the connection of a process.
pub(crate) fn connection_name(role: Role) -> &'static str {
    match role {
        Role::All => ALL_ROLES,
        Role::Api => RoleUser::Api.name(),
        Role::Projections => RoleUser::Projections.name(),
        Role::ProcessManagers => RoleUser::ProcessManagers.name(),
        Role::Bridge => RoleUser::Bridge.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nats_conf_has_each_user_with_an_inbox_of_its_own() {
        let conf = include_str!("../../nats.conf");
        for user in RoleUser::ALL {
            let name = user.name();
            let line = format!("user: {name}, password: \"{name}\" #@ {}", user.mark());
            assert!(conf.contains(&line), "{line}");
            assert!(conf.contains(&format!("subscribe {{ allow: \"_INBOX_{name}.>\" }}")), "{name}");
            let listed = conf.split_once("auth_users: [").unwrap().1;
            assert!(listed.split([' ', ',', '\n']).any(|listed| listed == name), "auth_users lacks {name}");
        }
    }
}
