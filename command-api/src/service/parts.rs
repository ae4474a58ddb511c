//! Parts of the process that health checks ask.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

/// State of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartStatus {
    Up,
    /// It works, but needs attention.
    Degraded,
    Down,
}

/// A part's report about itself.
#[derive(Debug, Clone)]
pub struct Finding {
    pub name: String,
    pub status: PartStatus,
    /// For people: the error, or the amount of pending work.
    pub detail: Option<String>,
}

impl Finding {
    pub fn new(name: impl Into<String>, status: PartStatus, detail: impl Into<Option<String>>) -> Self {
        Self { name: name.into(), status, detail: detail.into() }
    }
}

/// Asks parts of the process for their state; must answer fast.
pub type HealthCheck = Arc<dyn Fn() -> BoxFuture<'static, Vec<Finding>> + Send + Sync>;
