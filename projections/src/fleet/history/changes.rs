//! What a device's events say about the versions that it runs.

use std::collections::BTreeMap;

use domain::CampaignId;
use domain::device::{DeviceEvent as E, ENDED_KEPT_MAX, Outcome, Phase, UpdateRef};

use crate::fleet::device_row::{DeviceRow, Entry, Sent, SentFirmware};

/// A change of the history.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    New(VersionChange),
    /// An existing entry gets its cause or outcome.
    Settled {
        entry: Entry,
        cause: Option<&'static str>,
        outcome: Option<&'static str>,
    },
}

/// One change of what a component runs.
#[derive(Debug, PartialEq)]
pub(super) struct VersionChange {
    pub(super) entry: Entry,
    pub(super) component: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) cause: &'static str,
    /// The update that caused it, with its campaign.
    pub(super) update: Option<(u32, Option<CampaignId>)>,
    pub(super) outcome: Option<&'static str>,
}

/// Collects the changes of one record.
struct Changes {
    position: u64,
    next_index: u32,
    all: Vec<Change>,
}

impl Changes {
    fn entry(&mut self) -> Entry {
        let index = self.next_index;
        self.next_index += 1;
        Entry { position: self.position, index }
    }

    fn settle(&mut self, entry: Entry, cause: Option<&'static str>, outcome: Option<&'static str>) {
        self.all.push(Change::Settled { entry, cause, outcome });
    }
}

impl DeviceRow {
    /// Keys of the entries that may be settled.
    pub(super) fn open_entries(&self) -> Vec<Vec<String>> {
        let entries = self.sent.values().filter_map(|sent| sent.entry);
        let key = |entry: Entry| {
            vec![self.tenant.clone(), self.device_id.clone(), entry.position.to_string(), entry.index.to_string()]
        };
        entries.map(key).collect()
    }

    /// Applies the events of one record to what runs and to what was sent. Returns what changed.
    pub(super) fn apply_versions(&mut self, position: u64, events: &[E]) -> Vec<Change> {
        let mut changes = Changes { position, next_index: 0, all: Vec::new() };
        let regressed = |component: &str| {
            events.iter().any(|event| matches!(event, E::VersionRegressed { component: of, .. } if of == component))
        };
        for event in events {
            match event {
                E::Registered { versions, .. } | E::Amended { versions, .. } => {
                    let cause = if matches!(event, E::Registered { .. }) { "registered" } else { "operator" };
                    for (component, version) in versions {
                        self.set_version(&mut changes, component, version, cause, None);
                    }
                }
                E::Recommissioned { versions, .. } => self.recommission(&mut changes, versions),
                E::VersionsReported { versions, trial, .. } => {
                    // A change that a regression explains is recorded once, by the regression.
                    for (component, version) in versions.iter().filter(|(component, _)| !regressed(component)) {
                        self.report_version(&mut changes, component, version);
                    }
                    if !trial {
                        self.settle_late(&mut changes);
                    }
                }
                E::VersionRegressed { update, component, to_version, .. } => {
                    let update = Some((update.ordinal, update.campaign));
                    self.set_version(&mut changes, component, to_version, "regressed", update);
                }
                E::UpdateConfirmed { update, component, version, reported, .. } => {
                    self.confirm_version(&mut changes, update, component, reported.as_ref().unwrap_or(version));
                }
                other => self.apply_sent(&mut changes, other),
            }
        }
        changes.all
    }

    /// Sets what runs; an empty version removes the component. Returns the entry if that is a change.
    fn set_version(
        &mut self,
        changes: &mut Changes,
        component: &str,
        version: &str,
        cause: &'static str,
        update: Option<(u32, Option<CampaignId>)>,
    ) -> Option<Entry> {
        let to = (!version.is_empty()).then(|| version.to_owned());
        let from = match &to {
            Some(version) => self.versions.insert(component.to_owned(), version.clone()),
            None => self.versions.remove(component),
        };
        if from == to {
            return None;
        }
        let (entry, component) = (changes.entry(), component.to_owned());
        changes.all.push(Change::New(VersionChange { entry, component, from, to, cause, update, outcome: None }));
        Some(entry)
    }

