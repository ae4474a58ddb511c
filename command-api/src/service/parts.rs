//! What health asks the parts of a process for.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartStatus {
    Up,
    /// It works, but something needs a look.
    Degraded,
    Down,
}

/// What a part says about itself.
#[derive(Debug, Clone)]
pub struct Finding {
    pub name: String,
    pub status: PartStatus,
    /// For people: what is wrong, or how much there is to do.
    pub detail: Option<String>,
}

impl Finding {
    pub fn new(name: impl Into<String>, status: PartStatus, detail: impl Into<Option<String>>) -> Self {
        Self { name: name.into(), status, detail: detail.into() }
    }
}

/// Asks parts of the process how they are; answers fast.
pub type HealthCheck = Arc<dyn Fn() -> BoxFuture<'static, Vec<Finding>> + Send + Sync>;
