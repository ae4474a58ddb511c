//! The last position that each caller has stored, so that the caller's queries include it by default.
//!
//! Kept in this process, for a bounded number of callers. If a caller's entry was evicted, single reads still ask the log before they
//! answer 404.

use std::time::Duration;

use domain::{Actor, TenantId};
use moka::ops::compute::Op;
use moka::sync::Cache;

use crate::caller::Caller;

/// Most callers that are remembered, about 2 MiB.
const CALLERS_MAX: u64 = 10_000;
/// How long a caller's last position is kept: longer than read models lag, also while they catch up after an outage.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// Positions of the last commands, by caller.
pub(crate) struct OwnWrites(Cache<(TenantId, Actor), u64>);

impl Default for OwnWrites {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(CALLERS_MAX).time_to_live(REMEMBERED).build())
    }
}

impl OwnWrites {
    /// A command of this caller left its aggregate at this sequence number. A lower number changes nothing.
    pub(crate) fn remember(&self, caller: &Caller, sequence: u64) {
        self.0.entry(key(caller)).and_compute_with(|known| match known {
            Some(known) if known.value() >= &sequence => Op::Nop,
            _ => Op::Put(sequence),
        });
    }

    /// The position that this caller's queries should include.
    pub(crate) fn of(&self, caller: &Caller) -> Option<u64> {
        self.0.get(&key(caller))
    }
}

fn key(caller: &Caller) -> (TenantId, Actor) {
    (caller.tenant.clone(), caller.actor.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_position_of_each_caller_is_known() {
        let caller = |tenant: &str, user: &str| Caller {
            tenant: TenantId::new(tenant).unwrap(),
            actor: Actor::new(format!("user:{user}")).unwrap(),
            roles: vec![],
            limited: vec![],
            limits: None,
            is_kind_stated: true,
        };
        let writes = OwnWrites::default();
        let ann = caller("acme", "ann");
        for sequence in [7, 9, 8] {
            writes.remember(&ann, sequence);
        }
        assert_eq!(writes.of(&ann), Some(9));
        assert_eq!((writes.of(&caller("acme", "bob")), writes.of(&caller("other", "ann"))), (None, None));
    }
}
