//! Why a message had no effect: its own fault, or not now.

use domain::Rejection;
use event_store::dead_letters::DeadLetterReason;
use event_store::{AppendError, ExecuteError, StoreError};

use super::handler::Hold;
use crate::wire::Malformed;

#[derive(Debug)]
pub(super) enum Trouble {
    /// It can never be taken: kept as a dead letter.
    Refused { reason: DeadLetterReason, detail: String },
    /// What it needs is not available. To be tried again.
    NotNow(String),
    /// What it says is no news, and its device has told much of that. Kept until there is room.
    TooOften(Hold),
}

impl Trouble {
    pub(super) fn refused(reason: DeadLetterReason, detail: impl Into<String>) -> Self {
        Self::Refused { reason, detail: detail.into() }
    }
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::refused(DeadLetterReason::Malformed, malformed.0)
    }
}

impl From<Rejection> for Trouble {
    fn from(rejection: Rejection) -> Self {
        let reason = match rejection {
            Rejection::DeviceUnknown => DeadLetterReason::NoSuchDevice,
            Rejection::DeviceDecommissioned => DeadLetterReason::DeviceDecommissioned,
            _ => DeadLetterReason::Rejected,
        };
        Self::refused(reason, rejection.to_string())
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        if error.is_final() {
            tracing::error!(%error, "a device's message can't be taken");
            Self::refused(DeadLetterReason::Broken, error.to_string())
        } else {
            Self::NotNow(error.to_string())
        }
    }
}

impl From<ExecuteError> for Trouble {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Rejected(rejection) => rejection.into(),
            ExecuteError::Conflict | ExecuteError::VersionDiffers { .. } => Self::NotNow(error.to_string()),
            ExecuteError::CommandIdReused => Self::refused(DeadLetterReason::Broken, error.to_string()),
            ExecuteError::Store(error) => error.into(),
        }
    }
}

impl From<AppendError> for Trouble {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge { .. } => Self::refused(DeadLetterReason::Malformed, error.to_string()),
            AppendError::Conflict { .. }
            | AppendError::Ambiguous(_)
            | AppendError::Unavailable(_)
            | AppendError::NoSpace(_)
            | AppendError::Refused(_) => Self::NotNow(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_program_can_take_is_buried() {
        let newer = StoreError::UnknownEvent { event_type: "device.teleported".to_owned(), schema: 1, position: 7 };
        assert!(matches!(Trouble::from(newer), Trouble::NotNow(_)), "a newer bridge can take it");
        assert!(matches!(Trouble::from(StoreError::Unavailable(String::new())), Trouble::NotNow(_)));
        let damaged = StoreError::Corrupt { position: 7, reason: String::new() };
        assert!(matches!(Trouble::from(damaged), Trouble::Refused { .. }));
    }
}
