//! Which rows a batch touches, so that they are loaded in sets.

use std::collections::BTreeSet;

use domain::events::{CampaignEvent, FirmwareEvent, LedgerEvent};

use super::late_confirmation::tells_of_others;
use crate::decode::{Decoded, Events};
use crate::fleet::device_row::DeviceRow;

/// Campaigns by tenant and id, their devices, and the plans that are committed.
#[derive(Default)]
pub(super) struct RowKeys {
    pub(super) campaigns: BTreeSet<Vec<String>>,
    devices: BTreeSet<(Vec<String>, String)>,
    plans: BTreeSet<(Vec<String>, String)>,
}

impl RowKeys {
    /// `stored` gives the row that a device has before the batch.
    pub(super) fn by<'a>(batch: &[Decoded], stored: impl Fn(&[String]) -> Option<&'a DeviceRow>) -> Self {
        let mut touched = Self::default();
        for record in batch {
            touched.add(record);
            if record.device_events().iter().any(tells_of_others) {
                touched.add_ended(stored(&[record.tenant(), record.id()]));
            }
        }
        touched
    }

    /// Campaigns whose update of this device has ended: a change of what it runs may concern them.
    fn add_ended(&mut self, device: Option<&DeviceRow>) {
        let Some(device) = device else { return };
        for sent in device.tracked.values().filter(|sent| sent.ended) {
            let campaign = vec![device.tenant.clone(), sent.campaign.clone()];
            self.devices.insert((campaign.clone(), device.device_id.clone()));
            self.campaigns.insert(campaign);
        }
    }

    fn add(&mut self, record: &Decoded) {
        let tenant = record.tenant();
        match &record.events {
            Events::Campaign(events) => {
                let campaign = vec![tenant, record.id()];
                for event in events {
                    if let CampaignEvent::Planned { summary } = event {
                        self.plans.insert((campaign.clone(), summary.plan.to_string()));
                    }
                }
                self.campaigns.insert(campaign);
            }
            Events::Ledger(events) => {
                let campaign = vec![tenant, record.id()];
                for LedgerEvent::Granted { grants, .. } in events {
                    self.devices.extend(grants.iter().map(|slot| (campaign.clone(), slot.device.to_string())));
                }
                self.campaigns.insert(campaign);
            }
            Events::Device(events) => {
                for campaign in events.iter().filter_map(|event| event.update()?.campaign) {
                    let campaign = vec![tenant.clone(), campaign.to_string()];
                    self.devices.insert((campaign.clone(), record.id()));
                    self.campaigns.insert(campaign);
                }
            }
            Events::Firmware(events) => {
                for event in events {
                    if let FirmwareEvent::Pinned { campaign } | FirmwareEvent::Unpinned { campaign } = event {
                        self.campaigns.insert(vec![tenant.clone(), campaign.to_string()]);
                    }
                }
            }
            Events::Plan(_)
            | Events::Group(_)
            | Events::Tenant(_)
            | Events::RegistrationToken(_)
            | Events::Unshown
            | Events::Fuota(_)
            | Events::LorawanProfile(_)
            | Events::Unread => {}
        }
    }

    /// Devices whose members are touched, also devices without an event of their own.
    pub(super) fn device_keys(&self) -> Vec<Vec<String>> {
        self.devices.iter().map(|(campaign, device)| vec![campaign[0].clone(), device.clone()]).collect()
    }

    /// Keys of members: of a campaign's plan, and of a plan that is committed in this batch.
    pub(super) fn members(&self, plan_of: impl Fn(&[String]) -> Option<String>) -> Vec<Vec<String>> {
        let mut keys = Vec::new();
        for (campaign, device) in &self.devices {
            let in_batch = self.plans.iter().filter(|(of, _)| of == campaign).map(|(_, plan)| plan.clone());
            for plan in plan_of(campaign).into_iter().chain(in_batch) {
                keys.push(vec![campaign[0].clone(), plan, device.clone()]);
            }
        }
        keys
    }
}
