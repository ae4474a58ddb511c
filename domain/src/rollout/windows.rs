//! What maintenance windows mean for the clocks of a campaign.

use chrono::{DateTime, TimeDelta, Utc};

use super::RolloutView;
use crate::campaign::Advance;
use crate::window::Opening;

/// How far ahead the end of a wave's wait is looked for, in days. A later one is shown as this time.
const WAVE_WAIT_SHOWN_MAX_DAYS: i64 = 366;

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

    /// From when something waits for devices that began to wait then: they had no chance to begin before the last freeze ended.
    pub(super) fn waits_from(&self, began: DateTime<Utc>) -> DateTime<Utc> {
        self.released_at.map_or(began, |released_at| began.max(released_at))
    }

    /// When the open wave has waited long enough for devices that don't come, at the latest at the campaign's end. Only time counts in which
    /// they could begin.
    pub(super) fn wave_wait_ends(&self) -> Option<DateTime<Utc>> {
        let opened = self.wave_waits_from()?;
        let furthest = opened + TimeDelta::days(WAVE_WAIT_SHOWN_MAX_DAYS);
        let latest = self.ends_at.map_or(furthest, |ends_at| ends_at.min(furthest));
        let ends = |zone: Option<&str>| self.wave_wait_of(zone, opened, latest).unwrap_or(latest);
        self.zones.iter().map(|zone| ends(zone.as_deref())).max().or_else(|| Some(ends(None)))
    }

    /// Whether it has waited long enough by now. Looks at no time after that, and at no more than it needs.
    pub(super) fn is_wave_wait_over(&self, now: DateTime<Utc>) -> bool {
        let Some(opened) = self.wave_waits_from() else { return false };
        let is_over = |zone: Option<&str>| self.wave_wait_of(zone, opened, now).is_some();
        match self.zones.is_empty() {
            true => is_over(None),
            false => self.zones.iter().all(|zone| is_over(zone.as_deref())),
        }
    }

    /// The end of the wait for devices of one zone, unless that is after `latest`.
    fn wave_wait_of(&self, zone: Option<&str>, opened: DateTime<Utc>, latest: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let needed = TimeDelta::minutes(self.spec.wave_wait_minutes.into());
        self.spec.maintenance_window.after_open_by(zone, opened, needed, latest)
    }

    /// Whether the end of the open wave would open another one by itself, and the windows are closed.
    pub(super) fn next_wave_waits_for_window(&self, now: DateTime<Utc>) -> bool {
        let is_auto = self.spec.advance_after(self.wave) == Advance::Auto;
        is_auto && self.guards_others() && !self.opening(now).is_open()
    }
}
