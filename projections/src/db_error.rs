//! Why PostgreSQL could not be read or written.

/// PostgreSQL's code of a statement that took too long or was cancelled.
const QUERY_CANCELED: &str = "57014";
/// PostgreSQL's codes of schemas, roles, columns and tables that don't exist.
const NOT_YET_MADE: [&str; 4] = ["3F000", "42704", "42703", "42P01"];

/// Why the read models could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    /// PostgreSQL can't be reached or is starting. The caller may retry later.
    #[error("PostgreSQL is not available: {0}")]
    Unavailable(String),
    /// The tables are missing or of another version than this program's. A process with the role `projections` migrates them.
    #[error("the read models' tables aren't made yet: {0}")]
    NotMade(String),
    /// PostgreSQL refused the statement, not its values: a missing right, or a syntax that it doesn't know.
    #[error("PostgreSQL refused: {0}")]
    Refused(String),
    /// A row can't be read, or an event can't be applied: its values are at fault.
    #[error("{0}")]
    Invalid(String),
}

impl DbError {
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default().into_owned();
                match code.get(..2).unwrap_or_default() {
                    // A retry would take as long.
                    _ if NOT_YET_MADE.contains(&code.as_str()) => Self::NotMade(error.to_string()),
                    _ if code == QUERY_CANCELED => Self::Refused(error.to_string()),
                    // Connection, resources, shutting down, serialization: a retry may succeed.
                    "08" | "53" | "57" | "40" => Self::Unavailable(error.to_string()),
                    // The values themselves, or a constraint on them.
                    "22" | "23" => Self::Invalid(error.to_string()),
                    _ => Self::Refused(error.to_string()),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            _ => Self::Invalid(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for DbError {
    fn from(error: serde_json::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}
