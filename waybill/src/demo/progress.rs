//! Progress of the demo's campaign: a bar per wave, on standard error.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

/// A bar for each wave.
pub(super) struct Bars {
    all: MultiProgress,
    waves: Vec<ProgressBar>,
}

impl Bars {
    pub(super) fn new(enrolled: &[u64]) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>8} [{bar:40.green/white}] {pos:>5}/{len:<5} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let waves = enrolled
            .iter()
            .enumerate()
            .map(|(index, devices)| {
                let bar = all.add(ProgressBar::new(*devices));
                bar.set_style(style.clone());
                bar.set_prefix(format!("wave {}", index + 1));
                bar
            })
            .collect();
        Self { all, waves }
    }

    /// Shows the counts of a campaign's status reply.
    pub(super) fn show(&self, status: &Value) {
        for (bar, wave) in self.waves.iter().zip(status["waves"].as_array().into_iter().flatten()) {
            let count = |name: &str| wave[name].as_u64().unwrap_or(0);
            let (confirmed, settled) = (count("confirmed"), count("gate_settled"));
            bar.set_position(settled);
            let failed = settled.saturating_sub(confirmed);
            bar.set_message(format!("confirmed {confirmed}, failed {failed}, at work {}", count("in_use")));
        }
    }

    pub(super) fn finish(self) {
        for bar in &self.waves {
            bar.abandon();
        }
        drop(self.all);
    }
}
