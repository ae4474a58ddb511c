//! How long Waybill has taken to find out who sends requests, from its metrics.

use std::time::Duration;

use anyhow::{Context, Result};

use super::credentials::Credential;
use crate::service::Service;

const METRIC: &str = "waybill_http_admission_seconds";

/// A histogram with cumulative buckets, as Prometheus has them.
pub(super) struct Admissions {
    /// Upper bound in seconds, and how many took at most that.
    buckets: Vec<(f64, f64)>,
    sum_s: f64,
}

impl Admissions {
    /// Those with a kind of credential so far.
    pub(super) async fn of(service: &Service, credential: &Credential) -> Result<Self> {
        let text = service.api.http().get(format!("{}/metrics", service.api.base())).send().await?;
        let text = text.error_for_status()?.text().await?;
        Self::parse(&text, credential.label).context(METRIC)
    }

    fn parse(text: &str, label: &str) -> Option<Self> {
        let labelled = format!("credential=\"{label}\"");
        let lines: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix(METRIC))
            .filter(|line| line.contains(&labelled))
            .filter_map(|line| line.rsplit_once(' '))
            .collect();
        let buckets = lines.iter().filter(|(series, _)| series.starts_with("_bucket")).filter_map(|(series, value)| {
            let bound = series.split_once("le=\"")?.1.split_once('"')?.0;
            Some((bound.parse().ok()?, value.parse().ok()?))
        });
        let sum = lines.iter().find(|(series, _)| series.starts_with("_sum"))?.1;
        Some(Self { buckets: buckets.collect(), sum_s: sum.parse().ok()? })
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        let buckets =
            self.buckets.iter().zip(&before.buckets).map(|((bound, now), (_, before))| (*bound, now - before));
        Self { buckets: buckets.collect(), sum_s: self.sum_s - before.sum_s }
    }

    pub(super) fn count(&self) -> usize {
        self.buckets.last().map_or(0, |(_, count)| *count as usize)
    }

    /// Of all together.
    pub(super) fn seconds(&self) -> f64 {
        self.sum_s
    }

    pub(super) fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.sum_s / self.count().max(1) as f64)
    }

    /// The time below which `percent` lie, with the same assumption as `histogram_quantile`: times are spread evenly in a bucket.
    pub(super) fn percentile(&self, percent: f64) -> Duration {
        let wanted = self.count() as f64 * percent / 100.0;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *count >= wanted && bound.is_finite() {
                let within = (wanted - below) / (count - below).max(1.0);
                return Duration::from_secs_f64(low + (bound - low) * within);
            }
            if bound.is_finite() {
                (low, below) = (*bound, *count);
            }
        }
        Duration::from_secs_f64(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# TYPE waybill_http_admission_seconds histogram
waybill_http_admission_seconds_bucket{credential="session",le="0.001"} 7
waybill_http_admission_seconds_bucket{credential="token",le="0.001"} 90
waybill_http_admission_seconds_bucket{credential="token",le="0.002"} 100
waybill_http_admission_seconds_bucket{credential="token",le="+Inf"} 100
waybill_http_admission_seconds_sum{credential="token"} 0.05
waybill_http_admission_seconds_count{credential="token"} 100
"#;

    #[test]
    fn a_percentile_lies_in_its_bucket() {
        let found = Admissions::parse(TEXT, "token").unwrap();
        assert_eq!((found.count(), found.mean()), (100, Duration::from_micros(500)));
        assert_eq!(found.percentile(95.0), Duration::from_micros(1_500));
        assert_eq!(found.percentile(45.0), Duration::from_micros(500));
        assert!(Admissions::parse(TEXT, "api_key").is_none());
    }
}
