//! Kinds of actors. A kind is part of an actor's name, so every record of the log says it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Actor, InvalidId};

/// Beginning of the name of a person.
const PERSON: &str = "user:";
/// Beginning of the name of an API key.
const KEY: &str = "key:";
/// Beginning of the name of a service account.
const SERVICE: &str = "service:";

/// Who acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    #[default]
    Person,
    /// An API key. It never decides for a person.
    Key,
    /// A service account, a device, or a part of Waybill.
    Service,
}

impl Actor {
    /// The actor that has this id among those of its kind.
    pub fn of(kind: ActorKind, id: &str) -> Result<Self, InvalidId> {
        let prefix = match kind {
            ActorKind::Person => PERSON,
            ActorKind::Key => KEY,
            ActorKind::Service => SERVICE,
        };
        Self::new(format!("{prefix}{id}"))
    }

    pub fn kind(&self) -> ActorKind {
        match self.as_str() {
            name if name.starts_with(PERSON) => ActorKind::Person,
            name if name.starts_with(KEY) => ActorKind::Key,
            _ => ActorKind::Service,
        }
    }

    /// Its name without its kind. An API key may have the id of the person who uses it.
    pub fn id(&self) -> &str {
        let name = self.as_str();
        [PERSON, KEY, SERVICE].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
    }
}

/// An actor that is a person. Commands that only people may send take one, so no other actor can send them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Actor", into = "Actor")]
pub struct Person(Actor);

/// The actor isn't a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} isn't a person")]
pub struct NotAPerson(pub Actor);

impl Person {
    pub fn actor(&self) -> &Actor {
        &self.0
    }
}

impl TryFrom<Actor> for Person {
    type Error = NotAPerson;

    fn try_from(actor: Actor) -> Result<Self, NotAPerson> {
        match actor.kind() {
            ActorKind::Person => Ok(Self(actor)),
            ActorKind::Key | ActorKind::Service => Err(NotAPerson(actor)),
        }
    }
}

impl From<Person> for Actor {
    fn from(person: Person) -> Self {
        person.0
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_person_is_a_person() {
        for kind in [ActorKind::Person, ActorKind::Key, ActorKind::Service] {
            let actor = Actor::of(kind, "42").unwrap();
            assert_eq!((actor.kind(), actor.id()), (kind, "42"));
            assert_eq!(Person::try_from(actor).is_ok(), kind == ActorKind::Person);
        }
        for name in ["device", "process-manager:rollout", "keyring", "user"] {
            let actor = Actor::new(name).unwrap();
            assert_eq!((actor.kind(), actor.id()), (ActorKind::Service, name));
        }
        assert!(serde_json::from_str::<Person>("\"key:user:42\"").is_err());
        assert_eq!(serde_json::from_str::<Person>("\"user:42\"").unwrap().to_string(), "user:42");
    }
}
