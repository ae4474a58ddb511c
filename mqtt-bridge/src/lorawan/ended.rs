//! Devices whose downlink ended otherwise than by its reception: whoever reads ChirpStack's events tells, and the owner of outbound looks at
//! the device again.

use domain::{DeviceId, TenantId};
use tokio::sync::mpsc;

use crate::outbound::DeviceRef;

/// Most devices that are told of and not yet looked at. What is above that waits for the device's next look.
const TOLD_MAX: usize = 4_096;

/// Tells the owner of outbound, if it is this process. Elsewhere and above the bound nothing is lost: every command that isn't answered is
/// looked at again, only later.
#[derive(Debug, Clone)]
pub(crate) struct DownlinksEnded(mpsc::Sender<DeviceRef>);

/// The other end.
pub(crate) type EndedDownlinks = mpsc::Receiver<DeviceRef>;

pub(crate) fn ended_downlinks() -> (DownlinksEnded, EndedDownlinks) {
    let (sender, receiver) = mpsc::channel(TOLD_MAX);
    (DownlinksEnded(sender), receiver)
}

impl DownlinksEnded {
    /// ChirpStack has dropped an item of the device's queue, or couldn't send it: `acknowledged: false`, a log event
    /// `DOWNLINK_PAYLOAD_SIZE`, `EXPIRED`, `F_CNT_DOWN` or `DOWNLINK_GATEWAY`. Never waits.
    pub(crate) fn tell(&self, tenant: &TenantId, device: &DeviceId) {
        let told = self.0.try_send(DeviceRef { tenant: tenant.clone(), device: device.clone() });
        let outcome = if told.is_ok() { "told" } else { "dropped" };
        metrics::counter!("waybill_lorawan_downlinks_ended_total", "outcome" => outcome).increment(1);
    }
}
