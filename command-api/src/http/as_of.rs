//! The position and the time that an answer is about.

use chrono::{DateTime, Utc};
use projections::{FLEET, ReadTx};
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::state::App;

/// What an answer includes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AsOf {
    /// All events up to this position, and none after it.
    #[schema(example = "1790000000123-42")]
    position: String,
    /// When that was read; with `at`, the time that the answer is about.
    time: DateTime<Utc>,
}

impl AsOf {
    /// The present, as the transaction sees it.
    pub(crate) async fn now(app: &App, tx: &mut ReadTx) -> Result<Self, Problem> {
        Self::at(app, tx, clock::now()).await
    }

    /// An earlier time, as far as the transaction knows it.
    pub(crate) async fn at(app: &App, tx: &mut ReadTx, time: DateTime<Utc>) -> Result<Self, Problem> {
        let position = tx.position(FLEET).await?;
        Ok(Self { position: app.token(position).await?.to_string(), time })
    }
}
