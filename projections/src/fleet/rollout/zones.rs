//! The zone of a device, as it is before the record that is applied: the rows of devices are those after the batch. It decides when maintenance
//! windows are open, and so which clocks of waiting updates run.

use domain::events::DeviceEvent as E;

use super::fold::Fold;
use crate::decode::Decoded;
use crate::fleet::update_clocks;

impl Fold<'_> {
    pub(super) fn zone(&self, device: &[String; 2]) -> Option<String> {
        match self.zones.get(device) {
            Some(zone) => zone.clone(),
            None => self.devices.before(device).and_then(|row| row.timezone.clone()),
        }
    }

    /// Applies an event that may move the device to another zone.
    pub(super) fn apply_zone(&mut self, record: &Decoded, event: &E) {
        let device = [record.tenant(), record.id()];
        let (former, zone) = match event {
            E::Registered { profile, .. } | E::Recommissioned { profile, .. } => {
                (self.zone(&device), profile.timezone.clone())
            }
            E::Amended { patch, .. } => {
                let former = self.zone(&device);
                let mut zone = former.clone();
                patch.timezone.apply_to(&mut zone);
                (former, zone)
            }
            _ => return,
        };
        if zone == former {
            return;
        }
        for update in
            self.updates.all_mut().filter(|update| update.tenant == device[0] && update.device_id == device[1])
        {
            let Some(campaign) = &update.campaign_id else { continue };
            if let Some(row) = self.campaigns.get(&[device[0].clone(), campaign.clone()]) {
                update_clocks::change_zone(update, row, record.at(), former.as_deref(), zone.as_deref());
            }
        }
        self.zones.insert(device, zone);
    }
}
