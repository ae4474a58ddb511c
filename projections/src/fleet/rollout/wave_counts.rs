//! Counts of a wave: changed by the difference that a record makes to one member.

use std::collections::BTreeMap;

use domain::device::Outcome;
use event_store::RecordRef;

use super::rows::ProgressRow;
use super::standing::{Contribution, PLANNED};

impl ProgressRow {
    /// Adds a member's change to the counts.
    pub(super) fn change(&mut self, before: &Contribution, after: &Contribution) {
        let counters = [
            (&mut self.reached, before.reached, after.reached),
            (&mut self.confirmed, before.confirmed, after.confirmed),
            (&mut self.failed, before.failed, after.failed),
            (&mut self.gate_failed, before.gate_failed, after.gate_failed),
            (&mut self.gate_settled, before.gate_settled, after.gate_settled),
            (&mut self.in_use, before.in_use, after.in_use),
            (&mut self.working, before.working, after.working),
            (&mut self.expired, before.expired, after.expired),
            (&mut self.cancelled, before.cancelled, after.cancelled),
            (&mut self.superseded, before.superseded, after.superseded),
            (&mut self.accepted_ended, before.accepted_ended, after.accepted_ended),
            (&mut self.planned, before.planned, after.planned),
            (&mut self.late_confirmed, before.late_confirmed, after.late_confirmed),
            (&mut self.retryable, before.retryable, after.retryable),
        ];
        for (counter, before, after) in counters {
            *counter += i64::from(after) - i64::from(before);
        }
        self.retries += after.retries - before.retries;
        self.confirmed_ms += after.confirmed_ms - before.confirmed_ms;
        move_one(&mut self.phases, before.phase, after.phase);
        move_one(&mut self.failures, before.failure.as_deref(), after.failure.as_deref());
    }

    /// Records which record last changed what gates and the campaign's end depend on.
    pub(super) fn changed_by(&mut self, record: RecordRef, before: &Contribution, after: &Contribution) {
        if settling(before) != settling(after) {
            self.last_outcome = Some(record);
        }
        if (!before.failed && after.failed) || (!before.gate_failed && after.gate_failed) {
            self.last_failure = Some(record);
        }
    }

    /// Members that aren't excluded join the wave.
    pub(super) fn enroll(&mut self, members: i64) {
        self.enrolled += members;
        self.planned += members;
        add(&mut self.phases, PLANNED, members);
    }

    /// Planned members end with their campaign, or (`from` is the outcome) wait for it again.
    pub(super) fn move_planned(&mut self, from: Option<Outcome>, to: Option<Outcome>) {
        for (outcome, members) in [(from, -self.planned), (to, self.planned)] {
            match outcome {
                Some(Outcome::Expired) => {
                    (self.expired, self.retryable) = (self.expired + members, self.retryable + members);
                }
                Some(Outcome::Cancelled) => self.cancelled += members,
                _ => {}
            }
            add(&mut self.phases, outcome.map_or(PLANNED, Outcome::word), members);
        }
    }

    /// Members with an outcome, as [`domain::rollout::Counts::ended`] counts them.
    pub fn ended(&self) -> i64 {
        self.confirmed + self.failed + self.expired + self.cancelled + self.superseded
    }
}

/// What gates and the campaign's end depend on: all but slots and devices at work.
fn settling(of: &Contribution) -> [bool; 8] {
    [of.reached, of.confirmed, of.failed, of.gate_failed, of.gate_settled, of.expired, of.cancelled, of.superseded]
}

fn move_one(counts: &mut BTreeMap<String, i64>, from: Option<&str>, to: Option<&str>) {
    if from != to {
        from.into_iter().for_each(|word| add(counts, word, -1));
        to.into_iter().for_each(|word| add(counts, word, 1));
    }
}

/// Changes a count; one of zero is left out.
fn add(counts: &mut BTreeMap<String, i64>, word: &str, members: i64) {
    let count = counts.entry(word.to_owned()).or_insert(0);
    *count += members;
    if *count == 0 {
        counts.remove(word);
    }
}
