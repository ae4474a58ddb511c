//! Rules for each field of a specification. All commands use them: create, replace, adjust, clone.

use chrono::{DateTime, TimeDelta, Utc};

use super::spec::{
    CONCURRENT_MAX, CampaignSpec, JITTER_MAX_SECONDS, RETRIES_MAX, SCHEDULED_AHEAD_MAX_DAYS, Strategy,
    TARGET_DEVICES_MAX, TARGET_GROUPS_MAX, WAVES_MAX,
};
use crate::rejection::Rejection;
use crate::values::{
    LONG_TEXT_MAX_CHARS, MINUTES_MAX, Percent, SHORT_TEXT_MAX_CHARS, YEARS, is_short_text, is_usable_time,
};

/// The field with the time at which a campaign starts by itself.
const SCHEDULED_START: &str = "scheduled_start";

/// A field, and the reason why its value is refused.
pub type Violation = (String, String);

#[derive(Default)]
pub(super) struct Violations(pub(super) Vec<Violation>);

impl Violations {
    pub(super) fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push((field.into(), reason.into()));
    }

    pub(super) fn short(&mut self, field: impl Into<String>, text: Option<&str>) {
        if text.is_some_and(|text| !is_short_text(text)) {
            self.add(field, format!("1 to {SHORT_TEXT_MAX_CHARS} characters without control characters"));
        }
    }

    fn at_least_1(&mut self, field: &str, value: Option<u32>) {
        if value == Some(0) {
            self.add(field, "must be at least 1");
        }
    }

    fn minutes(&mut self, field: impl Into<String>, minutes: Option<u32>) {
        if minutes.is_some_and(|minutes| minutes > MINUTES_MAX) {
            self.add(field, format!("at most {MINUTES_MAX}"));
        }
    }
}

