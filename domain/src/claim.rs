//! The owner of a unique value. Each value is an aggregate, so optimistic concurrency decides races without a database.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decider::Decider;
use crate::rejection::Rejection;

/// Seconds after which a claim may be taken over when its owner does not refer to it.
pub const TAKE_OVER_AFTER_S: i64 = 60;
/// Longest value that stands in an id as it is, in bytes; longer ones are hashed.
const LITERAL_MAX_BYTES: usize = 64;

/// Kinds of values that are unique in a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimKind {
    LorawanDevEui,
    /// A resource that a client created under an idempotency key.
    IdempotencyKey,
    /// The EUI of a device that takes part in a FUOTA deployment, which owns the claim.
    FuotaSession,
}

/// `{kind}-{value}`, or a hash of the value where it is no literal subject token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimId(String);

impl ClaimId {
    pub fn new(kind: ClaimKind, value: &str) -> Self {
        let kind = match kind {
            ClaimKind::LorawanDevEui => "dev_eui",
            ClaimKind::IdempotencyKey => "idem",
            ClaimKind::FuotaSession => "fuota",
        };
        let literal = !value.is_empty()
            && value.len() <= LITERAL_MAX_BYTES
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if literal {
            Self(format!("{kind}-{value}"))
        } else {
            Self(format!("{kind}-{}", hex::encode(Sha256::digest(value))))
        }
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ClaimEvent {
    #[serde(rename = "claim.made")]
    Made { owner: String, at: DateTime<Utc> },
    #[serde(rename = "claim.taken_over")]
    TakenOver { owner: String, from: String, at: DateTime<Utc> },
    #[serde(rename = "claim.released")]
    Released { owner: String },
}

crate::event_types!(ClaimEvent {
    Made => "claim.made" v 1,
    TakenOver => "claim.taken_over" v 1,
    Released => "claim.released" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum ClaimCommand {
    Make {
        owner: String,
    },
    /// The caller has checked that `from` does not refer to the claim.
    TakeOver {
        owner: String,
        from: String,
    },
    Release {
        owner: String,
    },
}

/// State of a claim.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    exists: bool,
    owner: Option<(String, DateTime<Utc>)>,
}

crate::aggregate!(Claim, "claim", ClaimCommand, ClaimEvent);

impl Claim {
    /// Who owns the value.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_ref().map(|(owner, _)| owner.as_str())
    }

    pub fn apply(&mut self, event: &ClaimEvent) {
        self.exists = true;
        self.owner = match event {
            ClaimEvent::Made { owner, at } | ClaimEvent::TakenOver { owner, at, .. } => Some((owner.clone(), *at)),
            ClaimEvent::Released { .. } => None,
        };
    }
}

impl Decider for Claim {
    type Command = ClaimCommand;
    type Id = ClaimId;

    fn decide(&self, now: DateTime<Utc>, command: &ClaimCommand) -> Result<Vec<ClaimEvent>, Rejection> {
        let taken = |owner: &str| Err(Rejection::ClaimTaken { owner: owner.to_owned() });
        match (&self.owner, command) {
            (None, ClaimCommand::Make { owner } | ClaimCommand::TakeOver { owner, .. }) => {
                Ok(vec![ClaimEvent::Made { owner: owner.clone(), at: now }])
            }
            (Some((present, _)), ClaimCommand::Make { owner }) if present == owner => Ok(vec![]),
            (Some((present, _)), ClaimCommand::Make { .. }) => taken(present),
            (Some((present, _)), ClaimCommand::TakeOver { owner, .. }) if present == owner => Ok(vec![]),
            (Some((present, at)), ClaimCommand::TakeOver { owner, from }) => {
                if present == from && now - *at >= TimeDelta::seconds(TAKE_OVER_AFTER_S) {
                    Ok(vec![ClaimEvent::TakenOver { owner: owner.clone(), from: from.clone(), at: now }])
                } else {
                    taken(present)
                }
            }
            (Some((present, _)), ClaimCommand::Release { owner }) if present == owner => {
                Ok(vec![ClaimEvent::Released { owner: owner.clone() }])
            }
            (_, ClaimCommand::Release { .. }) => Ok(vec![]),
        }
    }

    fn exists(&self) -> bool {
        self.exists
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(owner: &str) -> Claim {
        let mut claim = Claim::default();
        claim.apply(&ClaimEvent::Made { owner: owner.into(), at: DateTime::UNIX_EPOCH });
        claim
    }

    #[test]
    fn the_first_owner_keeps_the_value() {
        let command = ClaimCommand::Make { owner: "d-2".into() };
        assert_eq!(
            made("d-1").decide(DateTime::UNIX_EPOCH, &command),
            Err(Rejection::ClaimTaken { owner: "d-1".into() })
        );
        let same = ClaimCommand::Make { owner: "d-1".into() };
        assert_eq!(made("d-1").decide(DateTime::UNIX_EPOCH, &same), Ok(vec![]));
    }

    #[test]
    fn an_unused_claim_is_taken_over_only_after_its_minimum_age() {
        let command = ClaimCommand::TakeOver { owner: "d-2".into(), from: "d-1".into() };
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        assert!(made("d-1").decide(at(59), &command).is_err());
        assert_eq!(made("d-1").decide(at(60), &command).unwrap().len(), 1);
    }

    #[test]
    fn values_that_are_no_tokens_are_hashed() {
        assert_eq!(ClaimId::new(ClaimKind::LorawanDevEui, "0102").to_string(), "dev_eui-0102");
        assert!(!ClaimId::new(ClaimKind::LorawanDevEui, "a.b").to_string().contains('.'));
    }
}
