//! Reports on commands that a device runs beside its updates.

use domain::device::{Arrival, CommandState, Device, DeviceCommand, MarkTopic};
use event_store::dead_letters::DeadLetterReason;

use super::{Handler, Ignored};
use crate::inbound::Delivery;
use crate::inbound::intake_error::IntakeError;
use crate::topics::DeviceTopic;
use crate::wire::RunReport;

impl Handler {
    pub(super) async fn run_report(
        &self,
        topic: &DeviceTopic,
        n: u32,
        payload: &[u8],
        delivery: Option<Delivery>,
    ) -> Result<Ignored, IntakeError> {
        let message = RunReport::read(payload)?;
        let mark = delivery.and_then(|delivery| delivery.mark(MarkTopic::Report));
        let command = DeviceCommand::from(message.to_report(n)?).arrived(Arrival { mark, ..Arrival::default() });
        let committed = self.execute(topic, delivery, command).await?;
        self.record_contact(topic, delivery).await?;
        match unknown_command(&committed.aggregate, n) {
            Some(why) => Err(IntakeError::rejected(DeadLetterReason::NoSuchCommand, why)),
            None => Ok(message.ignored()),
        }
    }
}

/// Why a device can't have this command.
fn unknown_command(device: &Device, n: u32) -> Option<String> {
    match device.commands.get(n) {
        // Only the latest ended commands are remembered.
        None if n <= device.commands.last_n => None,
        None => Some(format!("no command {n} of this device: it has had {}", device.commands.last_n)),
        Some(command) if command.state == CommandState::Queued => {
            Some(format!("command {n} was not sent to the device yet"))
        }
        Some(_) => None,
    }
}