    /// A device reports what it runs: by itself, by an update that isn't confirmed yet or had ended, or back from one.
    fn report_version(&mut self, changes: &mut Changes, component: &str, version: &str) {
        if let Some((ordinal, sent)) = self.take_late(component, version) {
            let entry = self.set_version(changes, component, version, "late", Some((ordinal, sent.campaign)));
            if let Some(entry) = entry {
                changes.settle(entry, None, sent.outcome.map(Outcome::word));
            }
            return;
        }
        let of_component = |sent: &Sent| sent.told && sent.outcome.is_none() && sent.firmware.component == component;
        let brings = |sent: &Sent| of_component(sent) && sent.firmware.is_run_by(version);
        if let Some((ordinal, campaign)) =
            self.sent.iter().rev().find_map(|(o, s)| brings(s).then_some((*o, s.campaign)))
        {
            let entry = self.set_version(changes, component, version, "unconfirmed", Some((ordinal, campaign)));
            if let Some(sent) = self.sent.get_mut(&ordinal) {
                sent.entry = entry.or(sent.entry);
            }
            return;
        }
        let left = |sent: &Sent| {
            sent.entry.is_some() && sent.firmware.component == component && !sent.firmware.is_run_by(version)
        };
        let back = self.sent.iter().rev().find_map(|(o, s)| left(s).then_some((*o, s.campaign)));
        let cause = if back.is_some() { "fell_back" } else { "reported" };
        self.set_version(changes, component, version, cause, back);
        for sent in self.sent.values_mut().filter(|sent| left(sent)) {
            if let Some(entry) = sent.entry.take() {
                changes.settle(entry, None, Some("fell_back"));
            }
        }
    }

    fn confirm_version(&mut self, changes: &mut Changes, update: &UpdateRef, component: &str, running: &str) {
        let entry = self.sent.remove(&update.ordinal).and_then(|sent| sent.entry);
        let from = self.versions.insert(component.to_owned(), running.to_owned());
        if let Some(entry) = entry {
            return changes.settle(entry, Some("confirmed"), Some("confirmed"));
        }
        changes.all.push(Change::New(VersionChange {
            entry: Entry { position: changes.position, index: changes.next_index },
            component: component.to_owned(),
            from,
            to: Some(running.to_owned()),
            cause: "confirmed",
            update: Some((update.ordinal, update.campaign)),
            outcome: Some("confirmed"),
        }));
        changes.next_index += 1;
    }

    /// Deletes the versions from before the device was registered again.
    fn recommission(&mut self, changes: &mut Changes, versions: &BTreeMap<String, String>) {
        let gone: Vec<String> =
            self.versions.keys().filter(|component| !versions.contains_key(*component)).cloned().collect();
        for component in gone {
            self.set_version(changes, &component, "", "registered", None);
        }
        for (component, version) in versions {
            self.set_version(changes, component, version, "registered", None);
        }
    }

    fn apply_sent(&mut self, changes: &mut Changes, event: &E) {
        match event {
            E::UpdateQueued { update, spec, .. } => {
                let sent = Sent {
                    firmware: SentFirmware::of(&spec.firmware),
                    campaign: update.campaign,
                    told: false,
                    outcome: None,
                    entry: None,
                };
                self.sent.insert(update.ordinal, sent);
            }
            E::UpdateDispatched { update, .. } => {
                if let Some(sent) = self.sent.get_mut(&update.ordinal) {
                    sent.told = true;
                }
            }
            other => self.end_sent(changes, other),
        }
    }

    fn end_sent(&mut self, changes: &mut Changes, event: &E) {
        let (Some(update), Some(Phase::Ended(outcome))) = (event.update(), event.phase()) else { return };
        if update.attempt == 0 {
            self.sent.remove(&update.ordinal);
        } else if let Some(sent) = self.sent.get_mut(&update.ordinal) {
            sent.outcome = Some(outcome);
            if let Some(entry) = sent.entry {
                changes.settle(entry, None, Some(outcome.word()));
            }
        }
        while self.sent.values().filter(|sent| sent.outcome.is_some()).count() > ENDED_KEPT_MAX {
            let oldest = self.sent.iter().find(|(_, sent)| sent.outcome.is_some()).map(|(ordinal, _)| *ordinal);
            oldest.map(|ordinal| self.sent.remove(&ordinal));
        }
    }

    /// The latest ended update that was to bring this version.
    fn take_late(&mut self, component: &str, version: &str) -> Option<(u32, Sent)> {
        let fits = |sent: &Sent| {
            sent.outcome.is_some()
                && sent.entry.is_none()
                && sent.firmware.component == component
                && sent.firmware.is_run_by(version)
        };
        let ordinal = *self.sent.iter().rev().find(|(_, sent)| fits(sent))?.0;
        self.sent.remove(&ordinal).map(|sent| (ordinal, sent))
    }

    /// A version that an ended update installed is a late confirmation once it isn't on trial any more.
    fn settle_late(&mut self, changes: &mut Changes) {
        let versions = &self.versions;
        self.sent.retain(|_, sent| {
            let runs =
                || versions.get(&sent.firmware.component).is_some_and(|version| sent.firmware.is_run_by(version));
            match sent.entry.filter(|_| sent.outcome.is_some() && runs()) {
                Some(entry) => {
                    changes.settle(entry, Some("late"), None);
                    false
                }
                None => true,
            }
        });
    }
}

#[cfg(test)]
mod tests;
