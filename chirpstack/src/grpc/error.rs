//! How a call ends without an answer, as callers act on it.

use tonic::{Code, Status};

use super::InvalidEui;

/// Bytes of a server's message that are kept.
const MESSAGE_BYTES_MAX: usize = 512;
/// The texts of a violated unique constraint: SQLite's and PostgreSQL's. ChirpStack answers both as internal errors.
const DUPLICATE_TEXTS: [&str; 2] = ["UNIQUE constraint failed", "duplicate key value violates unique constraint"];
/// The texts of a reference to something that isn't there.
const FOREIGN_KEY_TEXTS: [&str; 2] = ["FOREIGN KEY constraint failed", "violates foreign key constraint"];
/// The texts of an EUI, address or key that isn't hexadecimal or has the wrong length. Also internal errors over there.
const MALFORMED_TEXTS: [&str; 3] = ["Invalid string length", "Odd number of digits", "Invalid character"];
/// What a server says of a message over its limit, with a code that otherwise asks to come again later.
const TOO_LARGE_TEXTS: [&str; 2] = ["larger than", "too large"];

/// Why a call has no answer.
///
/// `Unavailable`, `DeadlineExceeded` and `Internal` don't say that the call was not carried out: a caller whose call is not idempotent
/// (Enqueue, CreateDeployment) looks first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server can't be reached, the connection broke, or it can't serve now. Retry with backoff, without end.
    #[error("ChirpStack is unavailable: {message}")]
    Unavailable { message: String },
    /// No answer in time. Retry with backoff, without end.
    #[error("ChirpStack did not answer in time")]
    DeadlineExceeded,
    /// The object does not exist. Final for a read; a delete has nothing to do.
    #[error("ChirpStack does not know it: {message}")]
    NotFound { message: String },
    /// Either the key is refused, or a tenant's key asked for an object that does not exist or belongs to another tenant: ChirpStack says
    /// the same for all of them. [`super::Client::probe`] tells which; never take it for a revoked key before.
    #[error("ChirpStack does not let this key do it{}", if message.is_empty() { String::new() } else { format!(": {message}") })]
    Unauthenticated { message: String },
    /// The object is there already, perhaps from an earlier try whose answer was lost, perhaps under another tenant: read it.
    #[error("ChirpStack has it already: {message}")]
    Duplicate { message: String },
    /// An EUI, address or key is not well-formed. Permanent.
    #[error("malformed: {message}")]
    Malformed { message: String },
    /// The server refuses the call as it is: an invalid argument, a failed precondition, a limit, a right that is missing. Permanent until
    /// somebody changes something.
    #[error("ChirpStack refused: {message} ({code})")]
    Refused { code: &'static str, message: String },
    /// Something broke over there, and the text is not one that is known. Retry a few times, then show it.
    #[error("ChirpStack failed: {message}")]
    Internal { message: String },
    /// What answered is not ChirpStack's API: it doesn't know the call, or its reply can't be read. Permanent until the address or the
    /// server's version changes.
    #[error("what answers is not ChirpStack's API: {message}")]
    NotChirpstack { message: String },
}

/// How often the same call is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// With backoff until it succeeds.
    WithoutEnd,
    /// With backoff, a bounded number of times.
    AFewTimes,
    Never,
}

impl Error {
    /// How often the same call is worth another try. `Unauthenticated` depends on the probe and counts as never.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } | Self::DeadlineExceeded => Retry::WithoutEnd,
            Self::Internal { .. } => Retry::AFewTimes,
            Self::NotFound { .. }
            | Self::Unauthenticated { .. }
            | Self::Duplicate { .. }
            | Self::Malformed { .. }
            | Self::Refused { .. }
            | Self::NotChirpstack { .. } => Retry::Never,
        }
    }

    /// Of an answer that can't be used.
    pub(super) fn unreadable(why: impl Into<String>) -> Self {
        Self::NotChirpstack { message: why.into() }
    }

    pub(super) fn of_transport(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Unavailable { message: shorten(&chain(error)) }
    }
}

