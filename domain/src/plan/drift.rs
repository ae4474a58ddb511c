//! How a plan differs from the one that was previewed: by reason and, if the previewed plan can be computed again, by device.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{PlanCounts, PlanEntry};
use crate::device::Exclusion;
use crate::ids::DeviceId;

/// Most devices that a drift names.
pub const DRIFT_DEVICES_MAX: usize = 20;

/// What happens when the plan is not the previewed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDrift {
    /// The campaign begins, and its plan shows the drift.
    Proceed,
    /// The campaign doesn't begin.
    Refuse,
}

/// The plan that the sender of a start has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectedPlan {
    pub plan_hash: String,
    pub on_drift: OnDrift,
    /// What is known of the preview with this hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previewed: Option<PreviewedPlan>,
}

impl ExpectedPlan {
    /// Whether a plan with this hash must not begin.
    pub fn refuses(&self, plan_hash: &str) -> bool {
        self.on_drift == OnDrift::Refuse && self.plan_hash != plan_hash
    }
}

/// A plan that a preview has shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviewedPlan {
    /// Position of the log at which the devices were read, and the time: holds may have an end.
    pub at_position: u64,
    pub at: DateTime<Utc>,
    /// Digest of the specification and the seed.
    pub specification: String,
    #[serde(flatten)]
    pub counts: PlanCounts,
}

/// Why it is not known which devices have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unexplained {
    /// No preview with this hash is kept.
    PreviewUnknown,
    /// The campaign's specification or seed is not the previewed one.
    SpecificationChanged,
    /// The filter of a dynamic target group is not the previewed one.
    GroupFilterChanged,
    /// Too many devices or members have changed since the preview.
    TooManyChanges,
    /// The previewed plan can't be computed again from the log.
    NotReproducible,
}

/// How a plan differs from the previewed one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanDrift {
    pub previewed_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previewed: Option<PreviewedPlan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<PlanChanges>,
    /// Present without `changes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<Unexplained>,
}

/// Devices whose place in the plan has changed, each counted once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanChanges {
    /// Take part, and were not selected before.
    pub added: u32,
    /// Are not selected any more.
    pub removed: u32,
    /// Excluded now, by the present reason: they took part before, or were not selected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub now_excluded: BTreeMap<Exclusion, u32>,
    /// Take part now, by the reason that excluded them before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub no_longer_excluded: BTreeMap<Exclusion, u32>,
    /// Excluded before and now, by the present reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_reason: BTreeMap<Exclusion, u32>,
    /// Take part in another wave.
    pub other_wave: u32,
    /// Run another version, and nothing else has changed.
    pub other_version: u32,
    /// The first of them by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<ChangedDevice>,
}

/// A device whose place in the plan has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedDevice {
    pub device: DeviceId,
    /// None if it was not selected.
    pub before: Option<Place>,
    /// None if it is not selected any more.
    pub now: Option<Place>,
}

/// Where a device stands in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// 0 if it is excluded.
    pub wave: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<Exclusion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<String>,
}

impl Place {
    fn of(entry: &PlanEntry) -> Self {
        Self { wave: entry.wave, excluded: entry.excluded, from_version: entry.from_version.clone() }
    }
}

impl PlanChanges {
    /// What has changed between two plans.
    pub fn between(before: &[PlanEntry], now: &[PlanEntry]) -> Self {
        let mut past: HashMap<&DeviceId, &PlanEntry> = before.iter().map(|entry| (&entry.device, entry)).collect();
        let mut changed: BTreeMap<&DeviceId, (Option<&PlanEntry>, Option<&PlanEntry>)> = BTreeMap::new();
        for entry in now {
            let was = past.remove(&entry.device);
            if was.map(Place::of) != Some(Place::of(entry)) {
                changed.insert(&entry.device, (was, Some(entry)));
            }
        }
        changed.extend(past.into_iter().map(|(device, was)| (device, (Some(was), None))));
        let mut changes = Self::default();
        for (was, is) in changed.values() {
            changes.count(*was, *is);
        }
        let named = changed.into_iter().take(DRIFT_DEVICES_MAX).map(|(device, (was, is))| ChangedDevice {
            device: device.clone(),
            before: was.map(Place::of),
            now: is.map(Place::of),
        });
        changes.devices = named.collect();
        changes
    }

    fn count(&mut self, was: Option<&PlanEntry>, is: Option<&PlanEntry>) {
        let mut add = |counts: fn(&mut Self) -> &mut BTreeMap<Exclusion, u32>, reason| {
            *counts(self).entry(reason).or_insert(0) += 1;
        };
        match (was.map(|was| was.excluded), is.map(|is| is.excluded)) {
            (None, Some(None)) => self.added += 1,
            (_, None) => self.removed += 1,
            (None | Some(None), Some(Some(reason))) => add(|changes| &mut changes.now_excluded, reason),
            (Some(Some(reason)), Some(None)) => add(|changes| &mut changes.no_longer_excluded, reason),
            (Some(Some(before)), Some(Some(reason))) if before != reason => {
                add(|changes| &mut changes.other_reason, reason);
            }
            (Some(None), Some(None)) if was.map(|was| was.wave) != is.map(|is| is.wave) => self.other_wave += 1,
            (Some(_), Some(_)) => self.other_version += 1,
        }
    }
}

impl PlanDrift {
    /// What has changed, as a sentence without its end: `2 devices added, 1 now held`.
    pub fn summary(&self, now: &PlanCounts) -> String {
        let mut parts = match (&self.changes, &self.previewed) {
            (Some(changes), _) => describe_changes(changes),
            (None, Some(previewed)) => describe_counts(&previewed.counts, now),
            (None, None) => vec!["no preview with this hash is known".to_owned()],
        };
        if self.unexplained == Some(Unexplained::SpecificationChanged) {
            parts.insert(0, "the campaign's specification was changed".to_owned());
        }
        if parts.is_empty() { "other devices, in the same numbers".to_owned() } else { parts.join(", ") }
    }
}

