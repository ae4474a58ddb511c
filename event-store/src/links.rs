//! Correlation and cause of a command's events, computed when they are stored.

use std::collections::BTreeMap;

use domain::thread::{StepKind, Thread};
use domain::{CommandOf, Decider};

use crate::context::Loaded;
use crate::request::Request;
use crate::threads::{Cause, Link, Links};

impl Links {
    /// Correlation and cause of a command's events.
    pub(crate) fn of<A: Decider>(loaded: &Loaded<A>, request: &Request<CommandOf<A>>, events: &[A::Event]) -> Self {
        let aim = loaded.aggregate.aim_of(&request.command);
        let point = loaded.threads.newest(&aim.points);
        // The cause that the command names. The inner value is none if the command has no cause.
        let given = match request.cause {
            Cause::Sender => Some(None),
            Cause::Record(record) => Some(Some(record)),
            Cause::Thread => point.map(|standing| Some(standing.record)),
        };
        let continued = |event: &A::Event| {
            let step = A::step_of(event)?;
            let thread = match step.kind {
                StepKind::TakesOver(old) if loaded.threads.last(step.thread).is_none() => old,
                _ => step.thread,
            };
            loaded.threads.last(thread).map(|standing| (thread, standing))
        };
        let first = events.iter().filter_map(continued).find(|(thread, _)| aim.includes(*thread));
        let first = first.map(|(_, standing)| standing);
        let correlation_id = request.correlation_id.or(first.or(point).map(|standing| standing.correlation_id));
        let record = Link {
            correlation_id: correlation_id.unwrap_or(request.id.0),
            cause: given.unwrap_or(first.map(|standing| standing.record)),
        };
        let mut begun: BTreeMap<Thread, Link> = BTreeMap::new();
        let mut link = |event: &A::Event| {
            let Some(step) = A::step_of(event) else { return record };
            if let Some(link) = begun.get(&step.thread) {
                return *link;
            }
            let link = match continued(event) {
                None => record,
                Some((thread, standing)) if aim.includes(thread) => Link {
                    correlation_id: request.correlation_id.unwrap_or(standing.correlation_id),
                    cause: given.unwrap_or(Some(standing.record)),
                },
                Some((_, standing)) => Link { correlation_id: standing.correlation_id, cause: Some(standing.record) },
            };
            begun.insert(step.thread, link);
            link
        };
        let events = events.iter().map(&mut link).collect();
        Self { record, events }
    }
}
