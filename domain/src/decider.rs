//! The trait of all aggregates: a pure decision over the state that its own events left.
//!
//! The traits of `cqrs-es` are implemented on top (`aggregate!` writes the three-line adapter), so its test framework and its repositories
//! work with our aggregates; `decide` itself does not depend on them.

use std::fmt::Display;
use std::hash::Hash;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;
use crate::thread::{Aim, Point, Step, Thread};

/// A command with the time at which it is decided: the domain has no clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed<C> {
    pub now: DateTime<Utc>,
    pub command: C,
}

/// Stable names and schema versions of an event enum, for the log. Written by [`event_types!`](crate::event_types).
pub trait EventTypes: cqrs_es::DomainEvent {
    /// Every event type of this aggregate with the schema version written today.
    const TYPES: &'static [(&'static str, u16)];

    /// Schema version of this event, as written today.
    fn schema_version(&self) -> u16;
}

/// The commands of an aggregate, without the time that [`Timed`] adds.
pub type CommandOf<A> = <A as Decider>::Command;

/// An aggregate whose rules are one pure function.
pub trait Decider:
    cqrs_es::Aggregate<Command = Timed<CommandOf<Self>>, Error = Rejection, Services = (), Event: EventTypes>
    + Clone
    + 'static
{
    /// The commands of this aggregate. Serialized to tell a repeated command from another one with the same id.
    type Command: Clone + Serialize + Send + Sync + 'static;
    /// The id's type; its text is a literal subject token.
    type Id: Display + Clone + Eq + Hash + Send + Sync + 'static;

    /// Event types whose latest time is kept with the state, for replies.
    const DATED: &'static [&'static str] = &[];

    /// The events that follow from the command, or why the rules refuse it. No events when the command is already true.
    fn decide(&self, now: DateTime<Utc>, command: &CommandOf<Self>) -> Result<Vec<Self::Event>, Rejection>;

    /// Whether a command changes the work of others. Its sender should give a reason for the history.
    fn wants_reason(_command: &CommandOf<Self>) -> bool {
        false
    }

    /// Whether any event has been applied.
    fn exists(&self) -> bool;

    /// The thread that an event belongs to, if any.
    fn step_of(_event: &Self::Event) -> Option<Step> {
        None
    }

    /// The points in threads that an event marks, given the state before it.
    fn points_of(&self, _event: &Self::Event) -> Vec<(Thread, Point)> {
        Vec::new()
    }

    /// The threads that a command is meant for.
    fn aim_of(&self, _command: &CommandOf<Self>) -> Aim {
        Aim::any()
    }

    /// Whether further events may follow in a thread. Threads without further events are forgotten.
    fn knows_thread(&self, _thread: Thread) -> bool {
        true
    }
}

/// Implements `cqrs_es::Aggregate` for a [`Decider`] whose type has an inherent `fn apply(&mut self, &Event)`.
#[macro_export]
macro_rules! aggregate {
    ($state:ty, $kind:literal, $command:ty, $event:ty) => {
        impl cqrs_es::Aggregate for $state {
            const TYPE: &'static str = $kind;
            type Command = $crate::Timed<$command>;
            type Event = $event;
            type Error = $crate::Rejection;
            type Services = ();

            async fn handle(
                &mut self,
                command: Self::Command,
                _services: &(),
                sink: &cqrs_es::event_sink::EventSink<Self>,
            ) -> Result<(), Self::Error> {
                for event in $crate::Decider::decide(self, command.now, &command.command)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: Self::Event) {
                self.apply(&event);
            }
        }
    };
}

/// Implements `cqrs_es::DomainEvent` from a table of `variant => "stable.name", schema version`.
#[macro_export]
macro_rules! event_types {
    ($event:ident { $($variant:ident => $name:literal v $schema:literal),+ $(,)? }) => {
        impl $event {
            /// Every event type of this aggregate with the schema version written today.
            pub const TYPES: &'static [(&'static str, u16)] = &[$(($name, $schema)),+];

            /// Stable name, as in the log.
            pub fn type_name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $name),+ }
            }

            /// Schema version written today.
            pub fn schema(&self) -> u16 {
                match self { $(Self::$variant { .. } => $schema),+ }
            }
        }

        impl $crate::decider::EventTypes for $event {
            const TYPES: &'static [(&'static str, u16)] = $event::TYPES;

            fn schema_version(&self) -> u16 {
                self.schema()
            }
        }

        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                self.type_name().to_owned()
            }
            fn event_version(&self) -> String {
                self.schema().to_string()
            }
        }
    };
}
