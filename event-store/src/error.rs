//! Errors of the log. A refusal by the rules is not an error, it is a `domain::Rejection`.

use domain::Rejection;

/// Why an append did not end with a sequence number.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The aggregate has newer records. `last` is its last sequence number, if the log named it.
    #[error("the aggregate has newer records")]
    Conflict { last: Option<u64> },
    /// No answer in time: the record may have been stored, or be stored later.
    #[error("the event log gave no answer in time: {0}")]
    Ambiguous(String),
    /// Nothing was stored.
    #[error("the event log is not available: {0}")]
    Unavailable(String),
    /// Nothing was stored: the servers of the log have no leader at the moment. A cluster elects one within seconds.
    #[error("the event log is not available: its stream has no leader")]
    NoLeader,
    /// Nothing was stored: JetStream has reached a limit of its storage, or the disk is full.
    #[error("no space left for the event log: {0}")]
    NoSpace(String),
    /// Nothing was stored, and never will be.
    #[error("the record of {bytes} bytes is larger than {max_bytes}")]
    TooLarge { bytes: usize, max_bytes: usize },
    /// The log refuses for another reason: limits, permissions, configuration.
    #[error("the event log refused the record: {0}")]
    Refused(String),
}

/// Why the log could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The event log cannot be reached or has no leader. A retry may succeed.
    #[error("the event log is not available: {0}")]
    Unavailable(String),
    /// Nothing more can be stored until an operator frees space. Reads still work. A retry may succeed.
    #[error("the event log is not available: no space left: {0}")]
    NoSpace(String),
    /// The event log refuses: permissions, limits or a configuration that differs.
    #[error("the event log refused: {0}")]
    Refused(String),
    /// The record is larger than the log accepts.
    #[error("the record of {bytes} bytes is larger than {max_bytes}")]
    TooLarge { bytes: usize, max_bytes: usize },
    /// The record's event type, or its schema version, is newer than this program.
    #[error("event type {event_type:?} with schema {schema} at {position} is not known to this program")]
    UnknownEvent { event_type: String, schema: u16, position: u64 },
    /// The record cannot be read, or does not follow the one before it.
    #[error("the record at {position} is damaged: {reason}")]
    Corrupt { position: u64, reason: String },
    /// The stream is not the one from the start of the process: it was restored, or deleted and created again.
    #[error("the event log is another one: it was created at {found_ms} ms, not at {wanted_ms} ms")]
    OtherIncarnation { wanted_ms: u64, found_ms: u64 },
}

impl StoreError {
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NoSpace(_))
    }

    /// Whether no retry can succeed, because the record itself is wrong. All other errors may be temporary. An unknown event type is
    /// temporary too: a newer program can read it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::Corrupt { .. } => true,
            Self::Unavailable(_)
            | Self::NoSpace(_)
            | Self::Refused(_)
            | Self::UnknownEvent { .. }
            | Self::OtherIncarnation { .. } => false,
        }
    }
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// Refused by the rules.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The aggregate does not have the expected version; nothing was stored.
    #[error("the aggregate has changed: its version is {version}")]
    VersionDiffers { version: u64 },
    /// Other commands kept writing to the same aggregate; nothing was stored. A retry may succeed.
    #[error("the aggregate kept changing")]
    Conflict,
    /// The command id was used before on this aggregate, for another command.
    #[error("the command id was used before for another command")]
    CommandIdReused,
    #[error(transparent)]
    Store(#[from] StoreError),
}
