//! Counts of a wave: changed by the difference that a record makes to one member.

use std::collections::BTreeMap;

use domain::device::Outcome;
use domain::rollout::Counts;
use event_store::RecordRef;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::member_state::{Contribution, PLANNED};
use super::rows::ProgressRow;
use crate::db::DbError;
use crate::row::{ArrayQuery, ColumnGroup, ColumnValue as _};

impl ProgressRow {
    /// Adds a member's change to the counts.
    pub(super) fn change(&mut self, before: &Contribution, after: &Contribution) {
        self.counts = self.counts.plus(after.counts).minus(before.counts);
        let counters = [
            (&mut self.planned, before.planned, after.planned),
            (&mut self.late_confirmed, before.late_confirmed, after.late_confirmed),
            (&mut self.retryable, before.retryable, after.retryable),
        ];
        for (counter, before, after) in counters {
            *counter += i64::from(after) - i64::from(before);
        }
        self.retries += after.retries - before.retries;
        self.confirmed_ms += after.confirmed_ms - before.confirmed_ms;
        if before.phase != after.phase {
            before.phase.into_iter().for_each(|phase| add(&mut self.phases, phase, -1));
            after.phase.into_iter().for_each(|phase| add(&mut self.phases, phase, 1));
        }
        if before.failure != after.failure {
            before.failure.iter().for_each(|failure| add(&mut self.failures, &failure.code, -1));
            after.failure.iter().for_each(|failure| add(&mut self.failures, &failure.code, 1));
        }
    }

    /// Records which record last changed what gates and the campaign's end depend on.
    pub(super) fn changed_by(&mut self, record: RecordRef, before: &Contribution, after: &Contribution) {
        let (before, after) = (&before.counts, &after.counts);
        if settling(before) != settling(after) {
            self.last_outcome = Some(record);
        }
        let rises = |count: fn(&Counts) -> u32| count(before) < count(after);
        if rises(|of| of.failed) || rises(|of| of.gate_failed) || rises(|of| of.rollback_failed) {
            self.last_failure = Some(record);
        }
    }

    /// Members that aren't excluded join the wave.
    pub(super) fn enroll(&mut self, members: u32) {
        self.counts.enrolled += members;
        self.planned += i64::from(members);
        add(&mut self.phases, PLANNED, members.into());
    }

    /// Planned members end with their campaign, or (`from` is the outcome) wait for it again.
    pub(super) fn move_planned(&mut self, from: Option<Outcome>, to: Option<Outcome>) {
        let members = u32::try_from(self.planned).unwrap_or_default();
        self.counts = self.counts.plus(ended_as(to, members)).minus(ended_as(from, members));
        for (outcome, members) in [(from, -self.planned), (to, self.planned)] {
            if outcome == Some(Outcome::Expired) {
                self.retryable += members;
            }
            add(&mut self.phases, outcome.map_or(PLANNED, Outcome::word), members);
        }
    }
}

/// Counts of members that a campaign ended before their turn.
fn ended_as(outcome: Option<Outcome>, members: u32) -> Counts {
    match outcome {
        Some(Outcome::Expired) => Counts { expired: members, ..Counts::default() },
        Some(Outcome::Cancelled) => Counts { cancelled: members, ..Counts::default() },
        _ => Counts::default(),
    }
}

/// What gates and the campaign's end depend on: all but slots and devices at work.
fn settling(of: &Counts) -> [u32; 10] {
    [
        of.reached,
        of.confirmed,
        of.failed,
        of.gate_failed,
        of.gate_settled,
        of.expired,
        of.cancelled,
        of.superseded,
        of.rolled_back,
        of.rollback_failed,
    ]
}

/// Changes a count; one of zero is left out.
fn add(counts: &mut BTreeMap<String, i64>, word: &str, members: i64) {
    let count = counts.entry(word.to_owned()).or_insert(0);
    *count += members;
    if *count == 0 {
        counts.remove(word);
    }
}

impl ColumnGroup for Counts {
    const COLUMNS: &'static [&'static str] = Counts::KEPT;

    fn read(row: &PgRow, first: usize) -> Result<Self, DbError> {
        let mut kept = [0; Counts::KEPT.len()];
        for (index, count) in kept.iter_mut().enumerate() {
            *count = u32::from_wire(row.try_get(first + index)?)?;
        }
        Ok(Self::of_kept(kept))
    }

    fn bind<'q>(query: ArrayQuery<'q>, values: &[&Self]) -> Result<ArrayQuery<'q>, DbError> {
        let column = |index: usize| values.iter().map(|counts| i64::from(counts.kept()[index])).collect::<Vec<_>>();
        Ok((0..Counts::KEPT.len()).fold(query, |query, index| query.bind(column(index))))
    }
}
