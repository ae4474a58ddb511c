//! Rows that a projector read or wrote a moment ago. An update's events come one after the other, and each needs the same rows.
//!
//! Invariant: what is remembered stands in the tables at the checkpoint of the owner, who alone writes them. The owner forgets everything
//! when a transaction fails, and after a sweep, which writes rows past this memory. No commit rests on rows that somebody else has changed
//! since (another owner, a rebuild, `unpark`, a crash of PostgreSQL): it fails, because the checkpoint isn't the one that the owner knows.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use crate::observations::Observations;
use crate::row::Row;

/// Most rows of one table that are remembered. More than those of all updates that are usually under way; some 20 MB for all tables.
const ROWS_MAX: usize = 8_192;

/// Rows of several tables.
#[derive(Default)]
pub(crate) struct Memory {
    tables: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    /// Of the records since the latest commit; not part of what is forgotten.
    pub(crate) observations: Observations,
}

impl Memory {
    pub(crate) fn forget(&mut self) {
        self.tables.clear();
    }

    /// The rows of one table.
    pub(crate) fn of<R: Row + 'static>(&mut self) -> &mut Remembered<R> {
        let table = self.tables.entry(TypeId::of::<R>()).or_insert_with(|| Box::new(Remembered::<R>::default()));
        table.downcast_mut().unwrap_or_else(|| unreachable!("each table stands under its own type"))
    }
}

/// Rows of one table, in two generations. When the young one is full it becomes the old one, and rows that were not used since are forgotten.
pub(crate) struct Remembered<R> {
    young: HashMap<Vec<String>, Arc<R>>,
    old: HashMap<Vec<String>, Arc<R>>,
}

impl<R> Default for Remembered<R> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<R: Row> Remembered<R> {
    pub(crate) fn get(&mut self, key: &[String]) -> Option<Arc<R>> {
        if let Some(row) = self.young.get(key) {
            return Some(row.clone());
        }
        let (key, row) = self.old.remove_entry(key)?;
        self.put(key, row.clone());
        Some(row)
    }

    pub(crate) fn put(&mut self, key: Vec<String>, row: Arc<R>) {
        if self.young.len() >= ROWS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::devices::DeviceRow;

    fn row(number: usize) -> Arc<DeviceRow> {
        let at = chrono::DateTime::UNIX_EPOCH;
        Arc::new(DeviceRow::unregistered("acme".to_owned(), format!("d-{number}"), at))
    }

    #[test]
    fn rows_that_are_used_stay_and_no_more_than_the_bound_are_kept() {
        let mut memory = Memory::default();
        let first = row(0);
        memory.of().put(first.key(), first.clone());
        for number in 1..3 * ROWS_MAX {
            let row = row(number);
            memory.of().put(row.key(), row);
            assert!(memory.of::<DeviceRow>().get(&first.key()).is_some(), "{number}");
        }
        let rows = memory.of::<DeviceRow>();
        assert!(rows.young.len() + rows.old.len() <= ROWS_MAX);
        assert!(rows.get(&row(1).key()).is_none(), "it wasn't used");
        assert!(rows.get(&row(3 * ROWS_MAX - 1).key()).is_some());
        memory.forget();
        assert!(memory.of::<DeviceRow>().get(&first.key()).is_none());
    }

    #[test]
    fn a_row_is_remembered_as_it_was_written_last() {
        let mut rows = Remembered::<DeviceRow>::default();
        let key = row(0).key();
        for number in 0..ROWS_MAX {
            rows.put(row(number).key(), row(number));
        }
        let changed = Arc::new(DeviceRow { version: 7, ..(*row(0)).clone() });
        rows.put(key.clone(), changed.clone());
        for number in ROWS_MAX..ROWS_MAX + ROWS_MAX / 4 {
            rows.put(row(number).key(), row(number));
        }
        assert_eq!(rows.get(&key), Some(changed));
    }
}
