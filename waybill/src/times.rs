//! Times on the command line.

use chrono::{DateTime, TimeDelta, Utc};
use runtime::clock;

/// How far a time may be ahead of this machine's clock: it may come from a server with another clock.
const TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// Parses a time in the past, for a command line flag.
pub fn parse_past(text: &str) -> Result<DateTime<Utc>, String> {
    past(text, clock::now())
}

fn past(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| {
        let (zulu, offset) = (now.format("%Y-%m-%dT%H:%M:%SZ"), now.format("%Y-%m-%dT%H:%M:%S+02:00"));
        format!("write date, time and zone (RFC 3339), such as {zulu} or {offset}")
    })?;
    let time = parsed.to_utc();
    if time > now + TOLERANCE {
        return Err(format!("{time} lies in the future: now it is {}", now.format("%Y-%m-%dT%H:%M:%SZ")));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_time_without_date_or_zone_is_answered_with_the_form_that_is_wanted() {
        for text in ["14:03", "2026-02-28", "2026-02-28T14:03:00", "2026-02-28 14:03", "yesterday", "1772370000", ""] {
            let error = past(text, now()).unwrap_err();
            assert!(error.contains("RFC 3339") && error.contains("2026-03-01T12:00:00Z"), "{text}: {error}");
        }
    }

    #[test]
    fn a_time_with_a_zone_is_read_and_one_in_the_future_refused() {
        assert_eq!(past("2026-03-01T14:00:00+02:00", now()), Ok(now()));
        assert_eq!(past("2026-02-28t14:03:00z", now()), Ok("2026-02-28T14:03:00Z".parse().unwrap()));
        assert!(past("2026-03-01T12:00:05Z", now()).is_ok());
        assert!(past("2026-03-01T12:00:06Z", now()).unwrap_err().contains("lies in the future"));
    }
}
