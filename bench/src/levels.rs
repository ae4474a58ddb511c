//! Service levels: what Waybill promises, beside what was measured. A feature with a promise adds a line here.

use crate::report::{Measurement, Report};

/// The side of the limit on which a value must lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Below,
    AtLeast,
}

/// One promise.
struct Level {
    what: &'static str,
    wanted: Wanted,
    limit: f64,
    unit: &'static str,
    /// Name of the measurement; none if nothing measures it yet.
    measured_by: Option<&'static str>,
}

const fn below(what: &'static str, limit: f64, unit: &'static str, measured_by: Option<&'static str>) -> Level {
    Level { what, wanted: Wanted::Below, limit, unit, measured_by }
}

const LEVELS: [Level; 17] = [
    below("authentication, share of a command in the API", 10.0, "%", Some("authentication.share")),
    below("authentication, p99", 1.0, "ms", Some("authentication.time.p99")),
    below("device API under load, p95", 200.0, "ms", Some("load.read_of_device.p95")),
    below("device API under load, p99 (goal)", 20.0, "ms", Some("load.read_of_device.p99")),
    below("campaign progress behind at full speed, longest", 1_000.0, "ms", Some("campaign.behind.p100")),
    below("campaign progress behind at full speed, p99 (goal)", 100.0, "ms", Some("campaign.behind.p99")),
    below("campaign progress behind at half speed, longest", 1_000.0, "ms", Some("campaign.paced.behind.p100")),
    below("campaign progress behind at half speed, p99 (goal)", 100.0, "ms", Some("campaign.paced.behind.p99")),
    below("status query, p99", 100.0, "ms", Some("queries.campaign_status.p99")),
    Level {
        what: "devices registered in one tenant",
        wanted: Wanted::AtLeast,
        limit: 1_000_000.0,
        unit: "devices",
        measured_by: Some("queries.devices_registered"),
    },
    below("happy path of an update (1 MiB, LAN)", 120_000.0, "ms", None),
    below("webhook to read model, p99", 1_000.0, "ms", Some("webhooks.uplink_to_rest.p99")),
    below("live updates to 1,000 clients, p99", 500.0, "ms", Some("live.first_change.p99")),
    below("live updates to 1,000 clients at full speed, p99", 500.0, "ms", Some("live.under_load.p99")),
    below("alert", 10_000.0, "ms", None),
    below("ChirpStack sync when reachable, p95", 2_000.0, "ms", Some("network.one_device.p95")),
    below("console page with 1,000,000 devices, p95", 100.0, "ms", Some("console.slowest.p95")),
];

/// Prints each promise with what was measured.
pub(crate) fn print(report: &Report) {
    println!("\nService levels");
    for level in &LEVELS {
        let found = level.measured_by.and_then(|name| largest(report, name));
        let sign = if level.wanted == Wanted::Below { "<" } else { "≥" };
        let limit = format!("{sign} {} {}", level.limit, level.unit);
        println!("  {:<52} {limit:<20} {}", level.what, level.verdict(found));
    }
}

/// The measurement of that name with the most devices.
fn largest<'a>(report: &'a Report, name: &str) -> Option<&'a Measurement> {
    report.measurements.iter().filter(|measurement| measurement.name == name).max_by_key(|found| found.devices)
}

impl Level {
    fn verdict(&self, found: Option<&Measurement>) -> String {
        match (self.measured_by, found) {
            (None, _) => "not measured yet".to_owned(),
            (Some(_), None) => "not measured in this run".to_owned(),
            (Some(_), Some(found)) => {
                let devices = found.devices.map(|devices| format!(" with {devices} devices")).unwrap_or_default();
                let word = match (self.wanted, self.is_met_by(found.value)) {
                    (_, true) => "met",
                    (Wanted::Below, false) => "MISSED",
                    // Fewer were tried and none was refused.
                    (Wanted::AtLeast, false) => "not tried",
                };
                format!("{word}: {:.1}{devices}", found.value)
            }
        }
    }

    fn is_met_by(&self, value: f64) -> bool {
        match self.wanted {
            Wanted::Below => value < self.limit,
            Wanted::AtLeast => value >= self.limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_judged_by_the_largest_fleet_and_says_when_it_was_not_measured() {
        let mut report = Report::default();
        let level = &below("a query", 100.0, "ms", Some("query.p99"));
        assert_eq!(level.verdict(largest(&report, "query.p99")), "not measured in this run");
        for (devices, value) in [(10_000, 150.0), (500, 20.0)] {
            report.measurements.push(Measurement::new("query.p99", value, "ms").devices(devices));
        }
        assert_eq!(level.verdict(largest(&report, "query.p99")), "MISSED: 150.0 with 10000 devices");
        assert_eq!(below("x", 1.0, "ms", None).verdict(None), "not measured yet");
    }
}
