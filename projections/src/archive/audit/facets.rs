//! What the events of an audit have in common: how many there are of each type, actor and type of aggregate.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::TenantId;
use event_store::Entry;

use super::{AuditFilter, LOOKED_THROUGH_MAX, Order, Scan};
use crate::archive::read::is_before_rebuild;
use crate::db::{Db, DbError};

/// Most events that are counted.
const COUNTED_MAX: u64 = 4_000;
/// Most values of a facet: the most frequent ones.
const VALUES_MAX: usize = 50;

/// A value, and how many events have it.
pub type Frequency = (String, u64);

/// The counts of the first events in an order. A record that can't be read has no type, and often no actor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facets {
    pub events: u64,
    /// Whether these are all events that match.
    pub is_complete: bool,
    pub oldest_at: Option<DateTime<Utc>>,
    pub newest_at: Option<DateTime<Utc>>,
    pub types: Vec<Frequency>,
    pub actors: Vec<Frequency>,
    /// Types of aggregates.
    pub aggregates: Vec<Frequency>,
}

/// Counts the events that match up to a position: at most 4,000, and some more of the last records.
pub async fn facets(
    db: &Db,
    tenant: &TenantId,
    filter: &AuditFilter,
    order: Order,
    until: u64,
) -> Result<Facets, DbError> {
    let mut tx = db.read(tenant).await?;
    if is_before_rebuild(&mut tx).await? {
        return Err(DbError::NotMade("the archive has to be rebuilt first: waybill rebuild archive".to_owned()));
    }
    let mut scan = Scan { tenant, filter, order, until, at: order.beginning(until), entries: vec![], bytes: 0 };
    let (mut found, mut looked) = (Facets::default(), 0);
    let [mut types, mut actors, mut aggregates]: [HashMap<String, u64>; 3] = Default::default();
    while !scan.is_at_end() && looked < LOOKED_THROUGH_MAX && found.events < COUNTED_MAX {
        looked += scan.step(&mut tx).await?;
        for entry in scan.entries.drain(..) {
            found.events += 1;
            *aggregates.entry(entry.key.kind.to_string()).or_default() += 1;
            let stored_at = match entry.entry {
                Entry::Event(event) => {
                    let kind = event.event["type"].as_str().unwrap_or_default();
                    *types.entry(kind.to_owned()).or_default() += 1;
                    *actors.entry(event.meta.actor.to_string()).or_default() += 1;
                    event.stored_at
                }
                Entry::Unreadable(record) => record.stored_at,
            };
            found.oldest_at = Some(found.oldest_at.map_or(stored_at, |at| at.min(stored_at)));
            found.newest_at = Some(found.newest_at.map_or(stored_at, |at| at.max(stored_at)));
        }
    }
    found.is_complete = scan.is_at_end();
    (found.types, found.actors, found.aggregates) = (most(types), most(actors), most(aggregates));
    Ok(found)
}

/// The most frequent values first.
fn most(counts: HashMap<String, u64>) -> Vec<Frequency> {
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by(|(one, count), (other, other_count)| other_count.cmp(count).then_with(|| one.cmp(other)));
    all.truncate(VALUES_MAX);
    all
}
