//! Reports on an unknown update or attempt, or on one that is not live.

use domain::device::{Device, DeviceEvent, Report};
use event_store::Committed;
use event_store::dead_letters::DeadLetterReason;

use super::is_live;

/// The update or attempt of a report that never existed, as a reason and a detail.
pub(super) fn unknown_target(device: &Device, report: &Report) -> Option<(DeadLetterReason, String)> {
    let (ordinal, attempt) = (report.ordinal, report.attempt);
    match device.update(ordinal) {
        // Only the latest ended updates are remembered.
        None if ordinal <= device.last_ordinal => None,
        None => {
            let last = match device.last_ordinal {
                0 => "it has had no update".to_owned(),
                last => format!("its latest is {last}"),
            };
            Some((DeadLetterReason::NoSuchUpdate, format!("no update {ordinal} of this device: {last}")))
        }
        Some(update) if (1..=update.attempt).contains(&attempt) => None,
        Some(update) => {
            let made = match update.attempt {
                0 => "none was made yet".to_owned(),
                last => format!("the last one is {last}"),
            };
            Some((DeadLetterReason::NoSuchAttempt, format!("no attempt {attempt} of update {ordinal}: {made}")))
        }
    }
}

/// Whether a device reports on an update that was not live. It should get its current command.
pub(super) fn is_about_ended_update(committed: &Committed<Device>, report: &Report) -> bool {
    let ended_by_this = committed.events.iter().any(|event| {
        event.update().is_some_and(|update| update.ordinal == report.ordinal)
            && !matches!(event, DeviceEvent::UpdateReportedLate { .. })
    });
    !is_live(committed, report.ordinal) && !ended_by_this
}
