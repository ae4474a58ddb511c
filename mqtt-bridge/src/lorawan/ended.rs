//! Devices whose downlink ended otherwise than by its reception: whoever reads ChirpStack's events tells, and the owner of outbound looks at
//! the device again.

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::network::{DownlinkEnd, DownlinkHook, DownlinkOutcome, HookUnavailable};
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

#[async_trait]
impl DownlinkHook for DownlinksEnded {
    /// Nothing is stored, because nothing is lost. Never waits.
    async fn ended(&self, outcome: &DownlinkOutcome) -> Result<(), HookUnavailable> {
        if is_for_another_look(&outcome.end) {
            let device = DeviceRef { tenant: outcome.tenant.clone(), device: outcome.device.clone() };
            let told = if self.0.try_send(device).is_ok() { "told" } else { "dropped" };
            metrics::counter!("waybill_lorawan_downlinks_ended_total", "outcome" => told).increment(1);
        }
        Ok(())
    }
}

/// Whether the device may not have received its command.
fn is_for_another_look(end: &DownlinkEnd) -> bool {
    match end {
        DownlinkEnd::NotAcknowledged | DownlinkEnd::Dropped { .. } | DownlinkEnd::GatewayRefused { .. } => true,
        DownlinkEnd::Sent | DownlinkEnd::Acknowledged => false,
    }
}