impl From<InvalidEui> for Error {
    fn from(error: InvalidEui) -> Self {
        Self::Malformed { message: error.to_string() }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let message = shorten(status.message());
        let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        // Statuses with a source come from the transport on this side.
        if let Some(source) = std::error::Error::source(&status)
            && matches!(status.code(), Code::Unknown | Code::Internal | Code::Unavailable)
        {
            return Self::of_transport(source);
        }
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => Self::DeadlineExceeded,
            Code::ResourceExhausted if !says(&TOO_LARGE_TEXTS) => Self::Unavailable { message },
            Code::Unavailable | Code::Aborted => Self::Unavailable { message },
            Code::NotFound => Self::NotFound { message },
            Code::Unauthenticated => Self::Unauthenticated { message },
            Code::AlreadyExists => Self::Duplicate { message },
            Code::Internal if says(&DUPLICATE_TEXTS) => Self::Duplicate { message },
            Code::Internal if says(&MALFORMED_TEXTS) => Self::Malformed { message },
            Code::Internal if says(&FOREIGN_KEY_TEXTS) => Self::Refused { code: name(Code::Internal), message },
            Code::Internal | Code::Unknown | Code::DataLoss | Code::Ok => Self::Internal { message },
            Code::Unimplemented => Self::NotChirpstack { message },
            code @ (Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::ResourceExhausted) => Self::Refused { code: name(code), message },
        }
    }
}

/// The code's name in gRPC.
fn name(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        _ => "INTERNAL",
    }
}

/// The error and its causes, once each.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

fn shorten(message: &str) -> String {
    let end = (0..=MESSAGE_BYTES_MAX.min(message.len())).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    message[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(code: Code, message: &str) -> Error {
        Error::from(Status::new(code, message))
    }

    #[test]
    fn an_empty_unauthenticated_is_ambiguous_and_never_retried_as_it_is() {
        let error = seen(Code::Unauthenticated, "");
        assert_eq!(error, Error::Unauthenticated { message: String::new() });
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(error.to_string(), "ChirpStack does not let this key do it");
    }

    #[test]
    fn duplicates_of_both_databases_are_told_from_other_internal_errors() {
        for text in [
            "UNIQUE constraint failed: device.dev_eui",
            "duplicate key value violates unique constraint \"device_pkey\"",
        ] {
            assert_eq!(seen(Code::Internal, text), Error::Duplicate { message: text.to_owned() });
        }
        assert_eq!(seen(Code::AlreadyExists, "x"), Error::Duplicate { message: "x".to_owned() });
        let broken = seen(Code::Internal, "database is locked");
        assert_eq!(broken, Error::Internal { message: "database is locked".to_owned() });
        assert_eq!(broken.retry(), Retry::AFewTimes);
    }

    #[test]
    fn malformed_ids_and_missing_references_are_permanent() {
        assert!(matches!(seen(Code::Internal, "Invalid string length"), Error::Malformed { .. }));
        assert!(matches!(
            seen(Code::Internal, "FOREIGN KEY constraint failed"),
            Error::Refused { code: "INTERNAL", .. }
        ));
        let port = seen(Code::InvalidArgument, "Validation error: FPort must be between 1 - 255");
        assert!(matches!(port, Error::Refused { code: "INVALID_ARGUMENT", .. }));
        assert_eq!(port.retry(), Retry::Never);
    }

    #[test]
    fn only_what_passes_by_itself_is_retried_without_end() {
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Aborted, Code::ResourceExhausted]
        {
            assert_eq!(seen(code, "later").retry(), Retry::WithoutEnd, "{code:?}");
        }
        for code in [Code::NotFound, Code::PermissionDenied, Code::Unimplemented, Code::FailedPrecondition] {
            assert_eq!(seen(code, "no").retry(), Retry::Never, "{code:?}");
        }
        assert_eq!(seen(Code::ResourceExhausted, "received message larger than max").retry(), Retry::Never);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let Error::NotFound { message } = seen(Code::NotFound, &"é".repeat(MESSAGE_BYTES_MAX)) else { panic!() };
        assert_eq!(message.len(), MESSAGE_BYTES_MAX);
    }
}
