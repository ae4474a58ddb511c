//! Rate limits: of a tenant, of a credential, and of the address of who has none or a wrong one.
//!
//! An authenticated request counts against its tenant and its credential before its handler runs. A request without a credential counts
//! against its address before its handler. One whose credential is refused counts against its address afterwards, so a valid credential is
//! never shut out by others who fail at the same address. Health and metrics aren't limited.

mod buckets;
mod headers;
pub(crate) mod metrics;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::{Actor, TenantId};

use self::buckets::{Buckets, Standing};
use crate::client_address::ClientAddress;
use crate::http::Problem;
use crate::http::observe::MONITORING;
use crate::lorawan;

/// The header of API keys.
const API_KEY: &str = "x-api-key";
/// Beginning of the routes of the API.
const API: &str = "/api/v1";
/// The route whose path is the credential.
const DOWNLOAD: &str = "/d/{token}";

/// Requests per second; 0 is no limit. Up to [`buckets::WINDOW_S`] seconds' worth may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Of all callers of a tenant together.
    pub tenant: u32,
    /// Of one user, key or service, and of the devices that register with one registration token.
    pub credential: u32,
    /// Of an address: requests without a valid credential.
    pub address: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { tenant: 5_000, credential: 2_000, address: 200 }
    }
}

/// The limits of this process.
pub(crate) struct Throttle {
    tenants: Buckets<TenantId>,
    credentials: Buckets<(TenantId, Actor)>,
    addresses: Buckets<IpAddr>,
}

impl Throttle {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self {
            tenants: Buckets::new("tenant", limits.tenant),
            credentials: Buckets::new("credential", limits.credential),
            addresses: Buckets::new("address", limits.address),
        }
    }

    /// Counts an authenticated request; refused if its tenant or its credential has sent too many.
    pub(crate) fn admit(&self, request: &Extensions, tenant: &TenantId, actor: &Actor) -> Result<(), Problem> {
        let Some(standings) = request.get::<Standings>() else { return Ok(()) };
        let credential = self.credentials.count((tenant.clone(), actor.clone()));
        // A credential that sends too much takes nothing from the others of its tenant.
        let is_refused = credential.is_some_and(|standing| standing.wait.is_some());
        let tenant = if is_refused { None } else { self.tenants.count(tenant.clone()) };
        standings.set([credential, tenant].into_iter().flatten().collect())
    }

    /// Counts a request without a valid credential.
    fn count_address(&self, standings: &Standings, client: ClientAddress) -> Result<(), Problem> {
        standings.set(self.addresses.count(client.network()).into_iter().collect())
    }
}

/// How a request stands to its limits; empty until it was counted.
#[derive(Debug, Clone, Default)]
struct Standings(Arc<OnceLock<Vec<Standing>>>);

impl Standings {
    /// Only the first count is kept: a request counts once.
    fn set(&self, standings: Vec<Standing>) -> Result<(), Problem> {
        let refused = standings.iter().find(|standing| standing.wait.is_some()).copied();
        self.0.get_or_init(|| standings);
        refused.map_or(Ok(()), |standing| Err(too_many(&standing)))
    }
}

fn too_many(standing: &Standing) -> Problem {
    let Standing { policy, per_second, .. } = *standing;
    metrics::refused(policy);
    let wait_s = standing.wait_s();
    Problem::too_many_requests(
        "rate_limited",
        format!("more than {per_second} requests per second of one {policy}"),
        wait_s,
    )
}

/// Counts requests and adds the headers.
pub(crate) async fn throttle(State(limits): State<Arc<Throttle>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    if MONITORING.contains(&route.as_str()) {
        return next.run(request).await;
    }
    let standings = Standings::default();
    let client = request.extensions().get().copied().unwrap_or(ClientAddress(IpAddr::from([0, 0, 0, 0])));
    let count_address = || limits.count_address(&standings, client);
    request.extensions_mut().insert(standings.clone());
    let has_own = is_own_credential(&route);
    let mut response = if !has_own && !has_credential(request.headers()) {
        match count_address() {
            Ok(()) => next.run(request).await,
            Err(refused) => refused.into_response(),
        }
    } else {
        next.run(request).await
    };
    let is_refused = !has_own || [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED].contains(&response.status());
    if standings.0.get().is_none() && is_refused {
        response = count_address().map_or_else(Problem::into_response, |()| response);
    }
    headers::add(response.headers_mut(), standings.0.get().map_or(&[], Vec::as_slice));
    response
}

/// Whether requests of a route have a credential in their path or in a header of their own.
fn is_own_credential(route: &str) -> bool {
    route == DOWNLOAD || route.strip_prefix(API).is_some_and(|path| lorawan::PATHS.contains(&path))
}

/// Whether a request has something that could be a credential.
fn has_credential(headers: &HeaderMap) -> bool {
    [header::AUTHORIZATION.as_str(), header::COOKIE.as_str(), API_KEY].iter().any(|name| headers.contains_key(*name))
}
