//! Devices whose downlink ended without being received. The reader of ChirpStack's events reports them, and the owner of outbound looks at them
//! again.

use domain::{DeviceId, TenantId};
use tokio::sync::mpsc;

use crate::device_ref::DeviceRef;

/// Most devices that are reported and not yet looked at. A further one waits until it is looked at anyway.
const TOLD_MAX: usize = 4_096;

/// Reports to the owner of outbound, if it is in this process. In another process, and above the bound, nothing is lost: every command that
/// isn't answered is looked at again, only later.
#[derive(Debug, Clone)]
pub(crate) struct DownlinksEnded(mpsc::Sender<DeviceRef>);

/// The receiver of these reports.
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
