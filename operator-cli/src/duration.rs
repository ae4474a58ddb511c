//! Times as people write them: `90s`, `15m`, `2h`, `1d`.

use std::time::Duration;

/// Longest time.
const DAYS_MAX: u64 = 366;

/// Reads a number with a unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let found = units.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, unit) = found.ok_or("a time has a unit: 90s, 15m, 2h or 1d")?;
    let number: u64 =
        number.trim().parse().map_err(|_| "a time is a whole number and a unit, such as 2h".to_owned())?;
    match number.checked_mul(unit) {
        Some(seconds) if seconds <= DAYS_MAX * 86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("a time is at most {DAYS_MAX} days")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("2h"), Ok(Duration::from_secs(7200)));
        assert!(["", "5", "h", "-1s", "1.5h", "400d", "99999999999999999999d"].iter().all(|text| parse(text).is_err()));
    }
}
