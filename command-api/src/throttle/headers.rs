//! `RateLimit-Policy` and `RateLimit`, draft-ietf-httpapi-ratelimit-headers-10: `"tenant";q=50000;w=10` and `"tenant";r=49999;t=1`.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::buckets::{Standing, WINDOW_S};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds how a request stands to its limits.
pub(super) fn add(headers: &mut HeaderMap, standings: &[Standing]) {
    if standings.is_empty() {
        return;
    }
    let policy = |standing: &Standing| format!("\"{}\";q={};w={WINDOW_S}", standing.policy, standing.burst());
    let limit = |standing: &Standing| {
        let seconds = standing.wait.map_or_else(|| standing.full_in_s(), |_| standing.wait_s());
        format!("\"{}\";r={};t={seconds}", standing.policy, standing.remaining)
    };
    set(headers, POLICY, standings, policy);
    set(headers, LIMIT, standings, limit);
}

fn set(headers: &mut HeaderMap, name: HeaderName, standings: &[Standing], each: impl Fn(&Standing) -> String) {
    let list: Vec<String> = standings.iter().map(each).collect();
    if let Ok(value) = HeaderValue::from_str(&list.join(", ")) {
        headers.insert(name, value);
    }
}
