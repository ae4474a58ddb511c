//! Which tenants are at work with their ChirpStack, and until when a ChirpStack that doesn't answer is left alone. In memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::TenantId;

use super::pause::Backoff;

/// Places for one kind of work: each tenant has one, and only some tenants are at work at the same time.
pub(crate) struct Turns {
    places_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    busy: usize,
    /// Tenants that are at work, or have failed and not answered since.
    tenants: HashMap<TenantId, Turn>,
}

#[derive(Default)]
struct Turn {
    is_busy: bool,
    backoff: Backoff,
}

impl Turns {
    pub(crate) fn new(places_max: usize) -> Arc<Self> {
        Arc::new(Self { places_max, state: Mutex::default() })
    }

    /// Takes the tenant's place, if it is free and the ChirpStack isn't left alone now.
    pub(crate) fn take(self: &Arc<Self>, tenant: &TenantId) -> Option<Place> {
        let mut state = self.state();
        let is_taken = state.tenants.get(tenant).is_some_and(|turn| turn.is_busy || turn.backoff.rests());
        if is_taken || state.busy >= self.places_max {
            return None;
        }
        state.busy += 1;
        state.tenants.entry(tenant.clone()).or_default().is_busy = true;
        Some(Place { turns: self.clone(), tenant: tenant.clone(), has_answered: false })
    }

    /// Whether the tenant's ChirpStack is left alone now.
    pub(crate) fn rests(&self, tenant: &TenantId) -> bool {
        self.state().tenants.get(tenant).is_some_and(|turn| turn.backoff.rests())
    }

    /// Failures of the tenant don't count any more.
    pub(crate) fn forget_failures(&self, tenant: &TenantId) {
        if let Some(turn) = self.state().tenants.get_mut(tenant) {
            turn.backoff = Backoff::default();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tenant's place. It becomes free when this is dropped, also by a panic, which counts as a failure.
#[must_use]
pub(crate) struct Place {
    turns: Arc<Turns>,
    tenant: TenantId,
    has_answered: bool,
}

impl Place {
    /// Gives the place free. `has_answered`: the ChirpStack has answered every call.
    pub(crate) fn leave(mut self, has_answered: bool) {
        self.has_answered = has_answered;
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.busy = state.busy.saturating_sub(1);
        if self.has_answered {
            state.tenants.remove(&self.tenant);
            return;
        }
        let turn = state.tenants.entry(self.tenant.clone()).or_default();
        turn.is_busy = false;
        turn.backoff.fail();
    }
}

#[cfg(test)]
mod tests {
    use runtime::lifecycle::Tasks;

    use super::*;
    use crate::network::pause::PAUSE_MAX;

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_chirpstack_that_is_away_holds_up_no_other_tenant() {
        let (turns, acme, rival) = (Turns::new(2), tenant("acme"), tenant("rival"));
        let place = turns.take(&acme).unwrap();
        assert!(turns.take(&acme).is_none(), "one place of a tenant");
        place.leave(false);
        assert!(turns.rests(&acme) && turns.take(&acme).is_none());
        turns.take(&rival).unwrap().leave(true);
        tokio::time::advance(PAUSE_MAX).await;
        turns.take(&acme).unwrap().leave(true);
        assert!(turns.take(&acme).is_some(), "and without a pause from then on");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_tenants_than_places_are_at_work() {
        let turns = Turns::new(1);
        let place = turns.take(&tenant("acme")).unwrap();
        assert!(turns.take(&tenant("rival")).is_none());
        place.leave(true);
        assert!(turns.take(&tenant("rival")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_is_served_again_after_a_panic_of_its_worker() {
        let (turns, acme, tasks) = (Turns::new(1), tenant("acme"), Tasks::new());
        let place = turns.take(&acme).unwrap();
        let task = tasks.spawn("panics", async move {
            let _place = place;
            assert!(std::hint::black_box(false), "on purpose");
        });
        task.await.unwrap();
        assert!(turns.take(&acme).is_none(), "a panic counts as a failure");
        tokio::time::advance(PAUSE_MAX).await;
        assert!(turns.take(&acme).is_some());
    }
}
