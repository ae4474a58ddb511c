//! What maintenance windows mean for the clocks of a campaign.

use chrono::{DateTime, TimeDelta, Utc};

use super::RolloutView;
use crate::campaign::Advance;
use crate::window::Opening;

impl RolloutView {
    /// The windows of the whole campaign. Windows that follow devices are open if they are for any device, and open when they do for the
    /// first.
    pub fn opening(&self, now: DateTime<Utc>) -> Opening {
        let of = |zone: Option<&str>| self.spec.maintenance_window.at(zone, now);
        let mut all = self.zones.iter().map(|zone| of(zone.as_deref()));
        let Some(first) = all.next() else { return of(None) };
        all.fold(first, |one, other| match (one, other) {
            (Opening::Open { until: one }, Opening::Open { until: other }) => Opening::Open { until: one.max(other) },
            (Opening::Closed { until: one }, Opening::Closed { until: other }) => {
                Opening::Closed { until: one.min(other) }
            }
            (Opening::Closed { .. }, open) | (open, _) => open,
        })
    }

    /// When windows that are closed for some devices open for the first of them.
    pub(super) fn next_opening(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let opens = |zone: Option<&str>| match self.spec.maintenance_window.at(zone, now) {
            Opening::Closed { until } => Some(until),
            Opening::Always | Opening::Open { .. } => None,
        };
        if self.zones.is_empty() {
            return opens(None);
        }
        self.zones.iter().filter_map(|zone| opens(zone.as_deref())).min()
    }

    /// When the open wave has waited long enough for devices that don't come. Only time counts in which they could begin.
    pub(super) fn wave_wait_ends(&self) -> Option<DateTime<Utc>> {
        let opened = self.wave_waits_from()?;
        let needed = TimeDelta::minutes(self.spec.wave_wait_minutes.into());
        let ends = |zone: Option<&str>| self.spec.maintenance_window.after_open(zone, opened, needed);
        self.zones.iter().map(|zone| ends(zone.as_deref())).max().or_else(|| Some(ends(None)))
    }

    /// Whether the end of the open wave would open another one by itself, and the windows are closed.
    pub(super) fn next_wave_waits_for_window(&self, now: DateTime<Utc>) -> bool {
        let is_auto = self.spec.wave(self.wave).is_none_or(|wave| wave.advance == Advance::Auto);
        is_auto && self.guards_others() && !self.opening(now).is_open()
    }
}
