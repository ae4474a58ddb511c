//! The one place that reads the wall clock or makes a random id.
//!
//! All other code gets time and ids as arguments, so that decisions can be reproduced.

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

/// Fractional digits of a second that are kept: as many as PostgreSQL keeps, so that a time read back from a row is the same.
const SUBSECOND_DIGITS: u16 = 6;

/// The time, to the microsecond.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(SUBSECOND_DIGITS)
}

/// A new id. Ids sort by their time of creation.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_has_no_more_than_microseconds() {
        assert_eq!(super::now().timestamp_subsec_nanos() % 1_000, 0);
    }
}