impl CampaignSpec {
    /// Checks each field, and that the fields agree with one another.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), Rejection> {
        match self.violations(now).into_iter().next() {
            None => Ok(()),
            Some((field, reason)) => Err(Rejection::Invalid { field, reason }),
        }
    }

    /// Refuses a change only for violations that the specification did not have before. So an old violation does not block other changes.
    /// The campaign has started, so its scheduled start has no rules any more.
    pub(crate) fn check_change(&self, before: &Self, now: DateTime<Utc>) -> Result<(), Rejection> {
        let mut known = before.violations(now);
        known.retain(|(field, _)| field != "ends_at" || self.ends_at == before.ends_at);
        let is_new = |violation: &Violation| violation.0 != SCHEDULED_START && !known.contains(violation);
        let new = self.violations(now).into_iter().find(is_new);
        new.map_or(Ok(()), |(field, reason)| Err(Rejection::Invalid { field, reason }))
    }

    /// All violations, in the order of the fields.
    pub fn violations(&self, now: DateTime<Utc>) -> Vec<Violation> {
        let mut found = Violations::default();
        self.texts(&mut found);
        self.targets(&mut found);
        self.wave_rules(&mut found);
        self.bounds(&mut found);
        if self.ends_at.is_some_and(|ends_at| !is_usable_time(ends_at)) {
            found.add("ends_at", format!("a year from {} to {}", YEARS.start(), YEARS.end()));
        } else if self.is_over(now) {
            found.add("ends_at", "has passed");
        }
        self.start_rules(&mut found, now);
        for (field, reason) in self.preconditions.iter().flat_map(|wanted| wanted.violations()) {
            found.add(format!("preconditions.{field}"), reason);
        }
        for (place, reason) in self.maintenance_window.violations() {
            found.add(format!("maintenance_window{place}"), reason);
        }
        found.0
    }

    /// Whether its end has passed.
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at <= now)
    }

    fn start_rules(&self, found: &mut Violations, now: DateTime<Utc>) {
        match self.scheduled_start {
            None if self.strategy == Strategy::Scheduled => {
                found.add(SCHEDULED_START, "the strategy scheduled needs it")
            }
            None => {}
            Some(start) if start <= now => found.add(SCHEDULED_START, "has passed"),
            Some(start) if start > now + TimeDelta::days(SCHEDULED_AHEAD_MAX_DAYS) => {
                found.add(SCHEDULED_START, format!("at most {SCHEDULED_AHEAD_MAX_DAYS} days from now"));
            }
            Some(start) if self.ends_at.is_some_and(|ends_at| ends_at <= start) => {
                found.add(SCHEDULED_START, "must be before ends_at");
            }
            Some(_) => {}
        }
    }

    fn texts(&self, found: &mut Violations) {
        found.short("name", self.name.plain().map(String::as_str));
        let description = self.description.as_ref().and_then(|text| text.plain());
        if description.is_some_and(|text| text.chars().count() > LONG_TEXT_MAX_CHARS) {
            found.add("description", format!("at most {LONG_TEXT_MAX_CHARS} characters"));
        }
        found.short("sample_seed", self.sample_seed.as_deref());
    }

    fn targets(&self, found: &mut Violations) {
        let is_named = !self.target_devices.is_empty() || !self.target_groups.is_empty();
        if !is_named && self.target_filters.is_empty() && !self.target_all {
            found.add("target_devices", "no target: give target_devices, target_groups, target_filters or target_all");
        }
        if self.target_devices.len() > TARGET_DEVICES_MAX {
            found.add("target_devices", format!("more than {TARGET_DEVICES_MAX}"));
        }
        if self.target_groups.len() > TARGET_GROUPS_MAX {
            found.add("target_groups", format!("more than {TARGET_GROUPS_MAX}"));
        }
        found.0.extend(self.target_filters.violations("target_filters"));
    }

    fn wave_rules(&self, found: &mut Violations) {
        if self.waves.is_empty() || self.waves.len() > WAVES_MAX {
            return found.add("waves", format!("between 1 and {WAVES_MAX} waves"));
        }
        if !self.waves.windows(2).all(|pair| pair[0].percentage < pair[1].percentage) {
            found.add("waves", "percentages must rise strictly");
        }
        if self.waves.last().map(|wave| wave.percentage) != Some(Percent::ALL) {
            found.add("waves", "the last wave must be 100");
        }
        for (index, wave) in self.waves.iter().enumerate() {
            found.short(format!("waves[{index}].name"), wave.name.as_deref());
            found.minutes(format!("waves[{index}].soak_minutes"), wave.soak_minutes);
        }
    }

    fn bounds(&self, found: &mut Violations) {
        let positive = [
            ("max_concurrent_updates", Some(self.max_concurrent_updates)),
            ("batch_size", self.batch_size),
            ("canary_size", self.canary_size),
            ("failure_count", self.failure_count),
            ("gate_min_settled", Some(self.gate_min_settled)),
            ("rate_per_minute", self.rate_per_minute),
            ("jitter_seconds", self.jitter_seconds),
            ("timeout_minutes", Some(self.timeout_minutes)),
            ("wait_for_device_minutes", Some(self.wait_for_device_minutes)),
            ("lorawan.max_concurrent_updates", self.lorawan.max_concurrent_updates),
            ("lorawan.rate_per_minute", self.lorawan.rate_per_minute),
            ("lorawan.batch_size", self.lorawan.batch_size),
        ];
        for (field, value) in positive {
            found.at_least_1(field, value);
        }
        let concurrent = [
            ("max_concurrent_updates", Some(self.max_concurrent_updates)),
            ("lorawan.max_concurrent_updates", self.lorawan.max_concurrent_updates),
        ];
        for (field, _) in concurrent.into_iter().filter(|(_, most)| *most > Some(CONCURRENT_MAX)) {
            found.add(field, format!("at most {CONCURRENT_MAX}"));
        }
        if self.max_retries > RETRIES_MAX {
            found.add("max_retries", format!("at most {RETRIES_MAX}"));
        }
        if self.jitter_seconds.is_some_and(|seconds| seconds > JITTER_MAX_SECONDS) {
            found.add("jitter_seconds", format!("at most {JITTER_MAX_SECONDS}"));
        }
        found.minutes("soak_minutes", Some(self.soak_minutes));
        found.minutes("wave_wait_minutes", Some(self.wave_wait_minutes));
        found.minutes("timeout_minutes", Some(self.timeout_minutes));
        found.minutes("wait_for_device_minutes", Some(self.wait_for_device_minutes));
    }
}
