//! One line per measurement: the rate, its ceiling, their ratio and what limits it.

use std::time::Duration;

/// Prints a rate beside its ceiling, both in things per second.
pub(crate) fn ratio(what: &str, rate: f64, ceiling_name: &str, ceiling: f64, limit: &str) {
    println!(
        "{what:<44} {rate:>10.0}/s   ceiling {ceiling:>10.0}/s ({ceiling_name})   ratio {:.2}   limited by {limit}",
        rate / ceiling
    );
}

pub(crate) fn per_second(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// The value below which `percent` of the sorted samples lie.
pub(crate) fn percentile(sorted: &[Duration], percent: f64) -> Duration {
    let index = ((sorted.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[index]
}
