//! Ratios of an earlier run, for a comparison that fails if one has become much worse.
//!
//! Only ratios to ceilings of the same run are kept: rates depend more on the machine than on the program.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::report::Report;

/// A ratio below this share of the baseline's is a failure. Ratios of two runs differ by less.
const SHARE_MIN: f64 = 0.5;
/// Digits of a ratio that are kept.
const ROUNDING: f64 = 10_000.0;

/// Ratios by measurement and ceiling.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// Build profile: a slow build differs from a fast one in its ratios, too.
    profile: String,
    ratios: BTreeMap<String, f64>,
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "release" }
}

impl Baseline {
    pub(crate) fn of(report: &Report) -> Self {
        let ratios = report.measurements.iter().flat_map(|measured| {
            let name = measured.title();
            let named = move |ceiling: &crate::report::Ceiling| {
                (format!("{name} / {}", ceiling.name), (ceiling.ratio * ROUNDING).round() / ROUNDING)
            };
            measured.ceilings.iter().map(named)
        });
        Self { profile: profile().to_owned(), ratios: ratios.collect() }
    }

    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
        let baseline: Self = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        let (is, wanted) = (profile(), &baseline.profile);
        ensure!(is == wanted, "{} is of the profile {wanted}, and this program of {is}", file.display());
        Ok(baseline)
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n").with_context(|| format!("{} can't be written", file.display()))
    }

    /// The better ratio of two runs: a run that was disturbed proves nothing slow.
    pub(crate) fn best_of(mut self, other: &Self) -> Self {
        for (name, ratio) in &mut self.ratios {
            *ratio = ratio.max(other.ratios.get(name).copied().unwrap_or_default());
        }
        self
    }

    /// What is much worse than in this baseline, or isn't measured any more, one sentence each.
    pub(crate) fn faults(&self, measured: &Self) -> Vec<String> {
        let faults = self.ratios.iter().filter_map(|(name, before)| match measured.ratios.get(name) {
            None => Some(format!("{name}: not measured; write a new baseline if that is intended")),
            Some(now) if *now < before * SHARE_MIN => {
                Some(format!("{name}: ratio {now} is below half of the baseline's {before}"))
            }
            Some(_) => None,
        });
        faults.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Measurement;

    fn baseline(value: f64) -> Baseline {
        let mut report = Report::default();
        report.measurements.push(Measurement::new("thing", value, "1/s").devices(7).ceiling("the limit", 100.0));
        Baseline::of(&report)
    }

    #[test]
    fn only_a_ratio_below_half_is_a_fault() {
        let before = baseline(40.0);
        assert_eq!(before.ratios["thing, 7 devices / the limit"], 0.4);
        assert!(before.faults(&baseline(20.0)).is_empty());
        assert_eq!(before.faults(&baseline(19.9)).len(), 1);
        assert!(before.faults(&baseline(19.9).best_of(&baseline(30.0))).is_empty(), "the second run was better");
        assert_eq!(before.faults(&Baseline::of(&Report::default())).len(), 1, "it isn't measured any more");
    }
}
