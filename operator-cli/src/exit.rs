//! Exit codes. They are part of the interface: scripts rely on them, and docs/cli.md lists them.

/// How an invocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, also if nothing had to be done.
    Done = 0,
    /// It failed here or in the service, for a reason without a code of its own.
    Failed = 1,
    /// The command line or the request is not valid.
    Usage = 2,
    /// The rules refuse it.
    Refused = 3,
    /// Not signed in, or not allowed.
    NotAllowed = 4,
    NotFound = 5,
    /// The campaign has ended otherwise than completed.
    EndedBadly = 6,
    /// The campaign waits for a person.
    Waits = 7,
    TimedOut = 8,
    /// The service can't be reached or can't answer now.
    Away = 9,
}

impl Exit {
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What a refused request ends with.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            400 | 405 | 406 | 413..=415 | 431 => Self::Usage,
            401 | 403 => Self::NotAllowed,
            404 | 410 => Self::NotFound,
            409 | 412 | 416 | 422 | 428 => Self::Refused,
            408 | 429 | 502..=504 => Self::Away,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable() {
        let all = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Refused,
            Exit::NotAllowed,
            Exit::NotFound,
            Exit::EndedBadly,
            Exit::Waits,
            Exit::TimedOut,
            Exit::Away,
        ];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn statuses_of_one_meaning_end_alike() {
        assert_eq!([401, 403].map(Exit::of_status), [Exit::NotAllowed; 2]);
        assert_eq!([409, 412, 422].map(Exit::of_status), [Exit::Refused; 3]);
        assert_eq!([429, 502, 503, 504].map(Exit::of_status), [Exit::Away; 4]);
        assert_eq!(Exit::of_status(500), Exit::Failed);
    }
}
