//! Why a message had no effect: its own fault, or not now.

use event_store::{AppendError, ExecuteError, StoreError};

use super::handler::Hold;
use crate::wire::Malformed;

#[derive(Debug)]
pub(super) enum Trouble {
    /// It can never be taken: kept as a dead letter under this reason. The label is one of a closed set.
    Refused { label: &'static str, reason: String },
    /// What it needs is not available. To be tried again.
    NotNow(String),
    /// What it says is no news, and its device has told much of that. Kept until there is room.
    TooOften(Hold),
}

impl Trouble {
    pub(super) fn refused(label: &'static str, reason: impl Into<String>) -> Self {
        Self::Refused { label, reason: reason.into() }
    }
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::refused("malformed", malformed.0)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        if error.is_final() {
            tracing::error!(%error, "a device's message can't be taken");
            Self::refused("broken", error.to_string())
        } else {
            Self::NotNow(error.to_string())
        }
    }
}

impl From<ExecuteError> for Trouble {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Rejected(rejection) => Self::refused("rejected", rejection.to_string()),
            ExecuteError::Conflict | ExecuteError::VersionDiffers { .. } => Self::NotNow(error.to_string()),
            ExecuteError::CommandIdReused => Self::refused("broken", error.to_string()),
            ExecuteError::Store(error) => error.into(),
        }
    }
}

impl From<AppendError> for Trouble {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge { .. } => Self::refused("malformed", error.to_string()),
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
