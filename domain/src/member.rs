//! The Member aggregate: what an actor may do in the tenant, beside what their token says.
//!
//! A grant may be limited to devices of groups, or to the actor's own devices. Roles are words; what each allows is the API's matter.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::campaign::Violation;
use crate::decider::Decider;
use crate::ids::{Actor, GroupId, MemberId};
use crate::rejection::Rejection;

/// Most grants of a member.
pub const GRANTS_MAX: usize = 16;
/// Most groups of a grant.
pub const GRANT_GROUPS_MAX: usize = 50;
/// Longest name of a role, in bytes.
pub const ROLE_MAX_BYTES: usize = 32;

/// A role, and for which devices it holds: without groups and `own` for the whole tenant, otherwise for both together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub role: String,
    /// Devices of these groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupId>,
    /// Devices whose owner is the member.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
}

impl Grant {
    /// Whether it holds for some devices only.
    pub fn is_limited(&self) -> bool {
        self.own || !self.groups.is_empty()
    }
}

/// All violations, in the order of the grants.
pub fn violations(grants: &[Grant]) -> Vec<Violation> {
    let mut found = Vec::new();
    if grants.is_empty() || grants.len() > GRANTS_MAX {
        found.push(("grants".to_owned(), format!("1 to {GRANTS_MAX} grants")));
    }
    for (index, grant) in grants.iter().take(GRANTS_MAX).enumerate() {
        if !is_role(&grant.role) {
            found.push((format!("grants[{index}].role"), format!("1 to {ROLE_MAX_BYTES} of a to z and _")));
        }
        if grant.groups.len() > GRANT_GROUPS_MAX {
            found.push((format!("grants[{index}].groups"), format!("at most {GRANT_GROUPS_MAX} groups")));
        }
    }
    found
}

fn is_role(text: &str) -> bool {
    (1..=ROLE_MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum MemberEvent {
    /// The grants replace those before.
    #[serde(rename = "member.granted")]
    Granted { member: Actor, grants: Vec<Grant> },
    #[serde(rename = "member.removed")]
    Removed {},
}

crate::event_types!(MemberEvent {
    Granted => "member.granted" v 1,
    Removed => "member.removed" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum MemberCommand {
    Grant { member: Actor, grants: Vec<Grant> },
    Remove,
}

/// State of a member.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub member: Option<Actor>,
    /// Empty after the removal.
    pub grants: Vec<Grant>,
    /// How often they were removed.
    #[serde(default)]
    pub removals: u64,
}

crate::aggregate!(Member, "member", MemberCommand, MemberEvent);

impl Member {
    pub fn apply(&mut self, event: &MemberEvent) {
        match event {
            MemberEvent::Granted { member, grants } => {
                (self.member, self.grants) = (Some(member.clone()), grants.clone());
            }
            MemberEvent::Removed {} => {
                self.grants.clear();
                self.removals += 1;
            }
        }
    }

    /// Whether the actor has grants now.
    pub fn is_active(&self) -> bool {
        !self.grants.is_empty()
    }
}

impl Decider for Member {
    type Command = MemberCommand;
    type Id = MemberId;

    fn wants_reason(_: &MemberCommand) -> bool {
        true
    }

    fn decide(&self, _now: DateTime<Utc>, command: &MemberCommand) -> Result<Vec<MemberEvent>, Rejection> {
        match command {
            MemberCommand::Grant { grants, .. } if *grants == self.grants => Ok(vec![]),
            MemberCommand::Grant { member, grants } => {
                if let Some((field, reason)) = violations(grants).into_iter().next() {
                    return Err(Rejection::Invalid { field, reason });
                }
                Ok(vec![MemberEvent::Granted { member: member.clone(), grants: grants.clone() }])
            }
            MemberCommand::Remove if self.member.is_none() => Err(Rejection::MemberUnknown),
            MemberCommand::Remove if !self.is_active() => Ok(vec![]),
            MemberCommand::Remove => Ok(vec![MemberEvent::Removed {}]),
        }
    }

    fn exists(&self) -> bool {
        self.member.is_some()
    }
}
