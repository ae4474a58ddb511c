//! What each record changes in the rows of campaigns.

use domain::campaign::CampaignStatus;
use domain::events::{DeviceEvent, FirmwareEvent, LedgerEvent};
use domain::ledger::devices_of;

use super::fold::Fold;
use crate::db::DbError;
use crate::decode::{Decoded, Events};
use crate::fleet::updates;

impl Fold<'_> {
    pub(super) fn apply(&mut self, record: &Decoded) -> Result<(), DbError> {
        match &record.events {
            Events::Campaign(events) => {
                let before = self.status_of(record);
                events.iter().try_for_each(|event| self.apply_campaign(record, event))?;
                let now = self.status_of(record);
                self.tally.campaign(record, before, now);
                Ok(())
            }
            Events::Device(events) => (record.record.first_version()..)
                .zip(events)
                .try_for_each(|(version, event)| self.apply_device(record, version, event)),
            Events::Ledger(events) => {
                events.iter().for_each(|event| self.apply_grant(record, event));
                Ok(())
            }
            Events::Firmware(events) => {
                events.iter().for_each(|event| self.apply_firmware(record, event));
                Ok(())
            }
            // The members of a plan are written by [`super::written_plan`].
            Events::Plan(_)
            | Events::Group(_)
            | Events::Tenant(_)
            | Events::RegistrationToken(_)
            | Events::Unshown
            | Events::Fuota(_)
            | Events::LorawanProfile(_)
            | Events::Unread => Ok(()),
        }
    }

    /// The status of the record's campaign.
    fn status_of(&self, record: &Decoded) -> Option<CampaignStatus> {
        self.campaigns.get(&[record.tenant(), record.id()]).map(|row| row.status)
    }

    fn apply_grant(&mut self, record: &Decoded, event: &LedgerEvent) {
        let LedgerEvent::Granted { number, grants, granted_total, .. } = event;
        let campaign = [record.tenant(), record.id()];
        let (mut is_over, mut round) = (false, None);
        if let Some(row) = self.campaigns.get_mut(&campaign) {
            row.ledger_version = *number;
            row.granted_total = *granted_total;
            row.set_paced_until(row.spec.paced_until(row.paced_until(), record.at(), devices_of(grants)));
            is_over = row.planned_outcome.is_some();
            round = row.rollback_round();
        }
        for slot in grants {
            let Some(key) = self.member_key(&campaign, slot.device.as_str()) else { continue };
            self.change_member(&key, record.reference(), |member| {
                let goes_back = round.is_some_and(|round| member.gets_slot_for_rollback(round));
                let is_ended = !goes_back && (member.is_ended() || (is_over && member.is_planned()));
                member.holds_slot = !is_ended;
                member.grant_number = *number;
                member.grant_seen = is_ended;
            });
        }
    }

    fn apply_firmware(&mut self, record: &Decoded, event: &FirmwareEvent) {
        let (campaign, pinned) = match event {
            FirmwareEvent::Pinned { campaign } => (campaign, true),
            FirmwareEvent::Unpinned { campaign } => (campaign, false),
            _ => return,
        };
        if let Some(row) = self.campaigns.get_mut(&[record.tenant(), campaign.to_string()]) {
            // A campaign that moved to another firmware unpins the former one.
            let is_former = row.spec.firmware_id.to_string() != record.id();
            row.pinned = pinned || (is_former && row.pinned);
        }
    }

    /// `version`: the device's version after the event.
    fn apply_device(&mut self, record: &Decoded, version: u64, event: &DeviceEvent) -> Result<(), DbError> {
        self.apply_zone(record, event);
        let device = self.devices.get_mut(&[record.tenant(), record.id()]);
        for (campaign, ordinal, runs) in device.map(|device| device.apply_tracked(event)).unwrap_or_default() {
            let Some(key) = self.member_key(&[record.tenant(), campaign], &record.id()) else { continue };
            self.change_member(&key, record.reference(), |member| member.record_late_confirmation(ordinal, runs));
        }
        let member = self.member_of(record, event);
        let before = member.as_ref().and_then(|key| self.contribution(key));
        let campaign = event.update().and_then(|update| update.campaign);
        let row = campaign.and_then(|id| self.campaigns.get(&[record.tenant(), id.to_string()]));
        let follows = row.is_some_and(|row| row.spec.maintenance_window.follow_devices());
        let zone = if follows { self.zone(&[record.tenant(), record.id()]) } else { None };
        let windows = row.and_then(|row| row.windows_for(zone.as_deref()));
        updates::apply(&mut self.updates, record, version, event, windows, self.tally)?;
        if let (Some(key), Some(before), Some(update)) = (member, before, event.update()) {
            if let Some(member) = self.members.get_mut(&key)
                && let Some(of_rollback) = member.is_of_rollback(event, update.ordinal)
            {
                if of_rollback {
                    member.apply_rollback(event, update.ordinal);
                    self.count(&key, record.reference(), &before);
                    return Ok(());
                }
                // The retry was granted before the device was found to run the version.
                if matches!(event, DeviceEvent::UpdateQueued { .. }) && member.is_ended() && !member.is_superseded() {
                    member.reset_for_retry();
                }
                (member.ordinal, member.before_retry) = (Some(update.ordinal), None);
                member.apply(event, record.at());
                if event.failure_code().is_some() {
                    member.failed_hardware = self.tally.hardware_at(record);
                }
            }
            self.count(&key, record.reference(), &before);
        }
        Ok(())
    }

    /// Key of the member whose present update the event is about; none when the event changes nothing for its campaign.
    fn member_of(&self, record: &Decoded, event: &DeviceEvent) -> Option<Vec<String>> {
        let update = event.update()?;
        let campaign = [record.tenant(), update.campaign?.to_string()];
        // Events after its end don't change a campaign's result.
        let closed = self.campaigns.get(&campaign).is_none_or(|row| !row.at_work);
        if closed && matches!(event, DeviceEvent::VersionRegressed { .. }) {
            return None;
        }
        let key = self.member_key(&campaign, &record.id())?;
        let member = self.members.get(&key)?;
        // Another update has replaced it, by a retry or because it was overtaken.
        let is_replaced = member.retry_of.is_some_and(|old| update.ordinal <= old);
        let is_older = member.ordinal.is_some_and(|newer| update.ordinal < newer);
        (!is_replaced && !is_older).then_some(key)
    }
}
