//! The order of lists of events.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::query::FilterSet;

/// By position in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

/// The parameter of a history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryOrder {
    /// `asc` (the default): oldest first. `desc`: newest first.
    #[param(inline)]
    pub(crate) order: Option<Direction>,
}

impl FilterSet for HistoryOrder {}
