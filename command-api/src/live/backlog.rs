//! The latest changes, from which streams are resumed. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use super::change::Change;

/// Most changes that are kept: some MiB.
pub(super) const CHANGES_MAX: usize = 20_000;

/// All changes after a position.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    changes: VecDeque<Arc<Change>>,
    /// Nothing after this position is missing.
    complete_after: u64,
}

impl Backlog {
    pub(super) fn new(complete_after: u64) -> Self {
        Self { changes: VecDeque::new(), complete_after }
    }

    pub(super) fn push(&mut self, change: Change) {
        if self.changes.len() >= CHANGES_MAX
            && let Some(oldest) = self.changes.pop_front()
        {
            self.complete_after = self.complete_after.max(oldest.position);
        }
        self.changes.push_back(Arc::new(change));
    }

    /// The changes after a position; none if some of them are no longer kept. They are shared, so that no lock is needed to look through
    /// them.
    pub(super) fn after(&self, position: u64) -> Option<Vec<Arc<Change>>> {
        if position < self.complete_after {
            return None;
        }
        let first = self.changes.partition_point(|change| change.position <= position);
        Some(self.changes.range(first..).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::TenantId;

    use super::*;
    use crate::live::change::Kind;

    fn change(position: u64) -> Change {
        Change {
            position,
            time: DateTime::UNIX_EPOCH,
            tenant: TenantId::new("acme").unwrap(),
            kind: Kind::Device,
            id: "d-1".into(),
            campaign: None,
            types: vec![],
        }
    }

    fn after(backlog: &Backlog, position: u64) -> Option<Vec<u64>> {
        backlog.after(position).map(|changes| changes.iter().map(|change| change.position).collect())
    }

    #[test]
    fn changes_after_a_position_are_whole_or_refused() {
        let mut backlog = Backlog::new(10);
        // One record changed two resources; the log has positions that change nothing.
        for position in [12, 15, 15, 20] {
            backlog.push(change(position));
        }
        assert_eq!(after(&backlog, 9), None, "before what was read");
        assert_eq!(after(&backlog, 10), Some(vec![12, 15, 15, 20]));
        assert_eq!(after(&backlog, 12), Some(vec![15, 15, 20]));
        assert_eq!(after(&backlog, 15), Some(vec![20]));
        assert_eq!(after(&backlog, 25), Some(vec![]));
    }

    #[test]
    fn only_the_latest_are_kept() {
        let mut backlog = Backlog::new(0);
        for position in 1..=CHANGES_MAX as u64 + 5 {
            backlog.push(change(position));
        }
        assert_eq!(after(&backlog, 4), None);
        assert_eq!(after(&backlog, 5).unwrap().len(), CHANGES_MAX);
    }
}