fn describe_changes(changes: &PlanChanges) -> Vec<String> {
    let by_reason = |counts: &BTreeMap<Exclusion, u32>, words: &'static str| -> Vec<(u32, String)> {
        counts.iter().map(|(reason, count)| (*count, format!("{words} {}", reason.word()))).collect()
    };
    let mut parts = vec![(changes.added, "added".to_owned()), (changes.removed, "removed".to_owned())];
    parts.extend(by_reason(&changes.now_excluded, "now excluded as"));
    parts.extend(by_reason(&changes.no_longer_excluded, "no longer excluded as"));
    parts.extend(by_reason(&changes.other_reason, "excluded for another reason,"));
    parts.push((changes.other_wave, "in another wave".to_owned()));
    parts.push((changes.other_version, "on another version".to_owned()));
    parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect()
}

fn describe_counts(before: &PlanCounts, now: &PlanCounts) -> Vec<String> {
    let change =
        |name: &str, before: u32, now: u32| (before != now).then(|| format!("{name}: {before} before, {now} now"));
    let reasons: BTreeSet<Exclusion> = before.excluded.keys().chain(now.excluded.keys()).copied().collect();
    let count = |counts: &PlanCounts, reason| counts.excluded.get(&reason).copied().unwrap_or(0);
    let mut parts: Vec<String> = change("devices", before.devices, now.devices).into_iter().collect();
    parts.extend(
        reasons.into_iter().filter_map(|reason| change(reason.word(), count(before, reason), count(now, reason))),
    );
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(device: &str, wave: u16, excluded: Option<Exclusion>, version: &str) -> PlanEntry {
        let device = DeviceId::new(device).unwrap();
        PlanEntry { device, rank: 0, wave, excluded, from_version: Some(version.to_owned()), lorawan: false }
    }

    #[test]
    fn each_changed_device_is_counted_once_by_what_happened_to_it() {
        use Exclusion::{AlreadyOnVersion, Held, WrongModel};
        let before = [
            entry("a-same", 1, None, "1"),
            entry("b-wave", 1, None, "1"),
            entry("c-held", 1, None, "1"),
            entry("d-free", 0, Some(Held), "1"),
            entry("e-reason", 0, Some(WrongModel), "1"),
            entry("f-gone", 2, None, "1"),
            entry("g-version", 2, None, "1"),
        ];
        let now = [
            entry("a-same", 1, None, "1"),
            entry("b-wave", 2, None, "1"),
            entry("c-held", 0, Some(Held), "1"),
            entry("d-free", 1, None, "1"),
            entry("e-reason", 0, Some(AlreadyOnVersion), "1"),
            entry("g-version", 2, None, "1.1"),
            entry("h-new", 1, None, "1"),
            entry("i-new", 0, Some(Held), "1"),
        ];
        let changes = PlanChanges::between(&before, &now);
        let counts = (changes.added, changes.removed, changes.other_wave, changes.other_version);
        assert_eq!(counts, (1, 1, 1, 1));
        assert_eq!(changes.now_excluded, BTreeMap::from([(Held, 2)]));
        assert_eq!(changes.no_longer_excluded, BTreeMap::from([(Held, 1)]));
        assert_eq!(changes.other_reason, BTreeMap::from([(AlreadyOnVersion, 1)]));
        let named: Vec<&str> = changes.devices.iter().map(|changed| changed.device.as_str()).collect();
        assert_eq!(named, ["b-wave", "c-held", "d-free", "e-reason", "f-gone", "g-version", "h-new", "i-new"]);
        assert_eq!(PlanChanges::between(&now, &now), PlanChanges::default());
        let drift =
            PlanDrift { previewed_hash: "00".into(), previewed: None, changes: Some(changes), unexplained: None };
        let said = drift.summary(&PlanCounts::default());
        assert!(said.starts_with("1 added, 1 removed, 2 now excluded as held, 1 no longer excluded as held"), "{said}");
    }

    #[test]
    fn without_the_previewed_devices_the_numbers_are_compared() {
        let counts = |devices: u32, held: u32| PlanCounts {
            devices,
            excluded: if held > 0 { BTreeMap::from([(Exclusion::Held, held)]) } else { BTreeMap::new() },
            waves: vec![devices],
        };
        let previewed = PreviewedPlan {
            at_position: 1,
            at: DateTime::UNIX_EPOCH,
            specification: String::new(),
            counts: counts(9, 0),
        };
        let drift = |previewed| PlanDrift {
            previewed_hash: "00".into(),
            previewed,
            changes: None,
            unexplained: Some(Unexplained::TooManyChanges),
        };
        let mut edited = drift(Some(previewed.clone()));
        edited.unexplained = Some(Unexplained::SpecificationChanged);
        assert_eq!(edited.summary(&counts(9, 0)), "the campaign's specification was changed");
        let known = drift(Some(previewed));
        assert_eq!(known.summary(&counts(8, 1)), "devices: 9 before, 8 now, held: 0 before, 1 now");
        assert_eq!(known.summary(&counts(9, 0)), "other devices, in the same numbers");
        assert_eq!(drift(None).summary(&counts(9, 0)), "no preview with this hash is known");
    }

    #[test]
    fn a_drift_names_few_devices() {
        let now: Vec<PlanEntry> = (0..100).map(|n| entry(&format!("d-{n:03}"), 1, None, "1")).collect();
        let changes = PlanChanges::between(&[], &now);
        assert_eq!((changes.added, changes.devices.len()), (100, DRIFT_DEVICES_MAX));
    }
}
