//! Why a message had no effect: it was rejected, can't be processed now, or is throttled.

use domain::Rejection;
use event_store::dead_letters::DeadLetterReason;
use event_store::{AppendError, ExecuteError, StoreError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::wire::Malformed;

/// A message that must wait until the rate allows it.
#[derive(Debug)]
pub(crate) struct Throttled {
    pub(crate) until: Instant,
    pub(super) permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(crate) enum IntakeError {
    /// It can never be accepted: kept as a dead letter.
    Rejected { reason: DeadLetterReason, detail: String },
    /// A server that it needs is not available. To be retried.
    Unavailable(String),
    /// The device has sent too many self-reports. The message waits until its rate allows it.
    Throttled(Throttled),
}

impl IntakeError {
    pub(crate) fn rejected(reason: DeadLetterReason, detail: impl Into<String>) -> Self {
        Self::Rejected { reason, detail: detail.into() }
    }
}

impl From<Malformed> for IntakeError {
    fn from(malformed: Malformed) -> Self {
        Self::rejected(DeadLetterReason::Malformed, malformed.0)
    }
}

impl From<Rejection> for IntakeError {
    fn from(rejection: Rejection) -> Self {
        let reason = match rejection {
            Rejection::DeviceUnknown => DeadLetterReason::NoSuchDevice,
            Rejection::DeviceDecommissioned => DeadLetterReason::DeviceDecommissioned,
            _ => DeadLetterReason::Rejected,
        };
        Self::rejected(reason, rejection.to_string())
    }
}

impl From<StoreError> for IntakeError {
    fn from(error: StoreError) -> Self {
        if error.is_final() {
            tracing::error!(%error, "a device's message can't be accepted");
            Self::rejected(DeadLetterReason::Broken, error.to_string())
        } else {
            Self::Unavailable(error.to_string())
        }
    }
}

impl From<ExecuteError> for IntakeError {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Rejected(rejection) => rejection.into(),
            ExecuteError::Conflict | ExecuteError::VersionDiffers { .. } => Self::Unavailable(error.to_string()),
            ExecuteError::CommandIdReused => Self::rejected(DeadLetterReason::Broken, error.to_string()),
            ExecuteError::Store(error) => error.into(),
        }
    }
}

impl From<AppendError> for IntakeError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge { .. } => Self::rejected(DeadLetterReason::Malformed, error.to_string()),
            AppendError::Conflict { .. }
            | AppendError::Ambiguous(_)
            | AppendError::Unavailable(_)
            | AppendError::NoLeader
            | AppendError::NoSpace(_)
            | AppendError::Refused(_) => Self::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_final_errors_are_dead_lettered() {
        let newer = StoreError::UnknownEvent { event_type: "device.teleported".to_owned(), schema: 1, position: 7 };
        assert!(matches!(IntakeError::from(newer), IntakeError::Unavailable(_)), "a newer bridge can accept it");
        assert!(matches!(IntakeError::from(StoreError::Unavailable(String::new())), IntakeError::Unavailable(_)));
        let damaged = StoreError::Corrupt { position: 7, reason: String::new() };
        assert!(matches!(IntakeError::from(damaged), IntakeError::Rejected { .. }));
    }
}
