//! How many connections are open, in all and from each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_store::metering::{self, Metric};

use super::Limits;
use crate::client_address::ClientAddress;

const REFUSED: &str = "waybill_http_connections_refused_total";

const METRICS: [Metric; 1] = [Metric::Counter(
    REFUSED,
    "Connections that were closed at once because there were too many, in all or of one address.",
    &[&[("of", "all")], &[("of", "address")]],
)];

pub(crate) fn describe() {
    metering::describe(&METRICS);
}

/// The open connections of a listener.
#[derive(Clone)]
pub(super) struct Connections {
    limits: Arc<Limits>,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    all: usize,
    /// Of addresses that aren't trusted proxies. An address without connections has no entry.
    by_address: HashMap<IpAddr, usize>,
}

/// One connection, until it is dropped.
pub(super) struct Place {
    connections: Connections,
    address: Option<IpAddr>,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits: Arc::new(limits), open: Arc::default() }
    }

    /// A place for a connection; none if there are too many.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Place> {
        let from = from.to_canonical();
        let address = (!self.limits.trusted_proxies.contain(from)).then(|| ClientAddress(from).network());
        let mut open = self.lock();
        if open.all >= self.limits.connections_max {
            return refused("all");
        }
        if let Some(address) = address {
            let of_address = open.by_address.entry(address).or_default();
            if *of_address >= self.limits.per_address_max {
                return refused("address");
            }
            *of_address += 1;
        }
        open.all += 1;
        Some(Place { connections: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(of: &'static str) -> Option<Place> {
    metrics::counter!(REFUSED, "of" => of).increment(1);
    None
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(of_address) = open.by_address.get_mut(&address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_address::TrustedProxies;

    #[test]
    fn places_are_bounded_and_come_back() {
        let trusted_proxies =
            TrustedProxies { networks: vec!["10.0.0.0/8".parse().unwrap()], ..TrustedProxies::default() };
        let limits = Limits { connections_max: 5, per_address_max: 2, ..Limits::new(trusted_proxies, false) };
        let connections = Connections::new(limits);
        let enter = |address: &str| connections.enter(address.parse().unwrap());
        let first = [enter("192.0.2.1"), enter("::ffff:192.0.2.1")];
        assert!(first.iter().all(Option::is_some) && enter("192.0.2.1").is_none());
        let proxied = [enter("10.0.0.1"), enter("10.0.0.1"), enter("10.0.0.1")];
        assert!(proxied.iter().all(Option::is_some) && enter("10.0.0.1").is_none(), "as many as there may be in all");
        drop(proxied);
        assert!(enter("192.0.2.1").is_none() && enter("192.0.2.2").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        assert!(connections.lock().by_address.is_empty() && connections.lock().all == 0);
    }
}
