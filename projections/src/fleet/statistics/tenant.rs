//! Table `statistics`: what there is now, and what happened on each day.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;

use super::times::Times;
use crate::db::{DbError, ReadTx};
use crate::row::{Row as _, row};

/// Times from the first `received` to the confirmation, beside those of phases.
pub const TOTAL: &str = "total";

/// The period of what is at the checkpoint. It sorts after every day.
pub(super) const NOW: &str = "now";

/// Sums of one period.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatisticsRow {
    pub(super) tenant: String,
    /// A day, as `YYYY-MM-DD`, or [`NOW`].
    pub period: String,
    /// By what is counted and which of it, as `update.confirmed`. Without zeros.
    pub counts: BTreeMap<String, i64>,
    /// By phase, and [`TOTAL`].
    pub times: BTreeMap<String, Times>,
}

row! {
    StatisticsRow = "statistics" key { tenant: "text", period: "text" }
    columns { }
    json { counts, times }
}

impl StatisticsRow {
    pub(super) fn empty(tenant: String, period: String) -> Self {
        Self { tenant, period, ..Self::default() }
    }

    pub(super) fn add(&mut self, counts: &HashMap<(&str, &str), i64>, times: &HashMap<&str, Times>) {
        for ((what, which), number) in counts {
            *self.counts.entry(format!("{what}.{which}")).or_default() += number;
        }
        self.counts.retain(|_, number| *number != 0);
        for (what, times) in times {
            self.times.entry((*what).to_owned()).or_default().merge(times);
        }
    }

    /// The counts of one thing, by which of it.
    pub fn counts_of(&self, what: &str) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().filter_map(move |(name, number)| {
            let (of, which) = name.split_once('.')?;
            (of == what).then_some((which, (*number).max(0) as u64))
        })
    }

    pub fn count(&self, what: &str, which: &str) -> u64 {
        self.counts_of(what).find(|(name, _)| *name == which).map_or(0, |(_, number)| number)
    }
}

/// What there is, and what happened on days.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TenantStatistics {
    pub now: StatisticsRow,
    /// Days on which anything happened, in order.
    pub days: Vec<StatisticsRow>,
}

/// The statistics of the transaction's tenant, with the days from `from` to `to`.
pub async fn statistics(tx: &mut ReadTx, from: NaiveDate, to: NaiveDate) -> Result<TenantStatistics, DbError> {
    let columns = StatisticsRow::columns_of("t");
    let sql = format!(
        "SELECT {columns} FROM statistics t WHERE period = $1 OR (period >= $2 AND period <= $3) ORDER BY period COLLATE \"C\""
    );
    let query = sqlx::query(&sql).bind(NOW).bind(from.to_string()).bind(to.to_string());
    let rows = query.fetch_all(&mut *tx.0).await?;
    let rows: Result<Vec<StatisticsRow>, DbError> = rows.iter().map(StatisticsRow::read).collect();
    let (now, days): (Vec<_>, Vec<_>) = rows?.into_iter().partition(|row| row.period == NOW);
    Ok(TenantStatistics { now: now.into_iter().next().unwrap_or_default(), days })
}
