//! What a caller has shown, as far as it must be checked again while a stream is open or a body arrives.

use chrono::{DateTime, Utc};
use domain::{ApiKeyId, TenantId};
use runtime::clock;
use serde::{Deserialize, Serialize};

use crate::http::Problem;
use crate::sign_in;
use crate::state::App;

/// The credential of a caller. It opens nothing: it only says which one it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Credential {
    /// An API key.
    ApiKey { tenant: TenantId, id: ApiKeyId },
    /// A web session, by its key in the bucket of sessions.
    Session { key: String },
    /// A bearer token.
    Token { expires_at: DateTime<Utc> },
}

impl Credential {
    /// Refuses a credential that has ended since it was shown. A look is no use: neither of a key nor of a session.
    pub(crate) async fn must_stand(&self, app: &App) -> Result<(), Problem> {
        match self {
            Self::ApiKey { tenant, id } => app.known_keys()?.must_stand(tenant, *id),
            Self::Session { key } => sign_in::must_stand(app, key).await,
            Self::Token { expires_at } if clock::now() < *expires_at => Ok(()),
            Self::Token { .. } => Err(Problem::unauthorized("the token is not valid: it has expired")),
        }
    }
}
