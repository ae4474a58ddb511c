//! Durations on a simulated device.
//!
//! The defaults are short, so that thousands of devices finish while a person watches; [`Pace::scaled`] stretches them all.

use std::time::Duration;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Durations of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// A whole download is spread over at least this time.
    pub download: Duration,
    /// Between two progress reports of a download; the server drops more than one per 5 s.
    pub progress: Duration,
    pub verify: Duration,
    /// Between the `installing` report and the point of no return; the protocol allows up to 10 s.
    pub cancel_window: Duration,
    pub install: Duration,
    /// How long a reboot takes.
    pub reboot: Duration,
    /// How long a new version is on trial before it is marked good; zero for no trial.
    pub trial: Duration,
    /// How long a device stays off after a power loss, or before it comes back with the old version.
    pub away: Duration,
    /// How long a late device takes to answer.
    pub late: Duration,
    /// What a deferring device sends in `retry_after_s`, after which it asks again.
    pub retry_after: Duration,
    /// Time between being marked good and falling back.
    pub fall_back: Duration,
    /// Between two attempts to download, and between two requests for a fresh link.
    pub http_retry: Duration,
    /// The longest wait between two attempts to connect.
    pub reconnect: Duration,
    /// A held-back report (of a device that swaps reports) is sent alone after this.
    pub hold_back: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            download: ms(200),
            progress: ms(5_000),
            verify: ms(50),
            cancel_window: ms(200),
            install: ms(200),
            reboot: ms(200),
            trial: ms(0),
            away: ms(2_000),
            late: ms(5_000),
            retry_after: ms(2_000),
            fall_back: ms(2_000),
            http_retry: ms(500),
            reconnect: ms(5_000),
            hold_back: ms(1_000),
        }
    }
}

impl Pace {
    /// All work takes `factor` times as long. Limits of retries and connections stay as they are.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let by = |duration: Duration| duration.mul_f64(factor.max(0.0));
        Self {
            download: by(self.download),
            verify: by(self.verify),
            cancel_window: by(self.cancel_window),
            install: by(self.install),
            reboot: by(self.reboot),
            trial: by(self.trial),
            away: by(self.away),
            late: by(self.late),
            retry_after: by(self.retry_after),
            fall_back: by(self.fall_back),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_stretches_work_and_not_retries() {
        let pace = Pace::default().scaled(10.0);
        assert_eq!(pace.install, ms(2_000));
        assert_eq!(pace.http_retry, Pace::default().http_retry);
    }
}
