//! Results of measurements: one line per measurement on standard output, and all of them as JSON.
//!
//! The machine is noisy, so each rate is printed beside a ceiling from the same run. Only the ratio of the two can be compared
//! between runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cpu::Cpu;

/// The best possible result, measured in the same run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ceiling {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// Ratio of the measurement to the ceiling: higher is better.
    pub(crate) ratio: f64,
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    /// Dotted, and the same in every run.
    pub(crate) name: String,
    /// Devices, where sizes vary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devices: Option<usize>,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ceilings: Vec<Ceiling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limited_by: Option<&'static str>,
    /// CPU time of each process or part per unit of work, in milliseconds.
    #[serde(skip_serializing_if = "Cpu::is_empty")]
    pub(crate) cpu_ms_per_unit: Cpu,
    /// Largest memory of each process, in MiB.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) peak_mib: BTreeMap<String, f64>,
}

impl Measurement {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            devices: None,
            value,
            unit,
            ceilings: vec![],
            limited_by: None,
            cpu_ms_per_unit: Cpu::default(),
            peak_mib: BTreeMap::new(),
        }
    }

    /// A number of items in this time.
    pub(crate) fn rate(name: impl Into<String>, count: usize, elapsed: Duration, unit: &'static str) -> Self {
        Self::new(name, per_second(count, elapsed), unit)
    }

    /// A time, in milliseconds.
    pub(crate) fn time(name: impl Into<String>, time: Duration) -> Self {
        Self::new(name, time.as_secs_f64() * 1_000.0, "ms")
    }

    #[must_use]
    pub(crate) fn devices(mut self, devices: usize) -> Self {
        self.devices = Some(devices);
        self
    }

    /// Sets the highest possible rate.
    #[must_use]
    pub(crate) fn ceiling(mut self, name: &'static str, value: f64) -> Self {
        self.ceilings.push(Ceiling { name, value, ratio: self.value / value });
        self
    }

    /// Sets the lowest possible time.
    #[must_use]
    pub(crate) fn floor(mut self, name: &'static str, value: Duration) -> Self {
        let value = value.as_secs_f64() * 1_000.0;
        self.ceilings.push(Ceiling { name, value, ratio: value / self.value });
        self
    }

    #[must_use]
    pub(crate) fn limited_by(mut self, what: &'static str) -> Self {
        self.limited_by = Some(what);
        self
    }

    #[must_use]
    pub(crate) fn cpu(mut self, used: &Cpu, count: usize) -> Self {
        self.cpu_ms_per_unit = used.per(count);
        self
    }

    #[must_use]
    pub(crate) fn memory(mut self, peak_mib: BTreeMap<String, f64>) -> Self {
        self.peak_mib = peak_mib;
        self
    }

    /// Name and size.
    pub(crate) fn title(&self) -> String {
        self.devices.map_or_else(|| self.name.clone(), |devices| format!("{}, {devices} devices", self.name))
    }

    fn print(&self) {
        println!("{:<50} {} {}", self.title(), number(self.value), self.unit);
        for Ceiling { name, value, ratio } in &self.ceilings {
            println!("    ratio {ratio:.3} to {} {} ({name})", number(*value).trim_start(), self.unit);
        }
        if let Some(limit) = self.limited_by {
            println!("    limited by {limit}");
        }
        if !self.cpu_ms_per_unit.is_empty() {
            println!("    CPU per unit: {}", listed(&self.cpu_ms_per_unit.0, 3, "ms"));
        }
        if !self.peak_mib.is_empty() {
            println!("    peak memory: {}", listed(&self.peak_mib, 0, "MiB"));
        }
    }
}

impl Cpu {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn number(value: f64) -> String {
    const SMALL: f64 = 100.0;
    if value.abs() < SMALL { format!("{value:>10.2}") } else { format!("{value:>10.0}") }
}

fn listed(values: &BTreeMap<String, f64>, digits: usize, unit: &str) -> String {
    let shown = values.iter().map(|(name, value)| format!("{name} {value:.digits$} {unit}"));
    shown.collect::<Vec<_>>().join(", ")
}

/// All measurements of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) measurements: Vec<Measurement>,
}

impl Report {
    /// Prints a measurement and keeps it.
    pub(crate) fn add(&mut self, measurement: Measurement) {
        measurement.print();
        self.measurements.push(measurement);
    }

    /// Prints how measurements over several sizes have grown.
    pub(crate) fn print_growth(&self) {
        let mut sizes: BTreeMap<&str, Vec<(usize, &Measurement)>> = BTreeMap::new();
        for measurement in &self.measurements {
            if let Some(devices) = measurement.devices {
                sizes.entry(&measurement.name).or_default().push((devices, measurement));
            }
        }
        sizes.retain(|_, found| found.len() > 1);
        if !sizes.is_empty() {
            println!("\nBy number of devices");
        }
        for (name, found) in sizes {
            let values =
                found.iter().map(|(devices, measured)| format!("{devices}: {}", number(measured.value).trim()));
            let unit = found.first().map_or("", |(_, measured)| measured.unit);
            println!("  {name:<44} {} {unit}", values.collect::<Vec<_>>().join(", "));
        }
    }

    pub(crate) fn write_json(&self, file: &Path) -> Result<()> {
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let text = serde_json::to_string_pretty(&self.measurements)?;
        std::fs::write(file, text + "\n").with_context(|| format!("{} can't be written", file.display()))
    }
}

pub(crate) fn per_second(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

/// The value below which `percent` of the sorted samples lie.
pub(crate) fn percentile(sorted: &[Duration], percent: f64) -> Duration {
    let index = ((sorted.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[index]
}
