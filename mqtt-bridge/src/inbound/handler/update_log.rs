//! Pieces of the logs of updates. They go to telemetry, never into events.

use event_store::dead_letters::DeadLetterReason;
use event_store::telemetry::TelemetryKind;

use super::{Handler, Ignored};
use crate::inbound::Delivery;
use crate::inbound::intake_error::IntakeError;
use crate::topics::DeviceTopic;
use crate::wire::LogPiece;

impl Handler {
    /// Keeps a piece of the log of an update that the device remembers: one that has not ended, or is among the latest that have.
    pub(super) async fn update_log(
        &self,
        topic: &DeviceTopic,
        ordinal: u32,
        payload: &[u8],
        delivery: Option<Delivery>,
    ) -> Result<Ignored, IntakeError> {
        let text = LogPiece::read(payload)?;
        let device = self.active(topic).await?;
        if device.update(ordinal).is_none() {
            let why = match device.last_ordinal {
                last if ordinal <= last => format!("update {ordinal} ended long ago: its log isn't taken any more"),
                last => format!("no update {ordinal} of this device: it has had {last}"),
            };
            return Err(IntakeError::rejected(DeadLetterReason::NoSuchUpdate, why));
        }
        self.seen_online(topic, delivery).await?;
        self.publish(topic, TelemetryKind::Log, delivery, None, &LogPiece { ordinal, text }).await?;
        Ok(None)
    }
}
