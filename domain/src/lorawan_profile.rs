//! The LorawanProfile aggregate: what a tenant's ChirpStack says of a device profile. It decides which images can be sent to its devices, and
//! how long that takes.
//!
//! Recorded, so that plans, forecasts and exclusions need no call to ChirpStack and can be explained later.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::decider::Decider;
use crate::ids::DeviceProfileId;
use crate::lorawan::Region;
use crate::rejection::Rejection;

/// What is known of a device profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileFacts {
    /// None: a region that this program doesn't know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Seconds between two uplinks; 0 if the profile has none.
    pub uplink_interval_s: u32,
    /// The devices have TS004, fragmented data blocks.
    pub fragmentation: bool,
    /// The devices have TS005, remote multicast set-up.
    pub multicast: bool,
}

impl ProfileFacts {
    /// Whether whole images can be sent to devices of the profile.
    pub fn takes_images(&self) -> bool {
        self.fragmentation && self.multicast && self.region.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum LorawanProfileEvent {
    /// The profile was read for the first time, or says something else than before.
    #[serde(rename = "lorawan_profile.observed")]
    Observed { facts: ProfileFacts },
}

crate::event_types!(LorawanProfileEvent { Observed => "lorawan_profile.observed" v 1 });

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum LorawanProfileCommand {
    Observe { facts: ProfileFacts },
}

/// State of a profile: what was observed last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LorawanProfile {
    pub facts: Option<ProfileFacts>,
}

crate::aggregate!(LorawanProfile, "lorawan_profile", LorawanProfileCommand, LorawanProfileEvent);

impl LorawanProfile {
    pub fn apply(&mut self, event: &LorawanProfileEvent) {
        let LorawanProfileEvent::Observed { facts } = event;
        self.facts = Some(*facts);
    }
}

impl Decider for LorawanProfile {
    type Command = LorawanProfileCommand;
    type Id = DeviceProfileId;

    fn decide(
        &self,
        _now: DateTime<Utc>,
        command: &LorawanProfileCommand,
    ) -> Result<Vec<LorawanProfileEvent>, Rejection> {
        let LorawanProfileCommand::Observe { facts } = command;
        let is_known = self.facts.as_ref() == Some(facts);
        Ok(if is_known { vec![] } else { vec![LorawanProfileEvent::Observed { facts: *facts }] })
    }

    fn exists(&self) -> bool {
        self.facts.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_profile_that_says_something_else_is_recorded() {
        let facts =
            ProfileFacts { region: Some(Region::Eu868), uplink_interval_s: 60, fragmentation: true, multicast: true };
        let observe = |facts| LorawanProfileCommand::Observe { facts };
        let mut profile = LorawanProfile::default();
        let events = profile.decide(DateTime::UNIX_EPOCH, &observe(facts)).unwrap();
        assert_eq!(events.len(), 1);
        profile.apply(&events[0]);
        assert!(profile.decide(DateTime::UNIX_EPOCH, &observe(facts)).unwrap().is_empty());
        let other = ProfileFacts { multicast: false, ..facts };
        assert_eq!(profile.decide(DateTime::UNIX_EPOCH, &observe(other)).unwrap().len(), 1);
        assert!(facts.takes_images() && !other.takes_images());
    }
}
